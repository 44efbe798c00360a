//! The JSON of types of the standard library.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::base::types::SortedMap;

/// Checks that a value has this text, that serde_json writes the same, and that the value is read back from it.
fn is<T>(value: T, expected: &str)
where
    T: JsonType + serde::Serialize + PartialEq + Debug,
{
    assert_eq!(text(&value), expected);
    assert_eq!(serde_json::to_string(&value).unwrap(), expected);
    assert_eq!(read::<T>(expected).unwrap(), value);
}

#[test]
fn simple_types_have_the_text_of_serde_json() {
    is(true, "true");
    is(false, "false");
    is((), "null");
    is('ä', "\"ä\"");
    is(
        "a\"\\\n\u{1}/\u{10ffff}\u{7f}".to_owned(),
        "\"a\\\"\\\\\\n\\u0001/\u{10ffff}\u{7f}\"",
    );
    is(1.0_f64, "1.0");
    is(0.1_f32, "0.1");
    is(-0.0_f64, "-0.0");
    is(1e300_f64, "1e+300");
    is(i8::MIN, "-128");
    is(Box::new(3_u8), "3");
    is(Some(3_u8), "3");
    is(None::<u8>, "null");
    is(Ok::<u8, String>(3), r#"{"Ok":3}"#);
    is(Err::<u8, String>("no".to_owned()), r#"{"Err":"no"}"#);
}

#[test]
fn lists_have_the_text_of_serde_json() {
    is(Vec::<u8>::new(), "[]");
    is(vec![1_u8, 2, 3], "[1,2,3]");
    is(
        vec![Some(()), None]
            .into_iter()
            .map(|x| x.is_some())
            .collect::<Vec<_>>(),
        "[true,false]",
    );
    is([1_u8, 2], "[1,2]");
    is([[0.5_f32; 2]; 2], "[[0.5,0.5],[0.5,0.5]]");
    is((1_u8,), "[1]");
    is((1_u8, "a".to_owned(), [0_u8; 0]), r#"[1,"a",[]]"#);
    let long = [7_u16; 300];
    assert_eq!(read::<[u16; 300]>(&text(&long)).unwrap(), long);
}

#[test]
fn fixed_lengths_must_be_equal() {
    let cases = [
        (refused::<[u8; 2]>("[1]"), "a list of 2", "a list of 1"),
        (refused::<[u8; 2]>("[1,2,[]]"), "a list of 2", "a list of 3"),
        (refused::<(u8, u8)>("[]"), "a list of 2", "a list of 0"),
        (
            refused::<(u8, u8)>("[1,2,\"x\", 4]"),
            "a list of 2",
            "a list of 4",
        ),
    ];
    for (refused, expected, found) in cases {
        let said = format!("TYPE_MISMATCH: result: expected {expected}, found {found}");
        assert_eq!(refused, said);
    }
}

#[test]
fn maps_have_their_keys_as_text() {
    is(
        SortedMap::from([(7_u16, true), (3, false)]),
        r#"{"3":false,"7":true}"#,
    );
    is(BTreeMap::from([(-1_i8, 'a')]), r#"{"-1":"a"}"#);
    is(
        BTreeMap::from([(true, ()), (false, ())]),
        r#"{"false":null,"true":null}"#,
    );
    is(BTreeMap::from([('"', 1_u8)]), r#"{"\"":1}"#);
    is(
        BTreeMap::from([("a b".to_owned(), vec![1_u8])]),
        r#"{"a b":[1]}"#,
    );
    is(HashMap::from([("a".to_owned(), 1_u8)]), r#"{"a":1}"#);
    is(BTreeSet::from([3_u8, 1]), "[1,3]");
    is(HashSet::from([3_u8]), "[3]");
}

/// A hash map has another order each time. Without sorting, equal values would have different texts.
#[test]
fn hash_maps_and_sets_are_written_in_order() {
    let map: HashMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    let sorted: BTreeMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    assert_eq!(text(&map), text(&sorted));
    let set: HashSet<u32> = (0..100).collect();
    assert_eq!(text(&set), text(&(0..100).collect::<Vec<u32>>()));
    assert_eq!(read::<HashMap<u32, u32>>(&text(&map)).unwrap(), map);
}

#[test]
fn a_key_or_an_element_twice_is_refused() {
    let twice = r#"{"a":1,"b":2,"\u0061":3}"#;
    let said = "TYPE_MISMATCH: result.a: expected one value, found two";
    assert_eq!(refused::<HashMap<String, u8>>(twice), said);
    assert_eq!(refused::<BTreeMap<String, u8>>(twice), said);
    assert_eq!(refused::<SortedMap<String, u8>>(twice), said);
    assert_eq!(refused::<serde_json::Value>(twice), said);
    // These texts contain one key in two spellings.
    assert!(read::<SortedMap<u8, u8>>(r#"{"1":1,"1.0":2}"#).is_err());
    assert!(read::<HashSet<u8>>("[1,2,1]").is_err());
    assert!(read::<BTreeSet<u8>>("[1,2,1.0]").is_err());
}

#[test]
fn keys_are_refused_that_are_none() {
    assert_eq!(
        refused::<SortedMap<u8, u8>>(r#"{"x":1}"#),
        "TYPE_MISMATCH: result: expected u8 as a key, found x"
    );
    for wrong in [
        r#"{"256":1}"#,
        r#"{" 1":1}"#,
        r#"{"1 ":1}"#,
        r#"{"":1}"#,
        r#"{"01":1}"#,
    ] {
        assert!(read::<SortedMap<u8, u8>>(wrong).is_err(), "{wrong}");
    }
    assert!(read::<SortedMap<char, u8>>(r#"{"ab":1}"#).is_err());
    assert!(read::<SortedMap<bool, u8>>(r#"{"True":1}"#).is_err());
}

#[test]
fn times_are_two_numbers() {
    is(Duration::new(3, 7), r#"{"secs":3,"nanos":7}"#);
    let time = UNIX_EPOCH + Duration::new(3, 7);
    is(time, r#"{"secs_since_epoch":3,"nanos_since_epoch":7}"#);
    assert_eq!(
        read::<Duration>(r#"{"nanos":7,"more":[{}],"secs":3}"#).unwrap(),
        Duration::new(3, 7)
    );
    for wrong in [
        r#"{"secs":3,"nanos":1000000000}"#,
        r#"{"secs":3}"#,
        r#"{"secs":3,"secs":3,"nanos":1}"#,
        r#"{"secs":-1,"nanos":1}"#,
        "[3,7]",
        "3",
    ] {
        assert!(read::<Duration>(wrong).is_err(), "{wrong}");
    }
    let last = format!(
        r#"{{"secs_since_epoch":{},"nanos_since_epoch":0}}"#,
        u64::MAX
    );
    assert!(read::<SystemTime>(&last).is_err());
    assert!(try_text(&(UNIX_EPOCH - Duration::from_secs(1))).is_err());
}

#[test]
fn paths_are_text() {
    is(PathBuf::from("/a/ü"), "\"/a/ü\"");
    let path = PathBuf::from(std::ffi::OsString::from_vec(vec![b'/', 0xff]));
    assert_eq!(
        said(try_text(&path).unwrap_err()),
        "TYPE_MISMATCH: result: expected a path in UTF-8, found another one"
    );
}

#[test]
fn null_is_for_those_that_take_it() {
    assert_eq!(read::<Option<Option<u8>>>("null").unwrap(), None);
    assert_eq!(
        read::<serde_json::Value>("null").unwrap(),
        serde_json::Value::Null
    );
    read::<Box<()>>("null").unwrap();
    let refusals = [
        refused::<u8>("null"),
        refused::<f64>("null"),
        refused::<bool>("null"),
        refused::<char>("null"),
        refused::<String>("null"),
        refused::<Vec<u8>>("null"),
        refused::<[u8; 2]>("null"),
        refused::<(u8,)>("null"),
        refused::<u128>("null"),
        refused::<Duration>("null"),
        refused::<SortedMap<u8, u8>>("null"),
        refused::<HashSet<u8>>("null"),
        refused::<Result<u8, u8>>("null"),
        refused::<Box<u8>>("null"),
    ];
    for refused in refusals {
        assert!(
            refused.starts_with("VALUE_NULL: result: expected "),
            "{refused}"
        );
    }
    // A text that only begins like `null` is not JSON.
    assert!(refused::<u8>("nul").starts_with("PROTOCOL"));
}

/// The other side would read it as `None`.
#[test]
fn some_of_what_is_null_cannot_be_written() {
    for refused in [
        try_text(&Some(None::<u8>)),
        try_text(&Some(())),
        try_text(&Some(Box::new(None::<u8>))),
        try_text(&Some(serde_json::Value::Null)),
    ] {
        assert_eq!(
            said(refused.unwrap_err()),
            "TYPE_MISMATCH: result: expected None, found Some of what is null in JSON"
        );
    }
    assert_eq!(text(&Some(Some(1_u8))), "1");
    assert_eq!(text(&Some(vec![()])), "[null]");
    assert_eq!(text(&Some("null".to_owned())), "\"null\"");
}

#[test]
fn characters_and_texts_of_one_are_the_same() {
    assert_eq!(read::<char>(r#""\ud83d\ude00""#).unwrap(), '😀');
    assert_eq!(read::<String>(&text(&'x')).unwrap(), "x");
    for wrong in ["\"\"", "\"ab\"", "1", "[\"a\"]"] {
        assert!(read::<char>(wrong).is_err(), "{wrong}");
    }
}
