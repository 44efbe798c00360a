//! Types of every shape under the macro, and which shapes have different fingerprints.

use std::collections::HashMap;

use super::*;
use crate::gate_type;

mod shapes {
    use super::*;

    #[gate_type]
    #[derive(Debug, PartialEq)]
    pub(super) struct Named {
        pub(super) id: u32,
        #[serde(default)]
        pub(super) r#type: String,
    }

    #[gate_type]
    pub(super) struct Tuple(pub u8, pub Option<String>);

    #[gate_type]
    pub(super) struct Unit;

    #[gate_type]
    pub(super) enum Mixed {
        Nothing,
        One(u8),
        Two { x: f32, y: Vec<Named> },
        Inner(Box<Mixed>),
        Outcome(Result<u8, String>),
    }

    #[gate_type]
    pub(super) struct Even {
        pub(super) next: Option<Box<Odd>>,
    }

    #[gate_type]
    pub(super) struct Odd {
        pub(super) next: Vec<Even>,
    }

    #[gate_type]
    pub(super) struct Pair<A, B> {
        pub(super) first: A,
        pub(super) second: Vec<B>,
    }
}
use shapes::*;

#[test]
fn schemas_of_every_shape() {
    let names = [
        schema_of::<Named>().text(),
        schema_of::<Tuple>().text(),
        schema_of::<Unit>().text(),
        schema_of::<Mixed>().text(),
        schema_of::<Pair<u8, Named>>().text(),
        schema_of::<SortedMap<String, [u8; 4]>>().text(),
        schema_of::<Result<(u8,), Option<Box<char>>>>().text(),
    ];
    let expected = [
        "(Named)",
        "(Tuple)",
        "(Unit)",
        "(Mixed)",
        "(Pair)",
        "(SortedMap<String, [u8; 4]>)",
        "(Result<(u8,), Option<char>>)",
    ];
    assert_eq!(names, expected);
}

#[test]
fn fields_are_described_with_their_defaults() {
    let named = schema_of::<Named>();
    let fields: Vec<_> = named.types[0]
        .body
        .fields()
        .map(|f| (f.name.as_str(), f.default))
        .collect();
    assert_eq!(fields, [("id", false), ("type", true)]);
}

fn same<A: GateType, B: GateType>() -> bool {
    fingerprint_of::<A>().unwrap() == fingerprint_of::<B>().unwrap()
}

mod theirs {
    use crate::gate_type;

    #[gate_type]
    pub(super) struct Renamed {
        id: u32,
        r#type: String,
    }
    #[gate_type]
    pub(super) struct OtherField {
        number: u32,
        r#type: String,
    }
    #[gate_type]
    pub(super) struct Reordered {
        r#type: String,
        id: u32,
    }
    #[gate_type]
    pub(super) struct Retyped {
        id: i32,
        r#type: String,
    }
    #[gate_type]
    pub(super) struct Boxed {
        id: Box<u32>,
        r#type: String,
    }
    #[gate_type]
    pub(super) struct Opaque {
        #[gate(opaque = "text/1")]
        text: String,
    }
    #[gate_type]
    pub(super) struct OpaqueLater {
        #[gate(opaque = "text/2")]
        text: String,
    }
    #[gate_type]
    pub(super) struct Ring {
        next: Vec<Ring>,
    }
    #[gate_type]
    pub(super) struct Loop {
        next: Vec<Loop>,
    }
}

/// Two plugins declare the same type in crates of their own. Archives can be used as they are if the shapes are
/// equal, and must not be if as little as a field's name differs.
#[test]
fn the_fingerprint_follows_the_shape_and_not_the_name() {
    assert!(same::<Named, theirs::Renamed>());
    assert!(same::<theirs::Ring, theirs::Loop>());
    assert!(!same::<Named, theirs::OtherField>());
    assert!(!same::<Named, theirs::Reordered>());
    assert!(!same::<Named, theirs::Retyped>());
    assert!(!same::<Named, theirs::Boxed>());
    assert!(!same::<theirs::Opaque, theirs::OpaqueLater>());
    assert!(!same::<Pair<u8, u8>, Pair<u8, u16>>());
    assert!(!same::<SortedMap<u8, u8>, Vec<(u8, u8)>>());
}

#[test]
fn types_that_contain_each_other_stand_in_the_table_once() {
    let names = |signature: Signature| -> Vec<String> {
        signature.types.into_iter().map(|def| def.name).collect()
    };
    assert_eq!(names(schema_of::<Even>()), ["Even", "Odd"]);
    assert_eq!(names(schema_of::<Odd>()), ["Odd", "Even"]);
    assert_eq!(names(schema_of::<Mixed>()), ["Mixed", "Named"]);
    let both = signature_of::<(Even, Odd), Vec<Even>>();
    assert_eq!(both.text(), "(Even, Odd) -> Vec<Even>");
    assert_eq!(names(both), ["Even", "Odd"]);
    assert!(!same::<Even, Odd>());
}

