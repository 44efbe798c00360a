//! The error for a frame that the runtime drops.

use std::borrow::Cow;
use std::fmt;

/// The most bytes of a reason, which goes to logs and quotes text from the child.
const LONGEST: usize = 400;

/// A frame that violates the protocol. The runtime counts it, logs it and drops it. If its type and id could be read, the side that
/// waits for an answer is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// What was expected and what was found.
    pub(crate) reason: String,
    pub(crate) kind: Option<String>,
    pub(crate) id: Option<String>,
}

impl Malformed {
    pub(super) fn new(reason: impl fmt::Display) -> Malformed {
        let mut reason = reason.to_string();
        if reason.len() > LONGEST {
            reason.truncate(reason.floor_char_boundary(LONGEST));
            reason.push('…');
        }
        Malformed {
            reason,
            kind: None,
            id: None,
        }
    }

    /// The same error with the type of the frame, and its id if it has one.
    pub(super) fn of(self, kind: &str, id: Option<Cow<'_, str>>) -> Malformed {
        Malformed {
            kind: Some(kind.to_owned()),
            id: id.map(Cow::into_owned),
            ..self
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Some(kind) => write!(f, "a frame `{kind}`: {}", self.reason),
            None => write!(f, "a frame: {}", self.reason),
        }
    }
}
