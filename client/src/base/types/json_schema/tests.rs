//! The JSON Schema of a signature allows exactly what the conversion rules accept.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::json_schema;
use crate::base::json::read_arguments;
use crate::base::types::{Arguments, SortedMap, signature_of};
use crate::{dynamic, gate_type};

/// Whether the schema allows a value. Supports the keywords that `json_schema` writes; the test fails at any other.
fn allows(root: &Value, schema: &Value, value: &Value) -> bool {
    let Value::Object(words) = schema else {
        return schema.as_bool().unwrap();
    };
    words.iter().all(|(word, of)| match word.as_str() {
        "title" | "description" | "$schema" | "$defs" => true,
        "$ref" => {
            let name = of.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
            allows(root, &root["$defs"][name], value)
        }
        "type" => match of {
            Value::Array(names) => names.iter().any(|name| is_of_type(name, value)),
            name => is_of_type(name, value),
        },
        "const" => of == value,
        "enum" => of.as_array().unwrap().contains(value),
        "not" => !allows(root, of, value),
        "anyOf" => of
            .as_array()
            .unwrap()
            .iter()
            .any(|one| allows(root, one, value)),
        "oneOf" => {
            let fits = |one: &&Value| allows(root, one, value);
            of.as_array().unwrap().iter().filter(fits).count() == 1
        }
        _ => allows_within(root, words, word, value),
    })
}

fn is_of_type(name: &Value, value: &Value) -> bool {
    match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        other => panic!("{other}"),
    }
}

/// Checks the keywords about the contents of arrays, objects, strings and numbers. They allow all other values.
fn allows_within(
    root: &Value,
    words: &serde_json::Map<String, Value>,
    word: &str,
    value: &Value,
) -> bool {
    let of = &words[word];
    let prefix = words.get("prefixItems").and_then(Value::as_array);
    let prefix = prefix.map_or(0, Vec::len);
    match (word, value) {
        ("prefixItems", Value::Array(items)) => {
            let mut pairs = of.as_array().unwrap().iter().zip(items);
            pairs.all(|(schema, item)| allows(root, schema, item))
        }
        ("items", Value::Array(items)) => {
            items.iter().skip(prefix).all(|item| allows(root, of, item))
        }
        ("minItems", Value::Array(items)) => items.len() as u64 >= of.as_u64().unwrap(),
        ("maxItems", Value::Array(items)) => items.len() as u64 <= of.as_u64().unwrap(),
        ("properties", Value::Object(members)) => {
            let mut of = of.as_object().unwrap().iter();
            of.all(|(name, schema)| members.get(name).is_none_or(|m| allows(root, schema, m)))
        }
        ("required", Value::Object(members)) => {
            let mut names = of.as_array().unwrap().iter();
            names.all(|name| members.contains_key(name.as_str().unwrap()))
        }
        ("maxProperties", Value::Object(members)) => members.len() as u64 <= of.as_u64().unwrap(),
        ("additionalProperties", Value::Object(members)) => {
            members.values().all(|member| allows(root, of, member))
        }
        ("propertyNames", Value::Object(members)) => {
            members.keys().all(|name| allows(root, of, &json!(name)))
        }
        ("minLength", Value::String(text)) => text.chars().count() as u64 >= of.as_u64().unwrap(),
        ("maxLength", Value::String(text)) => text.chars().count() as u64 <= of.as_u64().unwrap(),
        ("pattern", Value::String(text)) => {
            let digits = match of.as_str().unwrap() {
                "^-?[0-9]+$" => text.strip_prefix('-').unwrap_or(text),
                "^[0-9]+$" => text,
                other => panic!("{other}"),
            };
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        }
        ("minimum", Value::Number(number)) => number.as_f64() >= of.as_f64(),
        ("maximum", Value::Number(number)) => number.as_f64() <= of.as_f64(),
        ("prefixItems" | "items" | "minItems" | "maxItems" | "properties" | "required", _)
        | ("maxProperties" | "additionalProperties" | "propertyNames", _)
        | ("minLength" | "maxLength" | "pattern" | "minimum" | "maximum", _) => true,
        (other, _) => panic!("{other}"),
    }
}

/// Checks that the schema allows these arguments exactly if the conversion rules accept them.
fn agree<A: Arguments>(arguments: &[(Value, bool)]) {
    let schema = json_schema(&signature_of::<A, ()>());
    for (arguments, is_right) in arguments {
        let text = serde_json::to_vec(arguments).unwrap();
        let is_read = read_arguments::<A>(&text).is_ok();
        assert_eq!(is_read, *is_right, "read: {arguments}");
        let call = json!({ "arguments": arguments, "result": null });
        assert_eq!(
            allows(&schema, &schema, &call),
            *is_right,
            "{arguments}: {schema:#}"
        );
    }
}

