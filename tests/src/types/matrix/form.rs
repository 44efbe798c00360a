//! One form of a type: its values, its gates, and calls of the other form's gates.

use std::fmt::Debug;

use callgate_client::{
    Arguments, Code, Error, GateType, HandlerError, Plugin, Provider, Result, Subscriber,
};

use super::{Outcome, Way};
use crate::PATIENCE;

/// The place of an error that names no place in a value.
const NOWHERE: &str = "nowhere";

/// How many characters of a path the guide shows.
const LONGEST_PATH: usize = 48;

/// A type that occurs in the table.
pub(super) trait Value: GateType + Clone + Debug + Sync {}

impl<T: GateType + Clone + Debug + Sync> Value for T {}

/// One form of a type.
pub(super) trait Form: Debug {
    /// Provides a gate that takes values and returns what arrived, and one that returns the value with a given
    /// number.
    fn provide(&self, plugin: &Plugin, take: &str, give: &str) -> Result<Vec<Provider>>;

    /// Opens another plugin's two gates.
    fn open(&self, plugin: &Plugin, take: &str, give: &str) -> Result<Box<dyn Opened>>;

    /// How many values there are.
    fn count(&self) -> usize;

    /// Whether there is a gate that returns them.
    fn is_given(&self) -> bool;

    /// What a caller must report when they are sent, as parameter or as result.
    fn expected(&self, key: &str, root: &str, is_same: bool) -> Vec<String>;

    /// The same for people.
    fn cell(&self) -> String;
}

/// Both gates of another plugin.
pub(super) trait Opened {
    /// Calls them: with each own value, and once for each of so many values of the other plugin.
    fn call(&self, gives: Option<usize>) -> Vec<String>;
}

/// A value, and the outcome of sending it.
#[derive(Clone, Debug)]
struct Sample<T> {
    /// The value as people read it. For the first value, it also says what arrives.
    note: &'static str,
    value: T,
    outcome: Outcome,
    /// The error if sending it to its own form fails, too.
    unfit: Option<Code>,
}

/// Values of one form, and the outcomes for a receiver of the other form.
#[derive(Clone, Debug)]
pub(super) struct Sent<T> {
    way: Way,
    samples: Vec<Sample<T>>,
    is_given: bool,
}

/// A value that arrives as an archive.
pub(super) fn archive<T: Value, O: Debug>(value: T, arrives: O) -> Sent<T> {
    Sent::new(
        Way::Archive,
        value,
        Outcome::Arrives(format!("{arrives:?}")),
    )
}

/// A value that arrives as JSON.
pub(super) fn json<T: Value, O: Debug>(value: T, arrives: O) -> Sent<T> {
    Sent::new(Way::Json, value, Outcome::Arrives(format!("{arrives:?}")))
}

/// A value that cannot be converted, although the schema of its form can.
pub(super) fn fails<T: Value>(value: T, code: Code, at: &'static str) -> Sent<T> {
    Sent::new(Way::Json, value, Outcome::Fails(code, at)).noting("each value")
}

/// A form that can never be converted, because of this place.
pub(super) fn never<T: Value>(value: T, at: &'static str) -> Sent<T> {
    closed(value, Code::TypeMismatch, at)
}

/// A form for which the gate cannot be opened.
pub(super) fn closed<T: Value>(value: T, code: Code, at: &'static str) -> Sent<T> {
    Sent::new(Way::Closed(code, at), value, Outcome::Fails(code, at))
}

impl<T: Value> Sent<T> {
    fn new(way: Way, value: T, outcome: Outcome) -> Sent<T> {
        Sent {
            way,
            samples: vec![Sample {
                note: "",
                value,
                outcome,
                unfit: None,
            }],
            is_given: true,
        }
    }

    /// Adds what people should know of the value that arrives.
    pub(super) fn noting(mut self, note: &'static str) -> Sent<T> {
        self.samples[0].note = note;
        self
    }

    /// Another value, which arrives.
    pub(super) fn and<O: Debug>(self, note: &'static str, value: T, arrives: O) -> Sent<T> {
        let outcome = Outcome::Arrives(format!("{arrives:?}"));
        self.with(note, value, outcome)
    }

    /// Another value, which fails with `TYPE_MISMATCH` at this place.
    pub(super) fn but(self, note: &'static str, value: T, at: &'static str) -> Sent<T> {
        self.with(note, value, Outcome::Fails(Code::TypeMismatch, at))
    }

