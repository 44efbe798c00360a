//! Why a frame is dropped.

use std::borrow::Cow;
use std::fmt;

/// The most bytes of a reason: it stands in logs, and parts of it are the child's.
const LONGEST: usize = 400;

/// A frame that is not what the protocol says. It is counted, logged and dropped; whoever waits for an answer to it or by it can be
/// told where its type and id could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// What was found and what was expected.
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

    /// The same of a frame whose type is known, and its id where it has one.
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
