//! The JSON of structs and enums under the macro.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::gate_type;

#[gate_type]
#[derive(Debug, PartialEq, Default)]
struct Named {
    id: u32,
    r#type: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default = "seven")]
    size: u8,
}

fn seven() -> u8 {
    7
}

#[gate_type]
#[derive(Debug, PartialEq)]
#[serde(default)]
struct Filled {
    a: u8,
    b: Option<u8>,
    #[serde(default)]
    c: u8,
}

impl Default for Filled {
    fn default() -> Filled {
        Filled {
            a: 1,
            b: Some(2),
            c: 3,
        }
    }
}

#[gate_type]
#[derive(Debug, PartialEq)]
struct Unit;
#[gate_type]
#[derive(Debug, PartialEq)]
struct Empty {}
#[gate_type]
#[derive(Debug, PartialEq)]
struct NoTuple();
#[gate_type]
#[derive(Debug, PartialEq)]
struct Newtype(Option<u8>);
#[gate_type]
#[derive(Debug, PartialEq)]
struct Pair(u8, String);
#[gate_type]
#[derive(Debug, PartialEq)]
struct Both<A, B> {
    first: A,
    second: Vec<B>,
}

#[gate_type]
#[derive(Debug, PartialEq)]
enum Shape {
    Unit,
    New(u8),
    Tuple(u8, Option<u8>),
    None(),
    Struct {
        x: f32,
        #[serde(default = "seven")]
        y: u8,
    },
    Void {},
    r#Self_(Box<Shape>),
}

/// Checks that a value has this text, that serde_json writes the same, and that both read it back.
fn is<T>(value: T, expected: &str)
where
    T: JsonType + serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    assert_eq!(text(&value), expected);
    assert_eq!(serde_json::to_string(&value).unwrap(), expected);
    assert_eq!(read::<T>(expected).unwrap(), value);
    assert_eq!(serde_json::from_str::<T>(expected).unwrap(), value);
}