    /// Another value, which has null at this place, and which the receiver refuses.
    pub(super) fn but_null(self, note: &'static str, value: T, at: &'static str) -> Sent<T> {
        self.with(note, value, Outcome::Fails(Code::ValueNull, at))
    }

    fn with(mut self, note: &'static str, value: T, outcome: Outcome) -> Sent<T> {
        self.samples.push(Sample {
            note,
            value,
            outcome,
            unfit: None,
        });
        self
    }

    /// Another value, which cannot be archived either.
    pub(super) fn but_unfit(self, note: &'static str, value: T, at: &'static str) -> Sent<T> {
        let mut sent = self.but(note, value, at);
        let last = sent.samples.last_mut();
        last.expect("it was added").unfit = Some(Code::Protocol);
        sent
    }

    /// Leaves out the gate that returns values.
    pub(super) fn only_taken(mut self) -> Sent<T> {
        self.is_given = false;
        self
    }
}

impl<T: Value> Form for Sent<T> {
    fn provide(&self, plugin: &Plugin, take: &str, give: &str) -> Result<Vec<Provider>> {
        let mut all = vec![plugin.provide(take, |value: T| format!("{value:?}"))?];
        if self.is_given {
            let values: Vec<T> = self.samples.iter().map(|one| one.value.clone()).collect();
            let value = move |number: u32| -> Result<T, HandlerError> {
                let value = values.get(number as usize).cloned();
                value.ok_or_else(|| HandlerError::new("NO_SUCH_VALUE", number.to_string()))
            };
            all.push(plugin.provide(give, value)?);
        }
        Ok(all)
    }

    fn open(&self, plugin: &Plugin, take: &str, give: &str) -> Result<Box<dyn Opened>> {
        Ok(Box::new(Both {
            values: self.samples.iter().map(|one| one.value.clone()).collect(),
            take: plugin
                .subscriber::<(T,), String>(take)?
                .with_timeout(PATIENCE),
            give: plugin.subscriber::<(u32,), T>(give)?.with_timeout(PATIENCE),
            take_name: take.to_owned(),
            give_name: give.to_owned(),
        }))
    }

    fn count(&self) -> usize {
        self.samples.len()
    }

    fn is_given(&self) -> bool {
        self.is_given
    }

    fn expected(&self, key: &str, root: &str, is_same: bool) -> Vec<String> {
        let has_run = root == "result";
        let gate = if has_run { "Give" } else { "Take" };
        let at = |path: &str| match path {
            "" if matches!(self.way, Way::Closed(Code::LengthMismatch, _)) => NOWHERE.to_owned(),
            path => format!("{root}{path}"),
        };
        let told = |sample: &Sample<T>| match (&self.way, &sample.outcome) {
            _ if is_same => match sample.unfit {
                Some(code) => format!("fails {code} {NOWHERE} {}", ran(has_run)),
                None => format!("archive {:?}", sample.value),
            },
            (Way::Closed(code, path), _) => format!("closed {code} {}", at(path)),
            (_, Outcome::Fails(code, path)) => {
                format!("fails {code} {} {}", at(path), ran(has_run))
            }
            (Way::Archive, Outcome::Arrives(value)) => format!("archive {value}"),
            (Way::Json, Outcome::Arrives(value)) => format!("json {value}"),
        };
        let lines = self.samples.iter().enumerate();
        lines
            .map(|(number, sample)| format!("{key}.{gate} {number}: {}", told(sample)))
            .collect()
    }

    fn cell(&self) -> String {
        let fails = |code: Code, path: &str| match path {
            "" => format!("`{code}`"),
            path => format!(
                "`{code}` at `{}`",
                short(path.strip_prefix('.').unwrap_or(path))
            ),
        };
        let mut cell = match self.way {
            Way::Closed(code, path) => return format!("**closed**: {}", fails(code, path)),
            Way::Archive => "archive".to_owned(),
            Way::Json => "JSON".to_owned(),
        };
        for (number, sample) in self.samples.iter().enumerate() {
            let note = sample.note;
            let more = match &sample.outcome {
                Outcome::Arrives(_) if note.is_empty() => continue,
                Outcome::Arrives(_) if number == 0 => format!(", {note}"),
                Outcome::Arrives(_) => format!("; {note}"),
                Outcome::Fails(code, path) => format!("; {note}: {}", fails(*code, path)),
            };
            cell.push_str(&more);
        }
        cell
    }
}

