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
