//! Making a version: on the thread that wants it, outside of every lock.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::control::{Failure, ShareToBroker};
use callgate_layout::{Code, clock};

use crate::base::buffers::Pool;
use crate::base::error::{Error, Result};
use crate::session::allocation;
use crate::session::connection::REQUEST_TIMEOUT;
use crate::session::membership::Membership;
use crate::session::shares::desk::{Desk, Have, News};
use crate::session::shares::failures::out_of_turn;
use crate::shares::content::{Content, Write};
use crate::shares::used::TellsBroker;

/// How a share is made, where it is to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HowMade {
    pub(crate) persistent: bool,
    /// Whether the kernel is asked for huge pages.
    pub(crate) huge: bool,
    /// How long making it may take.
    pub(crate) within: Duration,
}

/// Has a value made, and then written.
pub(crate) type Make<'a> = dyn FnMut(&Pool, &mut Write<'_>) -> Result<()> + 'a;

/// What makes a share where there is none.
pub(crate) struct Maker<'a> {
    pub(crate) how: HowMade,
    pub(crate) make: &'a mut Make<'a>,
}

impl HowMade {
    /// Until when the broker may take for a step: it waits for what the plugin may take besides.
    pub(super) fn step_due(self) -> u64 {
        let time = self.within.saturating_add(REQUEST_TIMEOUT * 6);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        clock::now().saturating_add(nanos)
    }
}

/// A making that the broker has to be told the end of.
pub(super) struct Making<'a> {
    membership: &'a Membership,
    number: u64,
    /// Where its memory comes, or why there is none.
    desk: Arc<Desk>,
    how: HowMade,
    /// Whether the broker waits for a word about it: from `Create`, `Convert` or `Write` until it has one.
    is_awaited: bool,
    /// The share, where there was one by the time that the value was there.
    overtaken: Option<Box<Have>>,
}

impl<'a> Making<'a> {
    /// One that has begun.
    pub(super) fn new(
        (membership, number): (&'a Membership, u64),
        desk: &Arc<Desk>,
        how: HowMade,
    ) -> Making<'a> {
        membership.shares.begin_making(number, desk);
        Making {
            membership,
            number,
            desk: desk.clone(),
            how,
            is_awaited: true,
            overtaken: None,
        }
    }

    /// Has a factory run, and its value written. Where it fails or panics, or the making ends, nothing is left of it. Where the
    /// share is there by now, because somebody has published it, that is what there is, and nothing was written.
    pub(super) fn make(mut self, make: &mut Make<'_>) -> Result<Option<Have>> {
        let pool = &self.membership.memory.pool;
        let made = make(pool, &mut |content| self.ask_and_write(content));
        self.end(made)?;
        Ok(self.overtaken.take().map(|have| *have))
    }

    /// Writes a value to the memory that has come for it.
    pub(super) fn write_to(mut self, file: OwnedFd, content: &mut dyn Content) -> Result<()> {
        let made = self.write(file, content);
        self.end(made)
    }

    fn ask_and_write(&mut self, content: &mut dyn Content) -> Result<()> {
        let make = ShareToBroker::Make {
            making: self.number,
            len: content.len(),
        };
        self.membership.tell(make);
        self.is_awaited = false;
        match self.desk.take(self.how.step_due())? {
            Some(News::Write { len, file, .. }) => {
                self.is_awaited = true;
                match len == content.len() {
                    true => self.write(file, content),
                    false => Err(out_of_turn()),
                }
            }
            Some(News::Have(have)) => {
                self.overtaken = Some(have);
                Ok(())
            }
            Some(_) => Err(out_of_turn()),
            None => {
                let broker = self.membership.connection.broker();
                Err(broker.is_late("did not make memory for a share in time"))
            }
        }
    }

    fn write(&mut self, file: OwnedFd, content: &mut dyn Content) -> Result<()> {
        let len = usize::try_from(content.len()).unwrap_or(usize::MAX);
        let mut filling = allocation::allocate_version(file, len, self.how.huge)?;
        content.fill(&mut filling)?;
        // Here it is cheap: the kernel looks for who else uses a page, and the processor that has written them knows. Where it refuses, the
        // broker tries it again, and says why it cannot be.
        let _ = filling.seal();
        let making = self.number;
        self.membership.tell(ShareToBroker::Written { making });
        self.is_awaited = false;
        Ok(())
    }

    /// Gives the making up where something has failed.
    fn end(&mut self, made: Result<()>) -> Result<()> {
        made.inspect_err(|error| self.give_up(error))
    }

    /// Says so where the broker waits for a word. Where it has ended the making instead of answering `Make`, it does not.
    fn give_up(&mut self, error: &Error) {
        if std::mem::take(&mut self.is_awaited) {
            let failure = Failure::new(error.code(), error.message());
            let making = self.number;
            self.membership
                .tell(ShareToBroker::GaveUp { making, failure });
        }
    }
}

impl Drop for Making<'_> {
    fn drop(&mut self) {
        // Why it ends after `Written` is said to who waits for the share.
        let text = "what makes the share has panicked";
        self.give_up(&Error::new(Code::HandlerPanicked, text));
    }
}