/// A path, shortened to fit a table.
fn short(path: &str) -> String {
    match path.char_indices().nth(LONGEST_PATH) {
        Some((end, _)) => format!("{}…", &path[..end]),
        None => path.to_owned(),
    }
}

fn ran(has_run: bool) -> &'static str {
    match has_run {
        true => "after it ran",
        false => "before it ran",
    }
}

/// Both gates of another plugin, opened with this plugin's types.
struct Both<T: Value> {
    values: Vec<T>,
    take: Subscriber<(T,), String>,
    give: Subscriber<(u32,), T>,
    take_name: String,
    give_name: String,
}

impl<T: Value> Opened for Both<T> {
    fn call(&self, gives: Option<usize>) -> Vec<String> {
        let takes = self.values.iter().enumerate().map(|(number, value)| {
            let outcome = outcome(&self.take, (value.clone(),));
            told(&self.take_name, number, outcome)
        });
        let gives = (0..gives.unwrap_or(0)).map(|number| {
            let outcome = outcome(&self.give, (number as u32,));
            let outcome = outcome.map(|(way, value)| (way, format!("{value:?}")));
            told(&self.give_name, number, outcome)
        });
        takes.chain(gives).collect()
    }
}

/// The outcome of a call: how it travelled and what it returned.
fn outcome<A: Arguments, R: GateType>(
    gate: &Subscriber<A, R>,
    arguments: A,
) -> std::result::Result<(&'static str, R), String> {
    if let Err(error) = gate.wait_ready(PATIENCE) {
        // Calling gives the same error as opening.
        let called = gate.invoke(arguments).err().map(|error| shown(&error));
        let text = shown(&error);
        return Err(
            match called.as_ref() == Some(&text) && !error.may_have_run() {
                true => format!("closed {text}"),
                false => format!("closed {text}, but a call gave {called:?}"),
            },
        );
    }
    let way = match gate.is_converted() {
        true => "json",
        false => "archive",
    };
    let result = gate.invoke(arguments);
    let fails = |error: Error| format!("fails {} {}", shown(&error), ran(error.may_have_run()));
    result.map(|result| (way, result)).map_err(fails)
}

fn shown(error: &Error) -> String {
    let path = error.context().and_then(|context| context["path"].as_str());
    format!("{} {}", error.code(), path.unwrap_or(NOWHERE))
}

fn told(
    gate: &str,
    number: usize,
    outcome: std::result::Result<(&'static str, String), String>,
) -> String {
    let (_, gate) = gate.split_once('.').expect("a plugin's name");
    match outcome {
        Ok((way, value)) => format!("{gate} {number}: {way} {value}"),
        Err(why) => format!("{gate} {number}: {why}"),
    }
}

/// A gate of two parameters, for which the other form has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Two;

impl Form for Two {
    fn provide(&self, plugin: &Plugin, take: &str, _: &str) -> Result<Vec<Provider>> {
        let both = |a: u32, b: u32| format!("({a}, {b})");
        Ok(vec![plugin.provide(take, both)?])
    }

    fn open(&self, plugin: &Plugin, take: &str, _: &str) -> Result<Box<dyn Opened>> {
        let take = plugin.subscriber::<(u32, u32), String>(take)?;
        Ok(Box::new(TwoOpened(take)))
    }

    fn count(&self) -> usize {
        1
    }

    fn is_given(&self) -> bool {
        false
    }

    fn expected(&self, key: &str, _: &str, is_same: bool) -> Vec<String> {
        let told = match is_same {
            true => "archive (1, 2)".to_owned(),
            false => format!("closed LENGTH_MISMATCH {NOWHERE}"),
        };
        vec![format!("{key}.Take 0: {told}")]
    }

    fn cell(&self) -> String {
        closed(0_u32, Code::LengthMismatch, "").cell()
    }
}

struct TwoOpened(Subscriber<(u32, u32), String>);

impl Opened for TwoOpened {
    fn call(&self, _: Option<usize>) -> Vec<String> {
        vec![told("P.ParameterAdded.Take", 0, outcome(&self.0, (1, 2)))]
    }
}
