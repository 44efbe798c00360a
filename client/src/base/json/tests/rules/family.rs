//! Groups of Rust types that are variations of each other, with what a test needs of each.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use callgate_layout::{Code, Signature};

use super::super::{read, try_text};
use crate::base::any::Json;
use crate::base::types::{GateType, SortedMap, schema_of};
use crate::gate_type;

/// A type.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) signature: Signature,
    /// Reads a text as the type, and writes the value again.
    pub(super) pass: fn(&str) -> Result<String, Code>,
}

fn kind<T: GateType>() -> Kind {
    Kind {
        name: std::any::type_name::<T>(),
        signature: schema_of::<T>(),
        pass: |text| {
            let value = read::<T>(text).map_err(|error| error.code())?;
            Ok(try_text(&value).expect("it was read"))
        },
    }
}

macro_rules! structs {
    ($($name:ident { $($(#[$meta:meta])* $field:ident: $type:ty),* })*) => {
        $(#[gate_type] struct $name { $($(#[$meta])* $field: $type),* })*
    };
}

structs! {
    Ab { a: u8, b: String }
    Ba { b: String, a: u8 }
    A { a: u8 }
    AbWide { a: i64, b: String }
    AbFloat { a: f32, b: char }
    AbOptional { a: Option<u16>, b: Option<String> }
    AbDefault { #[serde(default)] a: u8, #[serde(default)] b: String, #[serde(default)] c: Vec<u8> }
    Abc { a: u8, b: String, c: Vec<u16> }
    AbBoxed { a: Box<u128>, b: Box<Option<String>> }
    Other { #[serde(default)] z: bool, y: Option<f64> }
    InList { all: Vec<Ab>, last: Option<Ab> }
    InWideList { all: Vec<AbOptional>, last: Option<Abc> }
    InArray { all: [AbDefault; 1], last: AbDefault }
    Maps { by_name: HashMap<String, u8>, by_number: BTreeMap<i8, bool> }
    OtherMaps { by_name: SortedMap<String, f64>, by_number: BTreeMap<u64, bool> }
    TextMaps { by_name: BTreeMap<char, u16>, by_number: HashMap<String, bool> }
    Tree { a: u8, children: Vec<Tree> }
    WideTree { a: Option<i32>, children: Vec<WideTree>, #[serde(default)] note: String }
    Fields { a: Json, b: Json }
}

#[gate_type]
struct Nothing;
#[gate_type]
struct Newtype(u32);
#[gate_type]
struct OfOption(Option<u32>);
#[gate_type]
struct Pair(u8, Option<f64>);

#[gate_type]
enum Two {
    Dot,
    Circle(u8),
}

#[gate_type]
enum Three {
    Square { side: u8 },
    Circle(Option<i64>),
    Dot,
}

#[gate_type]
enum Filled {
    Dot {
        size: Option<u8>,
    },
    Circle(Box<Newtype>),
    Square {
        side: f32,
        #[serde(default)]
        turned: bool,
    },
}

#[gate_type]
enum Tuples {
    Dot(Nothing),
    Circle(u8, u8),
    Square([u8; 2]),
}

#[gate_type]
enum Chain {
    End,
    More(u8, Box<Chain>),
}

#[gate_type]
enum WideChain {
    More(f64, Option<Box<WideChain>>),
    End,
}

macro_rules! kinds {
    ($($type:ty),* $(,)?) => { vec![$(kind::<$type>()),*] };
}

/// All groups, with related types next to each other. Sets and times are missing: they have rules that their schema
/// does not express.
pub(super) fn groups() -> Vec<Vec<Kind>> {
    let text = kinds![bool, char, String, PathBufIn, u8];
    let mut numbers = kinds![u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64];
    numbers.extend(kinds![
        Option<u16>,
        Option<Option<f32>>,
        Box<i32>,
        Newtype,
        OfOption
    ]);
    vec![
        text,
        numbers,
        kinds![
            Ab,
            Ba,
            A,
            AbWide,
            AbFloat,
            AbOptional,
            AbDefault,
            Abc,
            AbBoxed,
            Other,
            Nothing,
            (),
            Fields,
            Json,
            Option<Ab>
        ],
        kinds![InList, InWideList, InArray, Json],
        kinds![Maps, OtherMaps, TextMaps, Json],
        kinds![Tree, WideTree],
        kinds![Two, Three, Filled, Tuples, Option<Two>, String, Json],
        kinds![Chain, WideChain],
        kinds![
            Vec<u8>,
            Vec<i64>,
            [u8; 2],
            [f64; 3],
            (u8, u16),
            (i64, Option<u8>),
            (u8, u8, u8),
            Pair,
            Vec<Option<u8>>,
            (Vec<u8>,),
            Json,
            ()
        ],
        kinds![Result<u8, String>, Result<i64, u8>, Result<(), String>, Option<Result<f32, char>>, Json],
        kinds![SortedMap<String, u8>, SortedMap<u8, u8>, SortedMap<bool, u8>, SortedMap<char, Vec<u8>>, SortedMap<i64, f64>],
    ]
}

#[gate_type]
struct PathBufIn(PathBuf);