#[gate_type]
struct Track {
    name: String,
    gain: Option<f32>,
    #[serde(default)]
    tags: Vec<char>,
    by_key: HashMap<u8, Node>,
}

#[gate_type]
enum Node {
    Leaf,
    Id(Id),
    Pair(u8, bool),
    Split {
        left: Box<Node>,
        right: Option<Box<Node>>,
    },
}

#[gate_type]
struct Id(u64);

#[gate_type]
struct Nothing;

#[test]
fn structs_and_enums() {
    let track = |node: Value| json!([{ "name": "a", "by_key": { "7": node } }]);
    agree::<(Track,)>(&[
        (
            json!([{ "name": "a", "gain": null, "tags": ["x"], "by_key": {} }]),
            true,
        ),
        (
            json!([{ "name": "a", "gain": 1, "by_key": {}, "more": 3 }]),
            true,
        ),
        (json!([{ "name": "a" }]), false),
        (json!([{ "name": 1, "by_key": {} }]), false),
        (
            json!([{ "name": "a", "tags": ["xy"], "by_key": {} }]),
            false,
        ),
        (json!([{ "name": "a", "by_key": { "x": "Leaf" } }]), false),
        (json!([]), false),
        (track(json!("Leaf")), true),
        (track(json!("Other")), false),
        (track(json!({ "Id": 5 })), true),
        (track(json!({ "Id": -5 })), false),
        (track(json!({ "Id": 5, "Leaf": null })), false),
        (track(json!({ "Pair": [1, true] })), true),
        (track(json!({ "Pair": [1] })), false),
        (track(json!({ "Pair": [1, true, 2] })), false),
        (
            track(json!({ "Split": { "left": { "Split": { "left": "Leaf" } } } })),
            true,
        ),
        (track(json!({ "Split": { "right": "Leaf" } })), false),
    ]);
}

#[test]
fn everything_else() {
    agree::<(u8, i128, char, (), [bool; 2], Nothing)>(&[
        (json!([255, -5, "é", null, [true, false], null]), true),
        (
            json!([
                255,
                "-170141183460469231731687303715884105728",
                "é",
                null,
                [true, false],
                {}
            ]),
            true,
        ),
        (json!([256, -5, "é", null, [true, false], null]), false),
        (json!([1.5, -5, "é", null, [true, false], null]), false),
        (json!([1.0, -5, "é", null, [true, false], null]), true),
        (json!([1, "-", "é", null, [true, false], null]), false),
        (json!([1, -5, "", null, [true, false], null]), false),
        (json!([1, -5, "a", null, [true], null]), false),
        (json!([1, -5, "a", null, [true, false], [3]]), false),
        (json!([1, -5, "a", null, [true, false]]), false),
    ]);
    agree::<(Result<u8, String>, SortedMap<bool, f64>, Duration)>(&[
        (
            json!([{ "Ok": 1 }, { "true": 1e300 }, { "secs": 1, "nanos": 2 }]),
            true,
        ),
        (json!([{ "Err": "x" }, {}, { "secs": 1, "nanos": 2 }]), true),
        (json!([{ "Err": 1 }, {}, { "secs": 1, "nanos": 2 }]), false),
        (
            json!([{ "Ok": 1 }, { "1": 1 }, { "secs": 1, "nanos": 2 }]),
            false,
        ),
        (json!([{ "Ok": 1 }, {}, { "secs": 1 }]), false),
    ]);
}

#[gate_type]
struct Moment {
    at: SystemTime,
}

/// A type of another crate, with the same name.
mod theirs {
    use crate::gate_type;

    #[gate_type]
    pub(super) struct Moment {
        pub(super) other: bool,
    }
}

#[test]
fn types_of_one_name_are_told_apart() {
    agree::<(Moment, theirs::Moment)>(&[
        (
            json!([{ "at": { "secs_since_epoch": 1, "nanos_since_epoch": 2 } }, { "other": true }]),
            true,
        ),
        (json!([{ "at": {} }, { "other": true }]), false),
    ]);
    let schema = json_schema(&signature_of::<(Moment, theirs::Moment), ()>());
    let names: Vec<&String> = schema["$defs"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["Moment", "Moment.2", "SystemTime"]);
}

#[test]
fn any_parameters_any_result_and_none() {
    let mut signature = signature_of::<(), u8>();
    signature.params = None;
    signature.result = Some(dynamic::Schema::Any);
    let schema = json_schema(&signature);
    let call = json!({ "arguments": [1, [2], "x"], "result": { "y": null } });
    assert!(allows(&schema, &schema, &call));
    assert!(!allows(&schema, &schema, &json!({ "arguments": [] })));
    signature.result = None;
    let schema = json_schema(&signature);
    assert!(allows(&schema, &schema, &json!({ "arguments": [] })));
    assert_eq!(schema["title"], "(..)");
}
