//! Pairs of types, and the results of comparing them.

use super::super::compare::{Mismatch, Suits, suits};
use super::{Body, Primitive, Schema, Signature, TypeDef, U32, action, choice, list, record};
use crate::Code;

const U8: Schema = Schema::Primitive(Primitive::U8);
const F64: Schema = Schema::Primitive(Primitive::F64);
const CHAR: Schema = Schema::Primitive(Primitive::Char);

fn option(schema: Schema) -> Schema {
    Schema::Option(Box::new(schema))
}

fn array(element: Schema, length: u64) -> Schema {
    Schema::Array {
        element: Box::new(element),
        length,
    }
}

fn result(ok: Schema, err: Schema) -> Schema {
    Schema::Result {
        ok: Box::new(ok),
        err: Box::new(err),
    }
}

fn map(key: Schema, value: Schema) -> Schema {
    Schema::Map {
        key: Box::new(key),
        value: Box::new(value),
    }
}

/// What the comparison says of a call whose argument has the first type and whose parameter has the second.
pub(super) fn said(
    from: Schema,
    from_types: &[TypeDef],
    to: Schema,
    to_types: &[TypeDef],
) -> String {
    match suits(&action(from, from_types), &action(to, to_types)) {
        Ok(Suits::Equal) => "equal".to_owned(),
        Ok(Suits::Convertible { difference }) => difference,
        Err(mismatch) => format!("never: {mismatch}"),
    }
}

fn plain(from: Schema, to: Schema) -> String {
    said(from, &[], to, &[])
}

#[test]
fn types_without_names() {
    let opaque = |name: &str| Schema::Opaque(name.to_owned());
    let tuple = |schemas: &[Schema]| Schema::Tuple(schemas.to_vec());
    let boxed = Schema::Box(Box::new(U32));
    for (from, to, expected) in [
        (U32, U32, "equal"),
        (U32, F64, "arguments[0]: expected f64, found u32"),
        (
            U32,
            Schema::String,
            "never: arguments[0]: expected String, found u32",
        ),
        (
            CHAR,
            Schema::String,
            "arguments[0]: expected String, found char",
        ),
        (
            U32,
            option(U32),
            "arguments[0]: expected Option<u32>, found u32",
        ),
        (
            option(U32),
            U8,
            "arguments[0]: expected u8, found Option<u32>",
        ),
        (U32, boxed, "arguments[0]: expected u32, found u32"),
        (
            list(U32),
            array(U32, 3),
            "arguments[0]: expected [u32; 3], found Vec<u32>",
        ),
        (
            list(U32),
            tuple(&[U32, U8]),
            "arguments[0]: expected (u32, u8), found Vec<u32>",
        ),
        (
            array(U32, 2),
            array(U32, 3),
            "never: arguments[0]: expected [u32; 3], found [u32; 2]",
        ),
        (
            array(U32, 2),
            tuple(&[U32]),
            "never: arguments[0]: expected (u32,), found [u32; 2]",
        ),
        (
            list(U32),
            list(Schema::Unit),
            "never: arguments[0][]: expected (), found u32",
        ),
        (
            tuple(&[U32, U8]),
            tuple(&[U32, Schema::Unit]),
            "never: arguments[0][1]: expected (), found u8",
        ),
        (
            result(U8, U8),
            result(U8, Schema::Unit),
            "arguments[0].Err: expected (), found u8",
        ),
        (
            result(U8, U8),
            result(Schema::Unit, Schema::Unit),
            "never: arguments[0]: expected Result<(), ()>, found Result<u8, u8>",
        ),
        (
            map(U8, U8),
            map(U8, F64),
            "arguments[0]{}: expected f64, found u8",
        ),
        (
            map(U8, U8),
            map(CHAR, U8),
            "never: arguments[0]{key}: expected char, found u8",
        ),
        (
            opaque("a/1"),
            opaque("a/2"),
            "never: arguments[0]: expected opaque \"a/2\", found opaque \"a/1\"",
        ),
        (Schema::Any, U32, "arguments[0]: expected u32, found any"),
        (U32, Schema::Any, "arguments[0]: expected any, found u32"),
        (
            Schema::Unit,
            U32,
            "never: arguments[0]: expected u32, found ()",
        ),
    ] {
        assert_eq!(plain(from, to), expected);
    }
}

/// A struct with these fields. Those whose names begin with a question mark have a default.
fn defaults(fields: &[(&str, Schema)]) -> TypeDef {
    let mut def = record("Track", fields);
    if let Body::Struct(fields) = &mut def.body {
        for field in fields {
            if let Some(name) = field.name.strip_prefix('?') {
                (field.name, field.default) = (name.to_owned(), true);
            }
        }
    }
    def
}