#[test]
fn gate_types_have_a_json_form() {
    let named: Named = serde_json::from_value(serde_json::json!({ "id": 3 })).unwrap();
    assert_eq!(
        named,
        Named {
            id: 3,
            r#type: String::new()
        }
    );
    let map: SortedMap<u16, bool> = [(7, true), (3, false)].into();
    let json = serde_json::to_string(&map).unwrap();
    assert_eq!(json, r#"{"3":false,"7":true}"#);
    assert_eq!(
        serde_json::from_str::<SortedMap<u16, bool>>(&json).unwrap(),
        map
    );
}

#[test]
fn a_sorted_map_is_a_map() {
    let mut map: SortedMap<String, u8> = SortedMap::default();
    assert_eq!(map.insert("b".to_owned(), 1), None);
    assert_eq!(map.insert("a".to_owned(), 2), None);
    assert_eq!(map.insert("b".to_owned(), 3), Some(1));
    assert_eq!((map.len(), map.get("b"), map.get("c")), (2, Some(&3), None));
    assert_eq!(map.remove("a"), Some(2));
    assert_eq!(map.into_iter().collect::<Vec<_>>(), [("b".to_owned(), 3)]);
}

#[test]
fn long_arrays_travel_and_have_a_json_form() {
    #[gate_type]
    #[derive(Debug, PartialEq)]
    struct Block {
        left: [f32; 64],
    }
    let block = Block {
        left: std::array::from_fn(|n| n as f32),
    };
    let json = serde_json::to_string(&block).unwrap();
    assert_eq!(serde_json::from_str::<Block>(&json).unwrap(), block);
    assert!(serde_json::from_str::<Block>(r#"{"left":[1,2]}"#).is_err());
    assert_eq!(schema_of::<Block>().text(), "(Block)");
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Frame<T> {
    rows: [[T; 40]; 2],
    last: T,
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Frames {
    list: Vec<[f32; 64]>,
    maybe: Option<Box<[[u8; 33]; 2]>>,
    pair: ([u16; 40], SortedMap<u8, [bool; 34]>),
    of_hash: HashMap<String, [i8; 50]>,
    frame: Frame<u8>,
}

/// serde implements its traits for arrays of up to 32 elements only, and for none inside other types.
#[test]
fn arrays_travel_wherever_they_stand() {
    let frames = Frames {
        list: vec![std::array::from_fn(|n| n as f32); 3],
        maybe: Some(Box::new([[7; 33], [8; 33]])),
        pair: ([9; 40], [(1, [true; 34])].into()),
        of_hash: [("a".to_owned(), [-1; 50])].into(),
        frame: Frame {
            rows: [[1; 40], [2; 40]],
            last: 3,
        },
    };
    let archive = crate::dynamic::encode(&frames).unwrap();
    assert_eq!(crate::dynamic::decode::<Frames>(&archive).unwrap(), frames);
    let json = serde_json::to_string(&frames).unwrap();
    assert_eq!(serde_json::from_str::<Frames>(&json).unwrap(), frames);
    let short = json.replace("[7,7,", "[7,");
    assert!(serde_json::from_str::<Frames>(&short).is_err());
}

mod circle {
    use super::*;
    use std::collections::BTreeMap;

    #[gate_type]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(super) struct First {
        pub(super) next: Vec<Second>,
        pub(super) by_name: HashMap<String, Second>,
    }

    #[gate_type]
    #[derive(Clone, Debug, PartialEq)]
    pub(super) enum Second {
        None,
        Third {
            third: Box<Third>,
            more: Option<Vec<(u8, Third)>>,
        },
    }

    #[gate_type]
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(super) struct Third {
        pub(super) first: Option<Box<First>>,
        pub(super) map: SortedMap<u8, First>,
        pub(super) tree: BTreeMap<String, Vec<Second>>,
    }

    #[gate_type]
    #[derive(Clone, Debug, PartialEq)]
    pub(super) struct Tree<T> {
        pub(super) value: T,
        pub(super) children: Vec<Tree<T>>,
        pub(super) by_name: HashMap<String, Tree<T>>,
    }
}

/// Each of the three types contains the two others, in every position that a type can have.
#[test]
fn types_that_contain_each_other_travel() {
    use circle::{First, Second, Third};
    let leaf = Third::default();
    let second = |third: Third| Second::Third {
        more: Some(vec![(1, third.clone())]),
        third: Box::new(third),
    };
    let first = First {
        next: vec![Second::None, second(leaf)],
        by_name: [("a".to_owned(), Second::None)].into(),
    };
    let third = Third {
        first: Some(Box::new(first.clone())),
        map: [(3, first.clone())].into(),
        tree: [("b".to_owned(), first.next.clone())].into(),
    };
    let first = First {
        next: vec![second(third)],
        ..first
    };
    let archive = crate::dynamic::encode(&first).unwrap();
    assert_eq!(crate::dynamic::decode::<First>(&archive).unwrap(), first);
    assert_eq!(schema_of::<First>().types.len(), 3);
    let tree = circle::Tree {
        value: 1_u8,
        children: vec![],
        by_name: HashMap::new(),
    };
    let tree = circle::Tree {
        value: 2,
        children: vec![tree.clone()],
        by_name: [("c".to_owned(), tree)].into(),
    };
    let archive = crate::dynamic::encode(&tree).unwrap();
    assert_eq!(
        crate::dynamic::decode::<circle::Tree<u8>>(&archive).unwrap(),
        tree
    );
}
