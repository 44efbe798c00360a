//! Why and where in it a value could not be written as JSON or read from it.

use core::fmt::Write;
use std::borrow::Cow;

use callgate_layout::Code;
use callgate_layout::buffer::OutOfMemory;
use serde_json::json;

use super::LEVELS;
use crate::base::error::Error;

/// The outcome of writing or reading.
pub type Result<T, E = Fault> = core::result::Result<T, E>;

/// How many characters of a peer's text an error message quotes at most.
const MOST_SHOWN: usize = 48;

/// Why a value could not be written or read.
#[derive(Debug)]
pub struct Fault {
    // One pointer wide, so that a Result with a small value stays small.
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    why: Why,
    /// The path to the place, innermost step first: each container adds its own step as the fault passes through
    /// it.
    path: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Name(Cow<'static, str>),
    Index(usize),
}

/// What went wrong.
#[derive(Debug)]
pub(crate) enum Why {
    /// The text is no JSON.
    Syntax { expected: &'static str, at: usize },
    /// A value of another type, or one that the type cannot hold.
    Mismatch { expected: String, found: String },
    /// Null where none is allowed.
    Null { expected: String },
    /// Nested deeper than [`LEVELS`].
    TooDeep,
    /// It needs more memory than a text of its length may.
    TooMuch,
    /// It is longer than a call of this kind can carry.
    TooLong { most: usize },
    /// The system refused this many bytes of memory.
    OutOfMemory(usize),
}

/// The part of a call that a text is, for errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The parameters of a call, as an array.
    Arguments,
    /// The result of a call.
    Result,
}

impl Fault {
    #[cold]
    pub(crate) fn new(why: Why) -> Fault {
        let inner = Inner {
            why,
            path: Vec::new(),
        };
        Fault {
            inner: Box::new(inner),
        }
    }

    #[cold]
    pub(crate) fn mismatch(expected: impl Into<String>, found: impl Into<String>) -> Fault {
        Fault::new(Why::Mismatch {
            expected: expected.into(),
            found: found.into(),
        })
    }

    /// Adds the member, field or variant in which it happened.
    #[cold]
    #[must_use]
    pub fn within(mut self, name: &'static str) -> Fault {
        self.inner.path.push(Step::Name(Cow::Borrowed(name)));
        self
    }

    /// Adds the key of a map in whose value it happened.
    #[cold]
    #[must_use]
    pub(crate) fn under(mut self, key: &str) -> Fault {
        let step = Step::Name(Cow::Owned(excerpt(key)));
        self.inner.path.push(step);
        self
    }

    /// Adds the index of the element in which it happened.
    #[cold]
    #[must_use]
    pub(crate) fn at(mut self, index: usize) -> Fault {
        self.inner.path.push(Step::Index(index));
        self
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.inner.why, Why::Null { .. })
    }

    /// The error of a call, with `path`, `expected` and `found` as its context.
    #[cold]
    pub(crate) fn into_error(self, part: Part) -> Error {
        let path = self.path(part);
        let (code, expected, found) = match self.inner.why {
            Why::Syntax { expected, at } => {
                let text = format!("{}: no JSON: expected {expected} at byte {at}", part.name());
                return Error::new(Code::Protocol, text);
            }
            Why::TooLong { most } => {
                let what = part.name();
                let text = format!("the JSON of the {what} is longer than {most} bytes");
                return Error::new(part.too_large(), text);
            }
            Why::TooMuch => {
                let text = format!(
                    "{path}: the values take far more memory than their text (beyond 256 MiB, 16 times as much)"
                );
                return Error::new(part.too_large(), text);
            }
            Why::OutOfMemory(len) => {
                let text = format!("{path}: {}", OutOfMemory(len));
                return Error::new(Code::System, text);
            }
            Why::TooDeep => {
                let expected = format!("at most {LEVELS} levels");
                (Code::TypeMismatch, expected, "more".to_owned())
            }
            Why::Mismatch { expected, found } => (Code::TypeMismatch, expected, found),
            Why::Null { expected } => (Code::ValueNull, expected, "null".to_owned()),
        };
        let text = format!("{path}: expected {expected}, found {found}");
        let context = json!({ "path": path, "expected": expected, "found": found });
        Error::new(code, text).with_context(context)
    }

    /// The path as a program would write it: `arguments[1].tracks[3].gain`.
    fn path(&self, part: Part) -> String {
        let mut path = part.name().to_owned();
        for step in self.inner.path.iter().rev() {
            // Writing to a String does not fail.
            let _ = match step {
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Name(name) if is_word(name) => write!(path, ".{name}"),
                Step::Name(name) => write!(path, "[{name:?}]"),
            };
        }
        path
    }
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Arguments => "arguments",
            Part::Result => "result",
        }
    }

    fn too_large(self) -> Code {
        match self {
            Part::Arguments => Code::RequestTooLarge,
            Part::Result => Code::ResponseTooLarge,
        }
    }
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// The beginning of a text that may be long.
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}