#[test]
fn structs_by_the_names_of_their_fields() {
    for (from, to, expected) in [
        (vec![("a", U32)], vec![("a", U32)], "equal"),
        (
            vec![("a", U32)],
            vec![("a", U32), ("b", U32)],
            "never: arguments[0].b: expected u32, found nothing",
        ),
        (
            vec![("a", U32)],
            vec![("a", U32), ("?b", U32)],
            "arguments[0]: expected field b, found nothing",
        ),
        (
            vec![("a", U32)],
            vec![("b", option(U32)), ("a", U32)],
            "arguments[0]: expected field b, found field a",
        ),
        (
            vec![("a", U32), ("b", U8)],
            vec![("a", U32)],
            "arguments[0]: expected nothing, found field b",
        ),
        (
            vec![("a", U32)],
            vec![("0", U32), ("1", U32)],
            "never: arguments[0]: expected tuple struct Track, found struct Track",
        ),
        (
            vec![("a", list(U32))],
            vec![("a", list(F64))],
            "arguments[0].a[]: expected f64, found u32",
        ),
    ] {
        let named = || Schema::Named(0);
        let of = [defaults(&from), defaults(&to)];
        assert_eq!(said(named(), &of[..1], named(), &of[1..]), expected);
    }
    // A struct whose only field is `0` counts as the type of that field.
    let newtype = [defaults(&[("0", U32)])];
    let expected = "arguments[0]: expected u32, found tuple struct Track";
    assert_eq!(said(Schema::Named(0), &newtype, U32, &[]), expected);
    let pair = [defaults(&[("0", U32), ("1", U8)])];
    let tuple = Schema::Tuple(vec![U32, U8]);
    let expected = "arguments[0]: expected (u32, u8), found tuple struct Track";
    assert_eq!(said(Schema::Named(0), &pair, tuple, &[]), expected);
}

#[test]
fn enums_by_the_names_of_their_variants() {
    let enums = |variants: &[(&str, Vec<Schema>)]| [choice("Mode", variants)];
    let of = |from: &[(&str, Vec<Schema>)], to: &[(&str, Vec<Schema>)]| {
        said(Schema::Named(0), &enums(from), Schema::Named(0), &enums(to))
    };
    let a = ("A", vec![]);
    let b = ("B", vec![U32]);
    let c = ("C", vec![U32, U8]);
    for (from, to, expected) in [
        (vec![a.clone()], vec![a.clone()], "equal"),
        (
            vec![a.clone(), b.clone()],
            vec![a.clone()],
            "arguments[0]: expected nothing, found variant B",
        ),
        (
            vec![a.clone()],
            vec![b.clone(), a.clone()],
            "arguments[0]: expected variant B, found variant A",
        ),
        (
            vec![a.clone()],
            vec![b.clone(), c.clone()],
            "never: arguments[0]: expected enum Mode of B, C, found enum Mode of A",
        ),
        // Both sides have one variant, and its contents cannot be converted.
        (
            vec![a.clone(), b.clone()],
            vec![("B", vec![Schema::String])],
            "never: arguments[0].B: expected String, found u32",
        ),
        (
            vec![("C", vec![list(U8)])],
            vec![c.clone()],
            "arguments[0].C: expected variant C, found Vec<u8>",
        ),
    ] {
        assert_eq!(of(&from, &to), expected);
    }
}

/// The comparison of types that contain themselves ends, and the path shows where in them the difference is.
#[test]
fn types_that_contain_themselves_end() {
    let tree = |value: Schema| {
        let children = list(Schema::Box(Box::new(Schema::Named(0))));
        [record("Tree", &[("children", children), ("value", value)])]
    };
    let of =
        |from: Schema, to: Schema| said(Schema::Named(0), &tree(from), Schema::Named(0), &tree(to));
    assert_eq!(of(U32, U32), "equal");
    assert_eq!(of(U32, F64), "arguments[0].value: expected f64, found u32");
    let never = "never: arguments[0].value: expected String, found u32";
    assert_eq!(of(U32, Schema::String), never);
    // Twice as many types, of the same shape.
    let twice = [
        record(
            "Even",
            &[
                ("children", list(Schema::Box(Box::new(Schema::Named(1))))),
                ("value", U32),
            ],
        ),
        record(
            "Odd",
            &[
                ("children", list(Schema::Box(Box::new(Schema::Named(0))))),
                ("value", U32),
            ],
        ),
    ];
    assert_eq!(
        said(Schema::Named(1), &twice, Schema::Named(0), &tree(U32)),
        "equal"
    );
}

#[test]
fn parameters_are_counted_and_results_go_the_other_way() {
    let of = |params: &[Schema], result: Option<Schema>| Signature {
        params: Some(params.to_vec()),
        result,
        types: Vec::new(),
    };
    let lengths = Mismatch {
        code: Code::LengthMismatch,
        path: "arguments".to_owned(),
        expected: "1 parameter".to_owned(),
        found: "2 parameters".to_owned(),
    };
    assert_eq!(suits(&of(&[U8, U8], None), &of(&[U8], None)), Err(lengths));
    let differs = |text: &str| {
        let difference = text.to_owned();
        Ok(Suits::Convertible { difference })
    };
    let function = |result| of(&[], Some(result));
    let text = "result: expected f64, found u8";
    assert_eq!(suits(&function(F64), &function(U8)), differs(text));
    let found = suits(&function(U8), &function(Schema::String));
    let text = "result: expected u8, found String";
    assert_eq!(
        found.map_err(|mismatch| mismatch.to_string()),
        Err(text.to_owned())
    );
    // A result that only one side has is not compared.
    assert!(suits(&function(U8), &of(&[], None)).is_ok());
    assert!(suits(&of(&[], None), &function(U8)).is_ok());
    let any = Signature {
        params: None,
        ..function(U8)
    };
    let text = "arguments: one side takes any number";
    assert_eq!(suits(&of(&[U8], Some(U8)), &any), differs(text));
    assert_eq!(suits(&any, &any), Ok(Suits::Equal));
}
