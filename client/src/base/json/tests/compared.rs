//! What the comparison of schemas says about two types, compared with what happens to their values.

use callgate_layout::schema::compare::{Suits, suits};
use callgate_layout::{Code, Signature};
use serde_json::json;

use super::*;
use crate::base::any::Json;
use crate::base::types::{GateType, SortedMap, schema_of};
use crate::gate_type;

#[gate_type]
struct Unit;
#[gate_type]
struct Empty {}
#[gate_type]
struct Newtype(u8);
#[gate_type]
struct Pair(u8, String);
#[gate_type]
struct Named {
    a: u8,
    b: String,
}
#[gate_type]
struct Less {
    a: i32,
}
#[gate_type]
struct More {
    a: u8,
    b: String,
    c: Option<Box<More>>,
}
#[gate_type]
struct Defaulted {
    a: f32,
    #[serde(default)]
    z: u8,
}
#[gate_type]
struct Required {
    z: Newtype,
}
#[gate_type]
enum First {
    One,
    Two(u8),
    Three { a: u8 },
}
#[gate_type]
enum Second {
    Two(String),
    One,
}
#[gate_type]
enum Third {
    Three {
        a: f32,
        #[serde(default)]
        k: u8,
    },
    Four(u8, u8),
}
#[gate_type]
enum Fourth {
    Other,
    Three(Less),
}
#[gate_type]
enum Fifth {
    One(u16),
    Two(Newtype),
    Four([u8; 2]),
}

/// The types of one family are those whose values look alike in JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Family {
    Simple,
    List,
    Map,
    Struct,
    Enum,
    Outcome,
    Any,
}
use Family::*;

/// A type, with JSON texts of its values. None has an empty list or a `None`, which can be converted to any list or
/// option.
struct Kind {
    name: &'static str,
    family: Family,
    signature: Signature,
    texts: Vec<String>,
    read: fn(&str) -> Result<(), Error>,
}

fn kind<T: GateType>(family: Family, values: &[T]) -> Kind {
    Kind {
        family,
        name: std::any::type_name::<T>(),
        signature: schema_of::<T>(),
        texts: values.iter().map(text).collect(),
        read: |text| read::<T>(text).map(drop),
    }
}

fn numbers() -> Vec<Kind> {
    vec![
        kind(Simple, &[7_u8]),
        kind(Simple, &[-3_i64, 5]),
        kind(Simple, &[0.5_f64, 2.0]),
        kind(Simple, &[0.5_f32, 1.0]),
        kind(Simple, &[3_u128]),
        kind(Simple, &[true]),
        kind(Simple, &['x']),
        kind(Simple, &["x".to_owned()]),
        kind(Simple, &[()]),
        kind(Struct, &[Unit]),
        kind(Struct, &[Empty {}]),
        kind(Simple, &[Newtype(1)]),
        kind(Simple, &[Some(Box::new(1_u8))]),
    ]
}

fn lists() -> Vec<Kind> {
    vec![
        kind(List, &[vec![1_u8, 2], vec![1, 2, 3]]),
        kind(List, &[vec!["x".to_owned(), "y".to_owned()]]),
        kind(
            List,
            &[
                vec![Newtype(2), Newtype(3)],
                vec![Newtype(2), Newtype(3), Newtype(4)],
            ],
        ),
        kind(List, &[[1_u8, 2]]),
        kind(List, &[[1_i16, 2, 3]]),
        kind(List, &[(1_u8, 2_u8)]),
        kind(List, &[(1_u8, "x".to_owned())]),
        kind(List, &[Pair(1, "x".to_owned())]),
        kind(
            Map,
            &[
                SortedMap::from([("x".to_owned(), 1_u8)]),
                SortedMap::from([("1".to_owned(), 1)]),
            ],
        ),
        kind(Map, &[SortedMap::from([(1_u8, 1_u8)])]),
        kind(
            Map,
            &[
                SortedMap::from([('x', 1.5_f32)]),
                SortedMap::from([('x', 1.0)]),
            ],
        ),
    ]
}

fn structs() -> Vec<Kind> {
    let named = || Named {
        a: 1,
        b: "x".to_owned(),
    };
    let more = |c| More {
        a: 1,
        b: "x".to_owned(),
        c,
    };
    vec![
        kind(Struct, &[named()]),
        kind(Struct, &[vec![named()]]),
        kind(Struct, &[Less { a: 1 }]),
        kind(Struct, &[vec![Less { a: 1 }]]),
        kind(Struct, &[Some(Less { a: 1 })]),
        kind(Struct, &[more(Some(Box::new(more(None))))]),
        kind(Struct, &[Defaulted { a: 1.0, z: 1 }]),
        kind(Struct, &[Required { z: Newtype(1) }]),
    ]
}

