//! Calls that certainly did not run, because their gate was absent or refused them. The broker is asked how the
//! gate stands now, and then they are sent once more. No thread waits for the answer: the control thread, which
//! reads it, wakes the thread that looks after sent calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use callgate_layout::Encoding;
use callgate_layout::envelope::CallKind;

use super::Outbound;
use super::completion::Completion;
use crate::base::error::{Error, Result};
use crate::link::Link;

/// The gate of a call, whose state may differ from what the plugin knows.
pub(crate) trait Asks: Send + Sync {
    /// Asks the broker for its state, and does not wait for the answer.
    fn ask(&self) -> Standing;

    /// Looks whether a question was answered.
    fn look(&self, question: u64, call: (CallKind, Encoding)) -> Standing;
}

/// What is known of a gate's state.
pub(crate) enum Standing {
    /// The question with this number waits for its answer.
    Asked(u64),
    /// The question was answered: the way for calls, or why there is none.
    Told(Result<(Arc<Link>, u16)>),
    /// The broker's socket is full; the question has to be sent later.
    Later,
    /// There is no broker now; the next one has to be asked.
    Away,
    /// Nobody will answer.
    Unknown,
}

/// A call that failed before it ran.
pub(super) struct Refused {
    pub(super) call: Outbound,
    pub(super) completion: Arc<Completion>,
    pub(super) error: Error,
}

/// A call that waits for the broker's answer.
pub(super) struct Asking {
    pub(super) call: Outbound,
    pub(super) completion: Arc<Completion>,
    /// The error of the call if the broker knows no way either.
    pub(super) error: Error,
    /// A weak reference: the gate belongs to the program's handles, and must be dropped by those.
    pub(super) gate: Option<Weak<dyn Asks>>,
    /// The number of the question; `None` until the broker was asked.
    pub(super) question: Option<u64>,
}

impl Asking {
    /// Makes such a call. The broker is asked once about each call.
    pub(super) fn new(refused: Refused) -> Asking {
        let Refused {
            mut call,
            completion,
            error,
        } = refused;
        Asking {
            gate: call.gate.take(),
            call,
            completion,
            error,
            question: None,
        }
    }

    pub(super) fn deadline(&self) -> u64 {
        self.call.deadline
    }
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking")
            .field("question", &self.question)
            .finish_non_exhaustive()
    }
}

/// The calls that wait for the broker's answer, by number.
pub(super) type AskingCalls = BTreeMap<u64, Asking>;
