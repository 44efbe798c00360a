use super::*;

const U32: Schema = Schema::Primitive(Primitive::U32);

fn record(name: &str, fields: &[(&str, Schema)]) -> Schema {
    let fields = fields.iter().map(|(name, schema)| Field {
        name: (*name).to_owned(),
        schema: schema.clone(),
        default: false,
    });
    Schema::Struct {
        name: name.to_owned(),
        fields: fields.collect(),
    }
}

fn fingerprint(schema: Schema) -> Fingerprint {
    Signature {
        params: vec![schema],
        result: None,
    }
    .fingerprint()
}

#[test]
fn the_name_of_a_type_is_not_in_its_fingerprint_but_its_fields_are() {
    let point = fingerprint(record("Point", &[("x", U32), ("y", U32)]));
    assert_eq!(
        point,
        fingerprint(record("Vertex", &[("x", U32), ("y", U32)]))
    );
    for other in [
        record("Point", &[("y", U32), ("x", U32)]),
        record("Point", &[("x", U32), ("z", U32)]),
        record("Point", &[("x", U32), ("y", Schema::String)]),
        record("Point", &[("x", U32)]),
        record("Point", &[("xy", U32), ("", U32)]),
        Schema::Tuple(vec![U32, U32]),
    ] {
        assert_ne!(point, fingerprint(other));
    }
}

/// `Box<T>` was to be transparent. Its archive is a relative pointer and `T`'s is not, so
/// equal fingerprints would have let one be read as the other.
#[test]
fn a_box_is_transparent_to_people_and_not_to_the_fingerprint() {
    let boxed = Schema::Box(Box::new(U32));
    assert_eq!(boxed.to_string(), "u32");
    assert_ne!(fingerprint(boxed), fingerprint(U32));
}

#[test]
fn an_action_differs_from_a_function_that_returns_unit() {
    let action = Signature {
        params: vec![U32],
        result: None,
    };
    let function = Signature {
        params: vec![U32],
        result: Some(Schema::Unit),
    };
    assert_ne!(action.fingerprint(), function.fingerprint());
    assert_eq!(action.text(), "(u32)");
    assert_eq!(function.text(), "(u32) -> ()");
}

#[test]
fn the_fingerprint_is_the_one_of_yesterday() {
    let signature = Signature {
        params: vec![Schema::String, U32],
        result: Some(U32),
    };
    assert_eq!(signature.text(), "(String, u32) -> u32");
    assert_eq!(signature.fingerprint().to_string(), GOLDEN);
    let shown = format!("{:?}", signature.fingerprint());
    assert_eq!(shown, format!("Fingerprint({GOLDEN})"));
}

const GOLDEN: &str = "0559c900813bb4b6e988f18047cc75a9";

#[test]
fn a_signature_survives_its_own_archive() {
    let deep = record(
        "Outer",
        &[("list", Schema::Vec(Box::new(Schema::BackReference(0))))],
    );
    let signature = Signature {
        params: vec![deep],
        result: Some(Schema::Unit),
    };
    let bytes = rkyv::to_bytes::<rkyv::rancor::Error>(&signature).unwrap();
    let back = rkyv::from_bytes::<Signature, rkyv::rancor::Error>(&bytes).unwrap();
    assert_eq!(back, signature);
}

/// One of each kind that is not a primitive, with what tells it from its like.
fn kinds() -> Vec<Schema> {
    let u8s = || Box::new(Schema::Primitive(Primitive::U8));
    let u32s = || Box::new(U32);
    let variant = |name: &str, schema: Schema| Variant {
        name: name.to_owned(),
        fields: vec![Field {
            name: "0".to_owned(),
            schema,
            default: false,
        }],
    };
    let variants = vec![variant("A", U32), variant("B", Schema::String)];
    let name = "E".to_owned();
    vec![
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
            length: 3,
        },
        Schema::Tuple(vec![U32, Schema::Unit]),
        Schema::Map {
            key: u32s(),
            value: u8s(),
        },
        record("Point", &[("x", U32), ("y", Schema::Unit)]),
        Schema::Enum { name, variants },
        Schema::Opaque("Uuid 1".to_owned()),
        Schema::BackReference(2),
    ]
}

