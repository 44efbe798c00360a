//! Calls whose gate was absent or refused them, and certainly did not run: the broker is asked how the gate
//! stands now, and then they are sent once more. No thread waits for the answer: whoever hears it wakes the
//! thread that looks after sent calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use callgate_layout::Encoding;
use callgate_layout::envelope::CallKind;

use super::Outbound;
use super::completion::Completion;
use crate::base::error::{Error, Result};
use crate::link::Link;

/// The gate of a call, which may stand otherwise than its plugin knows.
pub(crate) trait Asks: Send + Sync {
    /// Asks the broker how it stands, and does not wait for the answer.
    fn ask(&self) -> Standing;

    /// Looks what became of a question.
    fn look(&self, question: u64, call: (CallKind, Encoding)) -> Standing;
}

/// What is known of how a gate stands.
pub(crate) enum Standing {
    /// The question of this number is to be answered.
    Asked(u64),
    /// It was answered: the way that calls take now.
    Told(Result<(Arc<Link>, u16)>),
    /// The broker's socket is full: the question is to be sent later.
    Later,
    /// There is no broker now; the next one is to be asked.
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

/// A call that waits for the answer.
pub(super) struct Asking {
    pub(super) call: Outbound,
    pub(super) completion: Arc<Completion>,
    /// What it fails with unless the gate stands otherwise.
    pub(super) error: Error,
    /// Not owned: it belongs to those who wait for the call, and is theirs to drop.
    pub(super) gate: Option<Weak<dyn Asks>>,
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
