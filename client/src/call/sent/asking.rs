//! Calls whose gate was absent or refused them, and certainly did not run: the broker is asked how the gate
//! stands now, and then they are sent once more. No thread waits for the answer: whoever hears it wakes the
//! thread that looks after sent calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use callgate_layout::envelope::CallKind;

use super::Outbound;
use super::completion::Completion;
use crate::base::error::{Error, Result};
use crate::link::Link;

/// The gate of a call, which may stand otherwise than its plugin knows.
pub(crate) trait Standing: Send + Sync {
    /// Asks the broker how it stands, and does not wait for the answer; the question's number, if there is
    /// anybody to answer it.
    fn ask(&self) -> Option<u64>;

    /// Whether a question was answered; `None` where it will not be.
    fn is_told(&self, question: u64) -> Option<bool>;

    /// The way that calls take as far as is known now.
    fn way(&self, kind: CallKind) -> Result<(Arc<Link>, u16)>;
}

/// A call that failed before it ran.
pub(super) struct Refused {
    pub(super) call: Outbound,
    pub(super) completion: Arc<Completion>,
    pub(super) error: Error,
}

/// A call that waits for the answer.
pub(super) struct Asking {
    pub(super) call: Outbound,
    pub(super) completion: Arc<Completion>,
    /// What it fails with unless the gate stands otherwise.
    pub(super) error: Error,
    /// Not owned: it belongs to those who wait for the call, and is theirs to drop.
    pub(super) gate: Option<Weak<dyn Standing>>,
    /// `None` until the broker was asked.
    pub(super) question: Option<u64>,
}

impl Asking {
    /// A call about which the broker is to be asked. It is asked about each call once.
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

/// The calls that wait for an answer, by number.
pub(super) type AskingCalls = BTreeMap<u64, Asking>;