const PRIMITIVES: [Primitive; 14] = [
    Primitive::Bool,
    Primitive::U8,
    Primitive::U16,
    Primitive::U32,
    Primitive::U64,
    Primitive::U128,
    Primitive::I8,
    Primitive::I16,
    Primitive::I32,
    Primitive::I64,
    Primitive::I128,
    Primitive::F32,
    Primitive::F64,
    Primitive::Char,
];

/// A kind that is hashed otherwise than yesterday parts plugins of two builds that have the same
/// types; two kinds that are hashed alike have one archive read as the other.
#[test]
fn each_kind_has_the_fingerprint_of_yesterday() {
    let primitives = PRIMITIVES.map(Schema::Primitive).into_iter();
    let all: Vec<Schema> = primitives.chain(kinds()).collect();
    let prints: Vec<String> = all
        .iter()
        .map(|schema| fingerprint(schema.clone()).to_string())
        .collect();
    assert_eq!(prints, GOLDEN_KINDS, "{prints:#?}");
    let different: std::collections::BTreeSet<&String> = prints.iter().collect();
    assert_eq!(different.len(), all.len());
}

/// A function's result counts, and comes after its parameters.
#[test]
fn each_kind_of_result_is_in_the_fingerprint() {
    let of = |result| {
        let params = vec![U32];
        Signature { params, result }.fingerprint()
    };
    let prints: std::collections::BTreeSet<Fingerprint> =
        kinds().into_iter().map(|kind| of(Some(kind))).collect();
    assert_eq!(prints.len(), kinds().len());
    assert!(!prints.contains(&of(None)));
}

const GOLDEN_KINDS: [&str; 27] = [
    "8eb3c58ca863f80da33393e505f22fb7",
    "437da8580d9625c060a01f866726fffd",
    "f42b7aa1409a1b75f64a0033b212fb2e",
    "6dacaa6c8cedd930ea75e41f4ea821fb",
    "44da757fd1913e918a1d6255b6ee21f8",
    "872b7845813913e668625ab1b273a521",
    "7382b7dafd833310da9eabcfa2461cf0",
    "97ffb8ad4c4fd38896bca1dc0f0292ac",
    "a509f135b3f58acfdd0ff033b2dfd8ca",
    "cb631884d283f4e5f83c7ee4f13197ad",
    "46c849f13413db4d6c288b3266393f46",
    "e80f8e661d1208bd9f74e3030e94e990",
    "87e12f7496b8af3fbb32458911799d15",
    "1eaa0ef835e94f88d0429fc26647bf20",
    "a6d97cdc49e45e2b8cbf025600a80f4c",
    "a3c1054d8b9cef2d591524a3d0bf6a43",
    "7a8c8960c52cc6dbce183248c63fddec",
    "0d2869fb01e5c77b4943272f2e33ad23",
    "b84c3ff0ed31a278e84c07c922a2add7",
    "973d98c7058b76b0a33a59224bc5af21",
    "d6e7509ef87c7fda1f6abedf899c460c",
    "e046f35e8b0dba356a0f6e25db8c7508",
    "bfef0b03928fb69433c3dc8294c15639",
    "29e6913a624b9b366776a5327a37c1b3",
    "b16c349efc57aff298ecd31b91528f89",
    "9dbca9cc990ad917b8aa4b006ca6160e",
    "33a979854e77114fd1e0ec04c395cda3",
];

/// A type inside of itself would be described without end; another one must not pass for it.
#[test]
fn a_type_inside_of_itself_is_named_by_its_distance() {
    struct Outer;
    struct Inner;
    let mut describer = Describer::new();
    let mut seen = Vec::new();
    let outer = describer.named::<Outer>(|describer| {
        let inner = describer.named::<Inner>(|describer| {
            seen.push(describer.named::<Outer>(|_| U32));
            seen.push(describer.named::<Inner>(|_| U32));
            Schema::Unit
        });
        seen.push(inner);
        seen.push(describer.named::<Inner>(|_| Schema::String));
        Schema::Vec(Box::new(describer.named::<Outer>(|_| U32)))
    });
    assert_eq!(outer, Schema::Vec(Box::new(Schema::BackReference(0))));
    let back = Schema::BackReference;
    assert_eq!(seen, [back(1), back(0), Schema::Unit, Schema::String]);
}