fn enums() -> Vec<Kind> {
    let x = || "x".to_owned();
    vec![
        kind(Enum, &[First::One, First::Two(1), First::Three { a: 1 }]),
        kind(Enum, &[Second::One, Second::Two(x())]),
        kind(Enum, &[Third::Three { a: 1.0, k: 1 }, Third::Four(1, 2)]),
        kind(Enum, &[Fourth::Other, Fourth::Three(Less { a: 1 })]),
        kind(
            Enum,
            &[Fifth::One(1), Fifth::Two(Newtype(1)), Fifth::Four([1, 2])],
        ),
        kind(Outcome, &[Ok::<u8, String>(1), Err(x())]),
        kind(Outcome, &[Err::<String, u8>(1), Ok(x())]),
        kind(
            Outcome,
            &[Ok::<Newtype, Less>(Newtype(1)), Err(Less { a: 1 })],
        ),
        kind(Any, &[any()]),
        kind(Any, &[vec![any()]]),
    ]
}

/// A value of type `Json`.
fn any() -> Json {
    json!(1).into()
}

/// The texts of all types.
fn all_texts(kinds: &[Kind]) -> Vec<String> {
    kinds.iter().flat_map(|kind| kind.texts.clone()).collect()
}

/// Fails if a pair that "can never be converted" was converted, or if a pair that can be never was.
#[test]
fn values_are_converted_between_types_that_suit_each_other() {
    let mut kinds: Vec<Kind> = [numbers(), lists(), structs(), enums()]
        .into_iter()
        .flatten()
        .collect();
    let all = all_texts(&kinds);
    for kind in kinds.iter_mut().filter(|kind| kind.name.ends_with("Json")) {
        kind.texts = all.clone();
    }
    for kind in kinds.iter_mut().filter(|kind| kind.name.ends_with("Json>")) {
        kind.texts = all
            .iter()
            .flat_map(|text| {
                [
                    format!("[{text}]"),
                    format!("[{text},{text}]"),
                    format!("[{text},{text},{text}]"),
                ]
            })
            .collect();
        kind.texts.push(r#"[1,"x"]"#.to_owned());
    }
    let mut counts = [0; 3];
    for (from, to) in kinds
        .iter()
        .flat_map(|from| kinds.iter().map(move |to| (from, to)))
    {
        let read: Vec<_> = from.texts.iter().map(|text| (to.read)(text)).collect();
        let taken = read.iter().filter(|read| read.is_ok()).count();
        let what = format!("{} → {}: {:?} {read:?}", from.name, to.name, from.texts);
        let verdict = suits(&from.signature, &to.signature);
        match &verdict {
            Ok(Suits::Equal) => assert_eq!(taken, read.len(), "{what}"),
            Ok(Suits::Convertible { .. }) => assert!(taken > 0, "{what}"),
            Err(never) if !look_alike(from, to) => assert_eq!(taken, 0, "{never}: {what}"),
            Err(_) => {}
        }
        for error in read.into_iter().filter_map(Result::err) {
            let codes = [Code::TypeMismatch, Code::ValueNull];
            assert!(codes.contains(&error.code()), "{what}");
        }
        counts[match verdict {
            Ok(Suits::Equal) => 0,
            Ok(Suits::Convertible { .. }) => 1,
            Err(_) => 2,
        }] += 1;
    }
    // Each of the outcomes must happen often.
    assert!(
        counts.iter().all(|count| *count >= kinds.len()),
        "{counts:?}"
    );
}

/// Whether values of two types look alike in JSON without meaning the same: a map and a struct, a text and a
/// variant's name. The comparison refuses such pairs; their values alone do not show it.
fn look_alike(from: &Kind, to: &Kind) -> bool {
    let is_object = |family| matches!(family, Map | Struct | Enum | Outcome);
    let are_objects = is_object(from.family) && is_object(to.family);
    let has_text = from.texts.iter().any(|text| text.starts_with('"'));
    let is_nothing = from.texts.iter().any(|text| text == "null");
    match from.family == to.family {
        true => from.family == Map || is_nothing,
        false => are_objects || has_text || is_nothing,
    }
}
