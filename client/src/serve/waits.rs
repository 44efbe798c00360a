//! Waits that last: the broker is told of them, and says which of them are in vain.
//!
//! The records and their order are described in `layout/src/control/waits.rs`. Here is who does what:
//!
//! | who | does | if that fails |
//! |---|---|---|
//! | the waiting thread | sends `Waiting` once it has slept for 50 ms | it tries again after as long, or never if there will be no broker |
//! | the control thread | passes a question to the waiting thread, and wakes it | if the wait is over, it tells the broker so |
//! | the waiting thread | looks at everything that could end its wait, then sends `Confirmed` | the wait counts as over, and another one begins |
//! | the waiting thread | sends `Over` before it runs a handler on top of its wait, and when the wait has ended | the record is kept, and sent before the next `Waiting` |
//!
//! Nobody waits for the broker here: a record is sent if its socket has room for it. If an `Over` is lost, the only
//! harm is that the broker asks once in vain.

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
/// After how long a report is tried again while there is no broker, in nanoseconds.
const AWAY: u64 = 1_000_000_000;

/// A plugin, as far as its waits are concerned.
pub(crate) trait Reporter: Send + Sync {
    /// The number of its bus.
    fn bus(&self) -> u64;

    /// The plugin's waits of which the broker was told.
    fn waits(&self) -> &ReportedWaits;

    /// Sends a record if the broker's socket has room for it now.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if it has none; `NOT_READY` if there is no broker now.
    fn tell(&self, record: WaitToBroker) -> Result<()>;
}

/// What the broker says about a wait.
#[derive(Clone, Debug)]
pub(crate) enum Word {
    /// It asks whether the wait still stands, in this round.
    Confirm(u64),
    /// The wait is in vain.
    Deadlock(Error),
}

/// The waits of a plugin of which the broker was told.
#[derive(Default)]
pub(crate) struct ReportedWaits(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// The last number that was given to a wait.
    last: u64,
    waits: HashMap<u64, Arc<Mailbox>>,
    /// Waits that are over, which the broker could not be told yet.
    unsent: Vec<u64>,
}

/// Where the control thread puts what the broker says about a wait.
struct Mailbox {
    word: Mutex<Option<Word>>,
    /// Counts changes; the waiting thread sleeps on it among other words.
    changes: AtomicU32,
    /// Whether the broker that was told of the wait has ended.
    is_forgotten: AtomicBool,
    /// Wakes a thread that sleeps on something else.
    wake: Option<Wake>,
}

/// Wakes a thread.
pub(crate) type Wake = Box<dyn Fn() + Send + Sync>;

impl ReportedWaits {
    /// Passes the broker's word to the waiting thread, and wakes it. Returns `false` if the wait is over.
    pub(crate) fn put(&self, wait: u64, word: Word) -> bool {
        let Some(mailbox) = self.0.lock().waits.get(&wait).cloned() else {
            return false;
        };
        mailbox.put(word);
        true
    }

    /// Forgets all reports, because there is another broker, which was told of none: each wait is reported again.
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
            // The broker that was told has ended.
            return;
        }
        table.unsent.push(number);
        // What cannot be sent now is sent before the next wait.
        let _ = table.send_unsent(reporter);
    }
}

impl Table {
    fn send_unsent(&mut self, reporter: &dyn Reporter) -> Result<()> {
        while let Some(wait) = self.unsent.last().copied() {
            match reporter.tell(WaitToBroker::Over { wait }) {
                Err(error) if error.code() == Code::Overloaded => return Err(error),
                // A broker that has ended has forgotten it.
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
            // A thread that was told that its wait is in vain is asked nothing more.
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

/// The description of a wait for the broker.
pub(crate) struct About {
    pub(crate) chain: u64,
    pub(crate) callee: u64,
    pub(crate) gate: String,
    pub(crate) needs: Needs,
    pub(crate) holds: Vec<Held>,
    pub(crate) serves: Vec<u64>,
    /// The turns that the thread has, at this moment.
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

/// A wait of this thread. The broker is told of it if it lasts.
pub(crate) struct Wait<'a> {
    reporter: Whose<'a>,
    at: At,
    report: Option<Report>,
}

/// The plugin to which a wait belongs.
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
    /// A wait that holds a reference to its plugin.
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
    /// Some time after the thread first sleeps.
    Later,
    Time(u64),
    Never,
}

/// A wait of which the broker was told.
struct Report {
    number: u64,
    mailbox: Arc<Mailbox>,
    /// The value of the mailbox's count at the last look.
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

    /// Until when a thread may sleep that is about to, so that the broker is told in time.
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

    /// Tells the broker of the wait, if it has lasted. `about` returns `None` if the thread keeps nothing from
    /// others.
    pub(crate) fn tell(&mut self, now: u64, about: impl FnOnce() -> Option<About>) {
        self.tell_waking(now, about, None);
    }

    /// As [`Wait::tell`], for a thread that does not sleep on [`Wait::word`] and is woken by `wake`.
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
            // Something is running in a turn that this thread has lent.
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

    /// A word that changes when the broker says something; the thread sleeps on it among others.
    pub(crate) fn word(&self) -> Option<Awaited<'_>> {
        let report = self.report.as_ref()?;
        Some(Awaited::private(&report.mailbox.changes, report.seen))
    }

    /// Whether the broker has said something since the last [`Wait::heard`].
    #[inline]
    pub(crate) fn is_asked(&self) -> bool {
        let is_new = |report: &Report| {
            let changes = report.mailbox.changes.load(Ordering::Relaxed);
            changes != report.seen
        };
        self.report.as_ref().is_some_and(is_new)
    }

    /// Takes what the broker says, if anything. The caller then looks at everything that could end the wait.
    #[inline]
    pub(crate) fn heard(&mut self) -> Option<Word> {
        let report = self.report.as_mut()?;
        // Read before the look, so that changes after it end the sleep.
        report.seen = report.mailbox.changes.load(Ordering::Acquire);
        if report.mailbox.is_forgotten.load(Ordering::Relaxed) {
            // If the wait lasts, the next broker is told.
            self.over();
            return None;
        }
        report.mailbox.word.lock().take()
    }

    /// Answers a question after a look that found nothing: the wait stands, unless something has run in a turn that
    /// the thread has lent.
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

    /// Ends the wait, or prepares for running something on top of it. If the thread goes on to wait, that is
    /// another wait.
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
