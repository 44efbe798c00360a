//! Bytes and fingerprints of signatures, and which hostile bytes are refused.

mod graphs;
mod hostile;
mod model;
mod pairs;
mod properties;
mod sizes;

use super::*;

const U32: Schema = Schema::Primitive(Primitive::U32);

fn field(name: &str, schema: Schema) -> Field {
    Field {
        name: name.to_owned(),
        schema,
        default: false,
    }
}

fn record(name: &str, fields: &[(&str, Schema)]) -> TypeDef {
    let fields = fields
        .iter()
        .map(|(name, schema)| field(name, schema.clone()));
    TypeDef {
        name: name.to_owned(),
        body: Body::Struct(fields.collect()),
    }
}

fn choice(name: &str, variants: &[(&str, Vec<Schema>)]) -> TypeDef {
    let variants = variants.iter().map(|(name, schemas)| {
        let fields = schemas.iter().enumerate();
        Variant {
            name: (*name).to_owned(),
            fields: fields
                .map(|(index, schema)| field(&index.to_string(), schema.clone()))
                .collect(),
        }
    });
    TypeDef {
        name: name.to_owned(),
        body: Body::Enum(variants.collect()),
    }
}

/// An action with one parameter.
fn action(schema: Schema, types: &[TypeDef]) -> Signature {
    Signature {
        params: Some(vec![schema]),
        result: None,
        types: types.to_vec(),
    }
}

fn fingerprint(schema: Schema) -> Fingerprint {
    action(schema, &[]).fingerprint().unwrap()
}

fn of_def(def: TypeDef) -> Fingerprint {
    action(Schema::Named(0), &[def]).fingerprint().unwrap()
}

fn list(schema: Schema) -> Schema {
    Schema::Vec(Box::new(schema))
}

#[test]
fn the_name_of_a_type_is_not_in_its_fingerprint_but_its_fields_are() {
    let point = of_def(record("Point", &[("x", U32), ("y", U32)]));
    assert_eq!(point, of_def(record("Vertex", &[("x", U32), ("y", U32)])));
    for other in [
        record("Point", &[("y", U32), ("x", U32)]),
        record("Point", &[("x", U32), ("z", U32)]),
        record("Point", &[("x", U32), ("y", Schema::String)]),
        record("Point", &[("x", U32)]),
        record("Point", &[("xy", U32), ("", U32)]),
        choice("Point", &[("x", vec![U32]), ("y", vec![U32])]),
    ] {
        assert_ne!(point, of_def(other));
    }
    assert_ne!(point, fingerprint(Schema::Tuple(vec![U32, U32])));
}

/// `Box<T>` reads like `T` for people and has another fingerprint. Its archive is a relative pointer and `T`'s is
/// not, so with equal fingerprints one side would read the other's archive as something else.
#[test]
fn a_box_is_transparent_to_people_and_not_to_the_fingerprint() {
    let boxed = Schema::Box(Box::new(U32));
    assert_eq!(action(boxed.clone(), &[]).text(), "(u32)");
    assert_ne!(fingerprint(boxed), fingerprint(U32));
}

#[test]
fn an_action_differs_from_a_function_that_returns_unit() {
    let action = action(U32, &[]);
    let function = Signature {
        result: Some(Schema::Unit),
        ..action.clone()
    };
    assert_ne!(action.fingerprint(), function.fingerprint());
    assert_eq!(action.text(), "(u32)");
    assert_eq!(function.text(), "(u32) -> ()");
}

/// The number of parameters is part of the fingerprint. If the head alone counted them, a parameter could pass for
/// the result.
#[test]
fn how_many_parameters_there_are_is_in_the_fingerprint() {
    let of = |params: usize, has_result: bool| Signature {
        params: Some(vec![U32; params]),
        result: has_result.then_some(U32),
        types: Vec::new(),
    };
    let any = Signature {
        params: None,
        ..of(0, true)
    };
    let all = [of(0, true), of(1, false), of(1, true), of(2, false), any];
    let prints = all
        .each_ref()
        .map(|signature| signature.fingerprint().unwrap());
    let different: std::collections::BTreeSet<Fingerprint> = prints.into_iter().collect();
    assert_eq!(different.len(), all.len());
    let heads = all.each_ref().map(|signature| {
        let head = Head::of(&signature.to_bytes().unwrap()).unwrap();
        (head.params, head.has_result)
    });
    let expected = [
        (Some(0), true),
        (Some(1), false),
        (Some(1), true),
        (Some(2), false),
        (None, true),
    ];
    assert_eq!(heads, expected);
    assert_eq!(all[4].text(), "(..) -> u32");
}

