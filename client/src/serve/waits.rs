//! Waits that last: the broker is told of them, and says which of them are in vain.
//!
//! The records and their order stand in `layout/src/control/waits.rs`. Here is who does what:
//!
//! | who | does | and where that fails |
//! |---|---|---|
//! | the waiting thread | sends `Waiting` once it has slept for 50 ms | it tries again after as long, or never where nobody hears it |
//! | the control thread | puts a question to the waiting thread, and wakes it | of a wait that is over it says so to the broker |
//! | the waiting thread | looks at everything that could end its wait, then sends `Confirmed` | the wait is over, and another one begins |
//! | the waiting thread | sends `Over` before it runs a handler on top of its wait, and when it has ended | that is kept, and goes before the next `Waiting` |
//!
//! Nobody waits for the broker here: a record is sent if its socket has room for it. An `Over` that is lost
//! does no harm but that the broker asks once in vain.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use callgate_layout::Code;
use callgate_layout::control::{Held, Needs, WaitToBroker};
use callgate_layout::sys::futex::{self, Awaited};
use parking_lot::Mutex;

use super::standstill::Standstill;
use crate::base::error::{Error, Result};

/// How long a wait lasts before the broker is told of it, in nanoseconds.
const LASTING: u64 = 50_000_000;
/// After how long it is tried again while there is no broker.
const AWAY: u64 = 1_000_000_000;

/// A plugin, as its waits know it.
pub(crate) trait Reporter: Send + Sync {
    /// The number of its bus.
    fn bus(&self) -> u64;

    /// Those of its waits that the broker was told of.
    fn waits(&self) -> &ReportedWaits;

    /// Sends a record if the broker's socket has room for it now.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` where it has none, `NOT_READY` where another broker is to come.
    fn tell(&self, record: WaitToBroker) -> Result<()>;
}

/// What the broker says of a wait.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// Whether it stands, in this round.
    Confirm(u64),
    /// It is in vain.
    Deadlock(Error),
}

/// The waits of a plugin that the broker was told of.
#[derive(Default)]
pub(crate) struct ReportedWaits(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// The last number that a wait was given.
    last: u64,
    waits: HashMap<u64, Arc<Mailbox>>,
    /// Waits that are over and of which the broker could not be told that.
    unsent: Vec<u64>,
}

/// Where the control thread puts what the broker says of a wait.
struct Mailbox {
    word: Mutex<Option<Word>>,
    /// Changes when there is something.
    changes: AtomicU32,
    /// The broker that was told of the wait has ended.
    is_forgotten: AtomicBool,
    /// Wakes a thread that sleeps on something else.
    wake: Option<Wake>,
}

/// Wakes a thread.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

impl ReportedWaits {
    /// Puts something to the thread of a wait, and wakes it; false where the wait is over.
    pub(crate) fn put(&self, wait: u64, word: Word) -> bool {
        let Some(mailbox) = self.0.lock().waits.get(&wait).cloned() else {
            return false;
        };
        mailbox.put(word);
        true
    }

    /// There is another broker, which was told of none of them: each is told again.
    pub(crate) fn forget(&self) {
        let waits = {
            let mut table = self.0.lock();
            table.unsent.clear();
            std::mem::take(&mut table.waits)
        };
        for mailbox in waits.into_values() {
            mailbox.forget();
        }
    }

    /// Tells the broker of a wait.
    fn report(&self, reporter: &dyn Reporter, about: &About, wake: Option<Wake>) -> Result<Report> {
        let mut table = self.0.lock();
        table.send_unsent(reporter)?;
        table.last += 1;
        let number = table.last;
        reporter.tell(about.record(number))?;
        let mailbox = Arc::new(Mailbox {
            word: Mutex::default(),
            changes: AtomicU32::new(0),
            is_forgotten: AtomicBool::new(false),
            wake,
        });
        table.waits.insert(number, mailbox.clone());
        Ok(Report {
            number,
            mailbox,
            seen: 0,
            standstill: about.standstill.clone(),
        })
    }

    fn end(&self, reporter: &dyn Reporter, number: u64) {
        let mut table = self.0.lock();
        if table.waits.remove(&number).is_none() {
            // Told to a broker that has ended.
            return;
        }
        table.unsent.push(number);
        // What could not be sent goes before the next wait.
        let _ = table.send_unsent(reporter);
    }
}

impl Table {
    fn send_unsent(&mut self, reporter: &dyn Reporter) -> Result<()> {
        while let Some(wait) = self.unsent.last().copied() {
            match reporter.tell(WaitToBroker::Over { wait }) {
                Err(error) if error.code() == Code::Overloaded => return Err(error),
                // A broker that is gone has forgotten it.
                _ => self.unsent.pop(),
            };
        }
        Ok(())
    }
}

impl Mailbox {
    fn put(&self, word: Word) {
        {
            let mut before = self.word.lock();
            // Whoever was told that it is in vain is asked nothing more.
            if !matches!(*before, Some(Word::Deadlock(_))) {
                *before = Some(word);
            }
        }
        self.changed();
    }

    fn forget(&self) {
        self.is_forgotten.store(true, Ordering::Relaxed);
        self.changed();
    }

    fn changed(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        futex::wake_private(&self.changes);
        if let Some(wake) = &self.wake {
            wake();
        }
    }
}

/// What the broker is told of a wait.
pub(crate) struct About {
    pub(crate) chain: u64,
    pub(crate) callee: u64,
    pub(crate) gate: String,
    pub(crate) needs: Needs,
    pub(crate) holds: Vec<Held>,
    pub(crate) serves: Vec<u64>,
    /// The turns that the thread has, as they stand now.
    pub(crate) standstill: Standstill,
}