#[test]
fn shapes_have_the_text_of_serde_json() {
    let named = Named {
        id: 3,
        r#type: Some("a".to_owned()),
        tags: vec![],
        size: 1,
    };
    is(named, r#"{"id":3,"type":"a","tags":[],"size":1}"#);
    is(Unit, "null");
    is(Empty {}, "{}");
    is(NoTuple(), "[]");
    is(Newtype(Some(1)), "1");
    is(Newtype(None), "null");
    is(Pair(1, "a".to_owned()), r#"[1,"a"]"#);
    let both = Both {
        first: Unit,
        second: vec![Pair(1, String::new())],
    };
    is(both, r#"{"first":null,"second":[[1,""]]}"#);
    is(Shape::Unit, r#""Unit""#);
    is(Shape::New(1), r#"{"New":1}"#);
    is(Shape::Tuple(1, None), r#"{"Tuple":[1,null]}"#);
    is(Shape::None(), r#"{"None":[]}"#);
    is(
        Shape::Struct { x: 0.5, y: 1 },
        r#"{"Struct":{"x":0.5,"y":1}}"#,
    );
    is(Shape::Void {}, r#"{"Void":{}}"#);
    is(Shape::Self_(Box::new(Shape::Unit)), r#"{"Self_":"Unit"}"#);
}

#[test]
fn missing_fields_have_their_defaults() {
    let expected = Named {
        id: 3,
        size: 7,
        ..Named::default()
    };
    assert_eq!(read::<Named>(r#"{"id":3}"#).unwrap(), expected);
    assert_eq!(
        refused::<Named>("{}"),
        "TYPE_MISMATCH: result.id: expected a field of this name, found none"
    );
    // A field's own default takes precedence over that of the whole struct.
    let filled = read::<Filled>("{}").unwrap();
    assert_eq!(filled, serde_json::from_str("{}").unwrap());
    assert_eq!((filled.a, filled.b, filled.c), (1, Some(2), 0));
    let filled = read::<Filled>(r#"{"b":null,"a":9}"#).unwrap();
    assert_eq!((filled.a, filled.b, filled.c), (9, None, 0));
    let shape = read::<Shape>(r#"{"Struct":{"x":1}}"#).unwrap();
    assert_eq!(shape, Shape::Struct { x: 1.0, y: 7 });
    // Only a field whose type is an `Option` itself may be missing.
    assert!(read::<Both<Newtype, u8>>(r#"{"second":[]}"#).is_err());
    assert!(read::<Both<Box<Option<u8>>, u8>>(r#"{"second":[]}"#).is_err());
    assert!(read::<Both<(), u8>>(r#"{"second":[]}"#).is_err());
}

#[test]
fn unknown_fields_are_passed_over_and_known_ones_come_once() {
    let text = r#"{"new":{"a":[1,{"b":null}],"a":2},"size":1,"id":3,"old":"}"}"#;
    assert_eq!(read::<Named>(text).unwrap().id, 3);
    assert_eq!(
        refused::<Named>(r#"{"id":3,"size":1,"\u0069d":3}"#),
        "TYPE_MISMATCH: result.id: expected one value, found two"
    );
    assert_eq!(
        refused::<Named>(r#"{"id":null}"#),
        "VALUE_NULL: result.id: expected u32, found null"
    );
    assert_eq!(
        refused::<Named>("[3]"),
        "TYPE_MISMATCH: result: expected Named, found a list"
    );
    assert_eq!(
        refused::<Named>("null"),
        "VALUE_NULL: result: expected Named, found null"
    );
}

#[test]
fn variants_are_known_by_name() {
    let known = r#""Unit", "New", "Tuple", "None", "Struct", "Void", "Self_""#;
    for (text, found) in [
        (r#""Other""#, "\"Other\""),
        (r#"{"Other":1}"#, "\"Other\""),
        ("{}", "\"none\""),
    ] {
        let expected = format!("TYPE_MISMATCH: result: expected one of {known}, found {found}");
        assert_eq!(refused::<Shape>(text), expected);
    }
    let cases = [
        (
            r#"{"New":1,"Unit":null}"#,
            "TYPE_MISMATCH: result.Unit: expected one variant, found another one",
        ),
        (
            r#""New""#,
            "VALUE_NULL: result.New: expected u8, found null",
        ),
        (
            r#"{"New":"x"}"#,
            "TYPE_MISMATCH: result.New: expected u8, found a text",
        ),
        (
            r#"{"Tuple":[1,"x"]}"#,
            "TYPE_MISMATCH: result.Tuple[1]: expected u8, found a text",
        ),
        (
            r#"{"Tuple":[1]}"#,
            "TYPE_MISMATCH: result.Tuple: expected a list of 2, found a list of 1",
        ),
        (
            r#"{"Struct":{"x":true}}"#,
            "TYPE_MISMATCH: result.Struct.x: expected f32, found a truth value",
        ),
        (
            r#"{"Unit":1}"#,
            "TYPE_MISMATCH: result.Unit: expected Unit, found 1",
        ),
        ("null", "VALUE_NULL: result: expected Shape, found null"),
        ("7", "TYPE_MISMATCH: result: expected Shape, found 7"),
    ];
    for (text, expected) in cases {
        assert_eq!(refused::<Shape>(text), expected, "{text}");
    }
}

/// A unit struct, a struct without fields, and one that has lost all its fields have the same schema.
#[test]
fn what_has_no_fields_is_read_from_whatever_has_none() {
    for text in ["null", "{}", "[]", r#"{"a":[1],"a":2}"#] {
        assert_eq!(read::<Unit>(text).unwrap(), Unit);
        assert_eq!(read::<Empty>(text).unwrap(), Empty {});
        assert_eq!(read::<NoTuple>(text).unwrap(), NoTuple());
        // A parameter of type `()` is not a struct that has lost its fields.
        assert_eq!(read::<()>(text).is_ok(), !text.contains('a'));
        let in_variant = |name: &str| read::<Shape>(&format!(r#"{{"{name}":{text}}}"#)).unwrap();
        assert_eq!(in_variant("Unit"), Shape::Unit);
        assert_eq!(in_variant("None"), Shape::None());
        assert_eq!(in_variant("Void"), Shape::Void {});
    }
    assert_eq!(read::<Shape>(r#""None""#).unwrap(), Shape::None());
    assert_eq!(read::<Shape>(r#""Void""#).unwrap(), Shape::Void {});
    for wrong in ["1", "[1]", "[null]", "\"\"", "false"] {
        assert!(read::<Unit>(wrong).is_err() && read::<()>(wrong).is_err());
    }
}

/// A variant without contents may have got some in a later version, or have lost them.
#[test]
fn a_variants_name_alone_is_as_good_as_nothing_in_it() {
    #[gate_type]
    #[derive(Debug, PartialEq)]
    enum Later {
        Option(Option<u8>),
        Unit(()),
        Struct {
            #[serde(default)]
            a: u8,
        },
        Tuple(u8, u8),
        Defaults(Filled),
        Boxed(Box<Filled>),
        Needs(Event),
    }
    assert_eq!(read::<Later>("\"Option\"").unwrap(), Later::Option(None));
    assert_eq!(read::<Later>("\"Unit\"").unwrap(), Later::Unit(()));
    assert_eq!(read::<Later>("\"Struct\"").unwrap(), Later::Struct { a: 0 });
    let filled = || read::<Filled>("{}").unwrap();
    assert_eq!(
        read::<Later>("\"Defaults\"").unwrap(),
        Later::Defaults(filled())
    );
    assert_eq!(
        read::<Later>("\"Boxed\"").unwrap(),
        Later::Boxed(Box::new(filled()))
    );
    assert_eq!(
        refused::<Later>("\"Needs\""),
        "VALUE_NULL: result.Needs: expected Event, found null"
    );
    assert!(read::<Later>("\"Tuple\"").is_err());
    assert!(read::<Shape>("\"Struct\"").is_err());
}

mod foreign {
    use crate::__private::{rkyv, serde};

    #[derive(
        rkyv::Archive,
        rkyv::Serialize,
        rkyv::Deserialize,
        Debug,
        PartialEq,
        serde::Serialize,
        serde::Deserialize,
    )]
    pub(super) struct Note {
        pub(super) key: u8,
    }
}

#[gate_type]
#[derive(Debug, PartialEq)]
struct Event {
    at: u32,
    #[gate(opaque = "midi::Note/1")]
    note: foreign::Note,
    #[gate(opaque = "midi::Notes/1")]
    #[serde(default)]
    more: Vec<foreign::Note>,
}

#[gate_type]
#[derive(Debug, PartialEq)]
enum Foreign {
    One(#[gate(opaque = "midi::Note/1")] foreign::Note),
    Two(u8, #[gate(opaque = "midi::Note/1")] foreign::Note),
}

#[test]
fn foreign_types_are_read_and_written_by_serde() {
    let note = |key| foreign::Note { key };
    let event = Event {
        at: 1,
        note: note(3),
        more: vec![note(4)],
    };
    is(event, r#"{"at":1,"note":{"key":3},"more":[{"key":4}]}"#);
    is(Foreign::One(note(1)), r#"{"One":{"key":1}}"#);
    is(Foreign::Two(1, note(2)), r#"{"Two":[1,{"key":2}]}"#);
    assert_eq!(
        refused::<Event>(r#"{"at":1,"note":{"key":256}}"#)
            .split_once(", found ")
            .unwrap()
            .0,
        r#"TYPE_MISMATCH: result.note: expected opaque "midi::Note/1""#
    );
    assert_eq!(
        refused::<Event>(r#"{"at":1,"note":null}"#),
        r#"VALUE_NULL: result.note: expected opaque "midi::Note/1", found null"#
    );
    assert_eq!(
        refused::<Event>(r#"{"at":1}"#),
        "TYPE_MISMATCH: result.note: expected a field of this name, found none"
    );
}

#[gate_type]
#[derive(Debug, PartialEq)]
struct Library {
    by_name: HashMap<String, Vec<Option<PathBuf>>>,
    by_number: BTreeMap<i16, Box<SystemTime>>,
    #[serde(default)]
    names: HashSet<String>,
    since: Option<SystemTime>,
    size: (u8, BTreeSet<char>),
}

/// These types are no gate types themselves, but fields may have them.
#[test]
fn maps_sets_paths_and_times_are_fields_too() {
    let time = UNIX_EPOCH + Duration::new(1, 2);
    let library = Library {
        by_name: HashMap::from([("a".to_owned(), vec![Some("/b".into()), None])]),
        by_number: BTreeMap::from([(-7, Box::new(time))]),
        names: HashSet::from(["x".to_owned()]),
        since: None,
        size: (1, BTreeSet::from(['b', 'a'])),
    };
    let text = concat!(
        r#"{"by_name":{"a":["/b",null]},"#,
        r#""by_number":{"-7":{"secs_since_epoch":1,"nanos_since_epoch":2}},"#,
        r#""names":["x"],"since":null,"size":[1,["a","b"]]}"#
    );
    is(library, text);
    assert_eq!(
        refused::<Library>(r#"{"by_name":{"a":[3]}}"#),
        "TYPE_MISMATCH: result.by_name.a[0]: expected String, found 3"
    );
    let least = r#"{"by_name":{},"by_number":{},"size":[1,[]]}"#;
    assert_eq!(read::<Library>(least).unwrap().since, None);
}

#[test]
fn paths_lead_through_all_of_it() {
    type Tracks = HashMap<String, Vec<Both<Shape, Named>>>;
    let text = r#"{"a b":[{"first":"Unit","second":[{"id":1},{"id":1,"tags":[3]}]}]}"#;
    assert_eq!(
        refused::<Tracks>(text),
        r#"TYPE_MISMATCH: result["a b"][0].second[1].tags[0]: expected String, found 3"#
    );
}
