//! Requests about shares, which one thread makes and waits for.

use std::sync::Arc;

use callgate_layout::control::ShareToBroker;

use crate::base::error::{Error, Result};
use crate::session::membership::Membership;
use crate::session::shares::asked::Asker;
use crate::session::shares::desk::{Desk, News};
use crate::session::shares::failures::out_of_turn;
use crate::session::shares::waiting;
use crate::shares::used::TellsBroker;

/// A request that waits for the broker's answers, until this is dropped.
pub(super) struct Request<'a> {
    pub(super) membership: &'a Membership,
    pub(super) number: u32,
    pub(super) desk: Arc<Desk>,
}

impl<'a> Request<'a> {
    pub(super) fn new(membership: &'a Membership) -> Request<'a> {
        let number = membership.connection.next_number();
        let desk = Arc::new(Desk::default());
        let asker = Asker::Thread(desk.clone());
        membership.shares.ask(number, asker);
        Request {
            membership,
            number,
            desk,
        }
    }

    /// Sends the request.
    pub(super) fn send(&self, record: ShareToBroker, until: u64) -> Result<()> {
        let connection = &self.membership.connection;
        connection.check_alive()?;
        connection.send_until(&record.into(), waiting::instant(until))
    }

    /// Sends the request and waits for its only answer, from which `find` takes what was asked for. `what`
    /// completes the error for a broker that is late.
    pub(super) fn ask<T>(
        &self,
        (record, until): (ShareToBroker, u64),
        what: &str,
        find: impl FnOnce(News) -> Option<T>,
    ) -> Result<T> {
        self.send(record, until)?;
        match self.desk.take(until)? {
            Some(news) => find(news).ok_or_else(out_of_turn),
            None => Err(self.is_late(what)),
        }
    }

    /// The error for a broker that did not answer in time.
    pub(super) fn is_late(&self, what: &str) -> Error {
        self.membership.connection.broker().is_late(what)
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        let (membership, request) = (self.membership, self.number);
        membership.shares.forget(request);
        membership.shares.close(&self.desk);
        // Answers that have come in the last moment are returned to the broker.
        for news in self.desk.rest() {
            match news {
                News::Have(_) => membership.tell(ShareToBroker::Forgo { request }),
                News::Version(sent) => {
                    let version = sent.0.version;
                    drop(sent);
                    membership.tell(ShareToBroker::Done { version });
                }
                _ => {}
            }
        }
    }
}
