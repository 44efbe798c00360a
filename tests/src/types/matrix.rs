//! Changes of types: an older and a newer form of a type, values of both, and the outcome of sending each value to
//! the other form. `tests/tests/types/matrix.rs` runs all of them between processes, and docs/evolving.md prints
//! them.

mod any;
mod containers;
mod fields;
mod form;
mod guide;
mod nested;
mod numbers;
mod play;
mod shapes;
mod texts;
mod variants;

use callgate_client::Code;

use form::{Form, Sent, Two, Value};

pub use guide::table;
pub use play::run;

/// The form of a type that a process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// The form before the change.
    Old,
    /// The form after the change.
    New,
}

impl Age {
    /// Its name on a command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Age::Old => "old",
            Age::New => "new",
        }
    }

    fn of(name: &str) -> Age {
        match name {
            "old" => Age::Old,
            "new" => Age::New,
            other => panic!("{other} is neither old nor new"),
        }
    }
}

/// The outcome of sending a value to a receiver of the other form.
#[derive(Clone, Debug)]
enum Outcome {
    /// This value arrives, as its `Debug` prints it.
    Arrives(String),
    /// The call fails, and the error names this place in the value.
    Fails(Code, &'static str),
}

/// The outcome of sending one form to the other.
#[derive(Clone, Debug)]
enum Way {
    /// Opening the gate fails, and the error names this place.
    Closed(Code, &'static str),
    /// Calls are sent as archives.
    Archive,
    /// Calls are sent as JSON.
    Json,
}

/// A change of a type, and its outcomes.
#[derive(Debug)]
struct Change {
    /// The part of its gates' names that stands for this change.
    key: &'static str,
    /// Its description for people.
    text: &'static str,
    old: Box<dyn Form>,
    new: Box<dyn Form>,
}

impl Change {
    fn of<O: Value, N: Value>(
        key: &'static str,
        text: &'static str,
        old: Sent<O>,
        new: Sent<N>,
    ) -> Change {
        Change {
            key,
            text,
            old: Box::new(old),
            new: Box::new(new),
        }
    }

    fn form(&self, age: Age) -> &dyn Form {
        match age {
            Age::Old => &*self.old,
            Age::New => &*self.new,
        }
    }

    fn take(&self, plugin: &str) -> String {
        format!("{plugin}.{}.Take", self.key)
    }

    fn give(&self, plugin: &str) -> String {
        format!("{plugin}.{}.Give", self.key)
    }
}

/// All changes, in the order of the guide.
fn changes() -> Vec<Change> {
    let subjects = [
        fields::changes(),
        numbers::changes(),
        texts::changes(),
        variants::changes(),
        containers::changes(),
        shapes::changes(),
        nested::changes(),
        any::changes(),
    ];
    let mut all: Vec<Change> = subjects.into_iter().flatten().collect();
    all.push(Change {
        key: "ParameterAdded",
        text: "A parameter is added",
        old: Box::new(form::closed(1_u32, Code::LengthMismatch, "").only_taken()),
        new: Box::new(Two),
    });
    all
}

/// What a caller of one age reports about a provider of some age: a line for each value, as [`run`] prints them.
#[must_use]
pub fn expected(caller: Age, provider: Age) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes() {
        let (from, to) = (change.form(caller), change.form(provider));
        let is_same = caller == provider;
        lines.extend(from.expected(change.key, "arguments[0]", is_same));
        if from.is_given() && to.is_given() {
            lines.extend(to.expected(change.key, "result", is_same));
        }
    }
    lines
}
