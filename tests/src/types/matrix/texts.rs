//! Texts, paths, times, and types that are known by their name alone.

use std::path::PathBuf;
use std::time::Duration;

use callgate_client::gate_type;

use super::Change;
use super::form::{archive, json, never};

mod midi {
    use callgate_client::__private::{rkyv, serde};

    /// A foreign type.
    #[derive(
        Clone,
        Copy,
        Debug,
        rkyv::Archive,
        rkyv::Serialize,
        rkyv::Deserialize,
        serde::Serialize,
        serde::Deserialize,
    )]
    #[rkyv(crate = rkyv)]
    #[serde(crate = "serde")]
    pub struct Note {
        pub key: u8,
    }
}

#[gate_type]
#[derive(Clone, Debug)]
struct Char {
    at: char,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Text {
    at: String,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Path {
    at: PathBuf,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Time {
    at: Duration,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Millis {
    at: u64,
}

#[gate_type]
#[derive(Clone, Debug)]
struct First {
    #[gate(opaque = "midi::Note/1")]
    at: midi::Note,
    velocity: u8,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Second {
    #[gate(opaque = "midi::Note/2")]
    at: midi::Note,
    velocity: u8,
}

#[gate_type]
#[derive(Clone, Debug)]
struct FirstWider {
    #[gate(opaque = "midi::Note/1")]
    at: midi::Note,
    velocity: u16,
}

#[gate_type]
#[derive(Clone, Debug)]
enum Place {
    Start,
}

#[gate_type]
#[derive(Clone, Debug)]
struct Named {
    at: Place,
}

fn text(at: &str) -> Text {
    Text { at: at.to_owned() }
}

pub(super) fn changes() -> Vec<Change> {
    let note = midi::Note { key: 60 };
    let first = First {
        at: note,
        velocity: 7,
    };
    let second = Second {
        at: note,
        velocity: 7,
    };
    let wider = |velocity| FirstWider { at: note, velocity };
    let path = Path {
        at: PathBuf::from("/tmp/a"),
    };
    let time = Time {
        at: Duration::from_millis(1_500),
    };
    vec![
        Change::of(
            "CharAsText",
            "`char` becomes `String`",
            json(Char { at: 'é' }, text("é")),
            json(text("é"), Char { at: 'é' }).but("\"ab\"", text("ab"), ".at"),
        ),
        Change::of(
            "TextAsPath",
            "`String` becomes `PathBuf`",
            archive(text("/tmp/a"), path.clone()),
            archive(path, text("/tmp/a")),
        ),
        Change::of(
            "TextAsEnum",
            "`String` becomes an enum",
            never(text("Start"), ".at"),
            never(Named { at: Place::Start }, ".at"),
        ),
        Change::of(
            "Duration",
            "A number of milliseconds becomes a `Duration`",
            never(Millis { at: 1_500 }, ".at"),
            never(time, ".at"),
        ),
        Change::of(
            "OpaqueVersion",
            "An opaque type gets another version",
            never(first.clone(), ".at"),
            never(second, ".at"),
        ),
        Change::of(
            "BesideOpaque",
            "A number beside an opaque type is widened",
            json(first.clone(), wider(7)),
            json(wider(7), first).but("300", wider(300), ".velocity"),
        ),
    ]
}