/// One schema of each kind that is not a primitive, with the attributes that distinguish it, and a table of types for
/// them.
fn kinds() -> (Vec<Schema>, Vec<TypeDef>) {
    let u8s = || Box::new(Schema::Primitive(Primitive::U8));
    let u32s = || Box::new(U32);
    let types = vec![
        record("Point", &[("x", U32), ("y", Schema::Unit)]),
        choice(
            "E",
            &[
                ("A", vec![U32]),
                ("B", vec![Schema::String, Schema::Named(2)]),
            ],
        ),
        record("Ring", &[("next", list(Schema::Named(2)))]),
    ];
    let kinds = vec![
        Schema::Unit,
        Schema::String,
        Schema::Option(u32s()),
        Schema::Result {
            ok: u32s(),
            err: u8s(),
        },
        Schema::Box(u32s()),
        Schema::Vec(u32s()),
        Schema::Array {
            element: u32s(),
            length: 300,
        },
        Schema::Tuple(vec![U32, Schema::Unit]),
        Schema::Map {
            key: u32s(),
            value: u8s(),
        },
        Schema::Named(0),
        Schema::Named(1),
        Schema::Named(2),
        Schema::Opaque("Uuid 1".to_owned()),
        Schema::Any,
    ];
    (kinds, types)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Each kind of schema keeps its bytes from one version to the next. If they changed, plugins of two builds with the
/// same types could not call each other. If two kinds had the same bytes, one side would read the other's archive as
/// something else.
#[test]
fn each_kind_has_the_bytes_of_yesterday() {
    let (kinds, types) = kinds();
    let primitives = Primitive::ALL.iter().copied().map(Schema::Primitive);
    let all = primitives.chain(kinds).map(|schema| action(schema, &types));
    let bytes: Vec<Vec<u8>> = all.map(|signature| signature.to_bytes().unwrap()).collect();
    let shown: Vec<String> = bytes.iter().map(|bytes| hex(&bytes[HEAD..])).collect();
    assert_eq!(shown, GOLDEN_KINDS, "{shown:#?}");
    let prints = bytes
        .iter()
        .map(|bytes| Head::of(bytes).unwrap().fingerprint);
    let different: std::collections::BTreeSet<Fingerprint> = prints.collect();
    assert_eq!(different.len(), bytes.len());
}

/// The length of the head.
const HEAD: usize = 12;

const GOLDEN_KINDS: [&str; 28] = [
    "000100",
    "000101",
    "000102",
    "000103",
    "000104",
    "000105",
    "000106",
    "000107",
    "000108",
    "000109",
    "00010a",
    "00010b",
    "00010c",
    "00010d",
    "0002",
    "0003",
    "00040103",
    "000501030101",
    "00060103",
    "00070103",
    "00080103ac02",
    "000902010302",
    "000a01030101",
    "010b0001020178010301790205506f696e7400",
    "020b0002020141010130010301420201300301310b010101046e657874070b010145000452696e6700",
    "010b000101046e657874070b000452696e6700",
    "000c06557569642031",
    "000d",
];

#[test]
fn a_signature_has_the_bytes_and_the_fingerprint_of_yesterday() {
    let mut point = record("Point", &[("x", U32), ("next", Schema::Named(1))]);
    if let Body::Struct(fields) = &mut point.body {
        fields[1].default = true;
    }
    let mode = choice("Mode", &[("Off", vec![]), ("On", vec![Schema::Named(0)])]);
    let signature = Signature {
        params: Some(vec![Schema::String, Schema::Named(0)]),
        result: Some(list(Schema::Named(1))),
        types: vec![point, mode],
    };
    assert_eq!(signature.text(), "(String, Point) -> Vec<Mode>");
    let bytes = signature.to_bytes().unwrap();
    assert_eq!(hex(&bytes), GOLDEN);
    let print = signature.fingerprint().unwrap();
    assert_eq!(print.to_string(), GOLDEN_PRINT);
    assert_eq!(format!("{print:?}"), format!("Fingerprint({GOLDEN_PRINT})"));
    assert_eq!(Signature::from_bytes(&bytes), Ok(signature));
}

const GOLDEN: &str = "230000000d0000000201000002030b00070b01010201780103046e6578740b010202034f666600024f6e0101300b0005506f696e7402044d6f646500";
const GOLDEN_PRINT: &str = "735ff6a111b9597a087f325df5d60482";

#[test]
fn each_kind_survives_its_bytes() {
    let (kinds, types) = kinds();
    let signature = Signature {
        params: Some(kinds.clone()),
        result: Some(Schema::Tuple(kinds)),
        types,
    };
    let bytes = signature.to_bytes().unwrap();
    assert_eq!(Signature::from_bytes(&bytes), Ok(signature));
}

/// Types that contain each other are written once each, not wherever they occur: written out, a dozen of them would
/// take millions of nodes.
#[test]
fn a_dozen_enums_that_contain_each_other_have_a_small_schema() {
    let types = (0..12_u32).map(|me| {
        let variants =
            (0..12).map(|other| (format!("V{me}{other}"), vec![list(Schema::Named(other))]));
        let variants: Vec<(String, Vec<Schema>)> = variants.collect();
        let by_name: Vec<(&str, Vec<Schema>)> = variants
            .iter()
            .map(|(name, schemas)| (name.as_str(), schemas.clone()))
            .collect();
        choice(&format!("E{me}"), &by_name)
    });
    let types: Vec<TypeDef> = types.collect();
    let bytes = action(Schema::Named(0), &types).to_bytes().unwrap();
    assert!(bytes.len() < 4096, "{}", bytes.len());
    let back = Signature::from_bytes(&bytes).unwrap();
    assert_eq!(back.types.len(), 12);
    assert_eq!(compare::suits(&back, &back), Ok(compare::Suits::Equal));
}

/// Types with the same outline that differ only deep inside stay two types, and equal types become one.
#[test]
fn types_are_one_exactly_if_nothing_in_them_differs() {
    let chain = |last: Schema| {
        let mut types: Vec<TypeDef> = (1..40)
            .map(|next| record("Link", &[("next", Schema::Named(next))]))
            .collect();
        types.push(record("End", &[("value", last)]));
        types
    };
    let print = |types: Vec<TypeDef>| action(Schema::Named(0), &types).fingerprint().unwrap();
    assert_eq!(print(chain(U32)), print(chain(U32)));
    assert_ne!(print(chain(U32)), print(chain(Schema::String)));
    // A ring of one type has the same shape as a ring of three.
    let ring = |length: u32| {
        let next = |me: u32| Schema::Option(Box::new(Schema::Named((me + 1) % length)));
        let types = (0..length).map(|me| record("Ring", &[("next", next(me))]));
        types.collect::<Vec<TypeDef>>()
    };
    assert_eq!(print(ring(1)), print(ring(3)));
    let bytes = action(Schema::Named(0), &ring(3)).to_bytes().unwrap();
    assert_eq!(Signature::from_bytes(&bytes).unwrap().types.len(), 1);
}

/// Of two types with one shape, one may have a default where the other has none. The written type has both defaults:
/// without one of them, a receiver would be refused arguments that it could take.
#[test]
fn types_of_one_shape_have_the_defaults_of_all() {
    let plain = record("Plain", &[("x", U32)]);
    let mut filled = record("Filled", &[("x", U32)]);
    if let Body::Struct(fields) = &mut filled.body {
        fields[0].default = true;
    }
    let signature = Signature {
        params: Some(vec![Schema::Named(0), Schema::Named(1)]),
        result: None,
        types: vec![plain, filled.clone()],
    };
    let back = Signature::from_bytes(&signature.to_bytes().unwrap()).unwrap();
    assert_eq!(back.text(), "(Plain, Plain)");
    assert_eq!(back.types.len(), 1);
    assert_eq!(back.types[0].body, filled.body);
}

/// A type that contains itself is named by its index, so describing it ends, and it is not mistaken for another type.
#[test]
fn a_type_inside_of_itself_is_named_by_its_index() {
    struct Outer;
    struct Inner;
    let mut describer = Describer::new();
    let schema = describer.named::<Outer>("Outer", |describer| {
        let inner = describer.named::<Inner>("Inner", |describer| {
            let outer = describer.named::<Outer>("Outer", |_| Body::Enum(Vec::new()));
            Body::Struct(vec![field("outer", outer)])
        });
        Body::Struct(vec![field("inner", inner)])
    });
    let signature = describer.signature(None, Some(schema));
    let expected = Signature {
        params: None,
        result: Some(Schema::Named(0)),
        types: vec![
            record("Outer", &[("inner", Schema::Named(1))]),
            record("Inner", &[("outer", Schema::Named(0))]),
        ],
    };
    assert_eq!(signature, expected);
}
