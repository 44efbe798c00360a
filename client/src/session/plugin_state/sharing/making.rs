//! Making a version: on the thread that wants it, without holding a lock.

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

/// How a share is made, if this plugin makes it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HowMade {
    pub(crate) persistent: bool,
    /// Whether the kernel is asked for huge pages.
    pub(crate) huge: bool,
    /// How long making it may take.
    pub(crate) within: Duration,
}

/// Makes a value, and passes it to the function that writes it.
pub(crate) type Make<'a> = dyn FnMut(&Pool, &mut Write<'_>) -> Result<()> + 'a;

/// What is needed to make a share.
pub(crate) struct Maker<'a> {
    pub(crate) how: HowMade,
    pub(crate) make: &'a mut Make<'a>,
}

impl HowMade {
    /// The deadline for one step of the broker, in nanoseconds of the monotonic clock: the broker itself waits as
    /// long as the plugin may take, and longer.
    pub(super) fn step_due(self) -> u64 {
        let time = self.within.saturating_add(REQUEST_TIMEOUT * 6);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        clock::now().saturating_add(nanos)
    }
}

/// A making that has begun. The broker has to be told of its end.
pub(super) struct Making<'a> {
    membership: &'a Membership,
    number: u64,
    /// Where the control thread puts the memory, or the reason why there is none.
    desk: Arc<Desk>,
    how: HowMade,
    /// Whether the broker waits for the next record about it: from its `Create`, `Convert` or `Write` until this
    /// plugin answers.
    is_awaited: bool,
    /// The share, if another plugin had published it by the time that the value was made.
    overtaken: Option<Box<Have>>,
}

impl<'a> Making<'a> {
    /// Notes a making that the broker has begun.
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

    /// Runs a factory and has its value written. If the factory fails or panics, or the broker ends the making,
    /// nothing is left of it. If another plugin has published the share meanwhile, returns that share; then nothing
    /// was written.
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
        // Sealing is cheap here: the kernel looks for other users of each page, and the pages are still in the
        // caches of the processor that has written them. If the kernel refuses, the broker tries again, and reports
        // the reason.
        let _ = filling.seal();
        let making = self.number;
        self.membership.tell(ShareToBroker::Written { making });
        self.is_awaited = false;
        Ok(())
    }

    /// Ends the making; if something has failed, tells the broker.
    fn end(&mut self, made: Result<()>) -> Result<()> {
        made.inspect_err(|error| self.give_up(error))
    }

    /// Tells the broker that the making has failed, if it waits for a record. It does not if it has ended the
    /// making itself.
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
        // An end after `Written` is reported to the thread that waits for the share.
        let text = "what makes the share has panicked";
        self.give_up(&Error::new(Code::HandlerPanicked, text));
    }
}