impl About {
    fn record(&self, wait: u64) -> WaitToBroker {
        WaitToBroker::Waiting {
            wait,
            chain: self.chain,
            callee: self.callee,
            gate: self.gate.clone(),
            needs: self.needs,
            holds: self.holds.clone(),
            serves: self.serves.clone(),
        }
    }
}

/// A wait of this thread, of which the broker is told if it lasts.
pub(crate) struct Wait<'a> {
    reporter: Whose<'a>,
    at: At,
    report: Option<Report>,
}

/// Whose wait it is.
enum Whose<'a> {
    Borrowed(&'a dyn Reporter),
    Kept(Arc<dyn Reporter>),
}

impl<'a> Deref for Whose<'a> {
    type Target = dyn Reporter + 'a;

    #[inline]
    fn deref(&self) -> &Self::Target {
        match self {
            Whose::Borrowed(reporter) => *reporter,
            Whose::Kept(reporter) => &**reporter,
        }
    }
}

impl Wait<'static> {
    /// One that keeps the plugin whose it is.
    pub(crate) fn keeping(reporter: Arc<dyn Reporter>) -> Wait<'static> {
        Wait {
            reporter: Whose::Kept(reporter),
            at: At::Later,
            report: None,
        }
    }
}

/// When the broker is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    /// So long after the thread first sleeps.
    Later,
    Time(u64),
    Never,
}

/// A wait that the broker was told of.
struct Report {
    number: u64,
    mailbox: Arc<Mailbox>,
    /// How often something was in the mailbox when that was looked into last.
    seen: u32,
    standstill: Standstill,
}

impl<'a> Wait<'a> {
    pub(crate) fn new(reporter: &'a dyn Reporter) -> Wait<'a> {
        Wait {
            reporter: Whose::Borrowed(reporter),
            at: At::Later,
            report: None,
        }
    }

    /// Until when to sleep at most, for a thread that is about to.
    pub(crate) fn until(&mut self, now: u64) -> u64 {
        if self.report.is_some() {
            return u64::MAX;
        }
        match self.at {
            At::Never => u64::MAX,
            At::Time(at) => at,
            At::Later => {
                self.at = At::Time(now + LASTING);
                now + LASTING
            }
        }
    }

    /// Tells the broker of the wait if it has lasted; `about` is `None` where the thread keeps nothing from
    /// others.
    pub(crate) fn tell(&mut self, now: u64, about: impl FnOnce() -> Option<About>) {
        self.tell_waking(now, about, None);
    }

    /// The same for a thread that is woken in another way than by the word that it is given.
    pub(crate) fn tell_waking(
        &mut self,
        now: u64,
        about: impl FnOnce() -> Option<About>,
        wake: Option<Wake>,
    ) {
        let is_due = matches!(self.at, At::Time(at) if now >= at);
        if self.report.is_some() || !is_due {
            return;
        }
        self.at = match about() {
            None => At::Never,
            // Something runs in a turn that this thread lent.
            Some(about) if !about.standstill.stands() => At::Time(now + LASTING),
            Some(about) => match self.reporter.waits().report(&*self.reporter, &about, wake) {
                Ok(report) => {
                    self.report = Some(report);
                    At::Later
                }
                Err(error) if error.code() == Code::Overloaded => At::Time(now + LASTING),
                Err(error) if error.code() == Code::NotReady => At::Time(now + AWAY),
                Err(_) => At::Never,
            },
        };
    }

    /// A word that changes when the broker says something, beside the others that a thread sleeps on.
    pub(crate) fn word(&self) -> Option<Awaited<'_>> {
        let report = self.report.as_ref()?;
        Some(Awaited::private(&report.mailbox.changes, report.seen))
    }

    /// Whether the broker has said something since it was [heard](Wait::heard) last.
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        let is_new = |report: &Report| {
            let changes = report.mailbox.changes.load(Ordering::Relaxed);
            changes != report.seen
        };
        self.report.as_ref().is_some_and(is_new)
    }

    /// What the broker says, if anything. To be followed by a look at everything that could end the wait.
    #[inline]
    pub(crate) fn heard(&mut self) -> Option<Word> {
        let report = self.report.as_mut()?;
        // Before the look, so that nothing that comes after it is slept through.
        report.seen = report.mailbox.changes.load(Ordering::Acquire);
        if report.mailbox.is_forgotten.load(Ordering::Relaxed) {
            // If it lasts, the next broker is told.
            self.over();
            return None;
        }
        report.mailbox.word.lock().take()
    }

    /// Answers a question after that look, which found nothing: the wait stands, unless something ran in a
    /// turn that the thread lent.
    pub(crate) fn confirm(&mut self, round: u64) {
        let Some(report) = &self.report else {
            return;
        };
        let wait = report.number;
        let stands = report.standstill.stands();
        let confirmed = WaitToBroker::Confirmed { wait, round };
        if !stands || self.reporter.tell(confirmed).is_err() {
            self.over();
        }
    }

    /// The wait is over, or something is about to run on top of it. If it goes on, that is another wait.
    #[inline]
    pub(crate) fn over(&mut self) {
        self.at = At::Later;
        if let Some(report) = self.report.take() {
            self.reporter.waits().end(&*self.reporter, report.number);
        }
    }
}

impl Drop for Wait<'_> {
    #[inline]
    fn drop(&mut self) {
        self.over();
    }
}

#[cfg(test)]
mod tests;
