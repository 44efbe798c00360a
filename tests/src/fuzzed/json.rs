//! JSON that comes from peers, compared with how serde_json reads it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use callgate_client::__private::json::{JsonType, read_arguments, read_result, to_text};
use callgate_client::__private::serde;
use callgate_client::{Code, Json, SortedMap, gate_type};
use serde_json::Value;

/// A struct that nests values of all kinds.
#[gate_type]
#[derive(Debug, PartialEq)]
struct Nested {
    #[serde(default)]
    id: u64,
    small: Option<i8>,
    wide: Option<i128>,
    float: Option<f32>,
    #[serde(default)]
    text: String,
    letter: Option<char>,
    #[serde(default)]
    pair: (u16, bool),
    #[serde(default)]
    block: [u8; 3],
    #[serde(default)]
    map: SortedMap<i32, Vec<f64>>,
    #[serde(default)]
    hashed: HashMap<String, Option<PathBuf>>,
    #[serde(default)]
    tree: BTreeMap<bool, Box<Nested>>,
    #[serde(default)]
    set: HashSet<u8>,
    at: Option<SystemTime>,
    #[serde(default)]
    after: Duration,
    kind: Option<Kind>,
    #[serde(default)]
    any: Json,
}

#[gate_type]
#[derive(Debug, PartialEq)]
enum Kind {
    Unit,
    New(Newtype),
    Tuple(u8, Box<Kind>),
    Struct { nested: Vec<Nested>, unit: () },
    Outcome(Result<u32, String>),
}

#[gate_type]
#[derive(Debug, PartialEq)]
struct Newtype(u32);

/// Reads a text as values of some types.
pub(super) fn convert(input: &[u8]) {
    as_any(input);
    as_type::<Nested>(input);
    as_type::<Kind>(input);
    as_type::<Vec<u128>>(input);
    let _ = read_arguments::<()>(input);
    if let Ok(arguments) = read_arguments::<(u8, Option<f64>, Nested)>(input) {
        returns(&arguments);
    }
}

/// Both readers accept the same texts and read the same value from them.
fn as_any(input: &[u8]) {
    match (
        read_result::<Json>(input),
        serde_json::from_slice::<Value>(input),
    ) {
        (Ok(ours), Ok(theirs)) => {
            assert!(is_like(&ours, &theirs), "{ours} {theirs}");
            returns(&ours);
        }
        (Ok(ours), Err(why)) => panic!("{ours} is taken: {why}"),
        // We alone refuse a number that would lose digits, a repeated key, and too many levels.
        (Err(why), Ok(_)) => assert_eq!(why.code(), Code::TypeMismatch, "{why}"),
        (Err(_), Err(_)) => {}
    }
}

fn as_type<T>(input: &[u8])
where
    T: JsonType + serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(ours) = read_result::<T>(input) else {
        return;
    };
    returns(&ours);
    if let Ok(theirs) = serde_json::from_slice::<T>(input) {
        // Both are compared after writing them ourselves, because serde writes a hash set in any order.
        let values = [ours, theirs].map(|value| serde_json::from_str(&to_text(&value).ok()?).ok());
        if let [Some(ours), Some(theirs)] = values {
            assert!(is_like(&ours, &theirs), "{ours} {theirs}");
        }
    }
}

/// A value that was read can be written and read again, unless a default has more levels than are allowed.
fn returns<T: JsonType + PartialEq + std::fmt::Debug>(value: &T) {
    match to_text(value) {
        Ok(text) => assert_eq!(&read_result::<T>(text.as_bytes()).expect("our own"), value),
        Err(why) => assert!(
            why.message().contains("at most 64 levels"),
            "{value:?}: {why}"
        ),
    }
}

/// Whether two values are the same, apart from the last digits of a float: serde_json rounds some floats to the
/// second nearest.
fn is_like(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_like(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let is_there = |(key, a): (&String, &Value)| b.get(key).is_some_and(|b| is_like(a, b));
            a.len() == b.len() && a.iter().all(is_there)
        }
        (Value::Number(a), Value::Number(b)) => match (a.as_f64(), b.as_f64()) {
            (Some(a), Some(b)) if a != b => (a - b).abs() <= a.abs() * 1e-6,
            _ => true,
        },
        _ => a == b,
    }
}
