//! Signatures that cannot be written, and bytes that are no signature.

use super::{
    Body, Head, MAX_DEPTH, MAX_NAME, MAX_PARAMS, MAX_SCHEMA, Schema, SchemaError, Signature,
    TypeDef, U32, Variant, action, list, record,
};
use crate::schema::compare::suits;

#[test]
fn what_is_no_signature_has_no_bytes() {
    let deep = (0..MAX_DEPTH).fold(U32, |inner, _| list(inner));
    assert!(action(deep.clone(), &[]).to_bytes().is_ok());
    let long = "x".repeat(MAX_NAME);
    assert!(action(Schema::Opaque(long.clone()), &[]).to_bytes().is_ok());
    let many = Signature {
        params: Some(vec![U32; MAX_PARAMS + 1]),
        result: None,
        types: Vec::new(),
    };
    let tuple = Schema::Tuple(vec![U32; MAX_SCHEMA / 2]);
    let control = record("a\nb", &[]);
    for (signature, error) in [
        (action(Schema::Named(0), &[]), SchemaError::BadIndex(0)),
        (action(list(deep), &[]), SchemaError::TooDeep),
        (
            action(Schema::Opaque(long + "x"), &[]),
            SchemaError::BadName,
        ),
        (action(Schema::Named(0), &[control]), SchemaError::BadName),
        (many, SchemaError::TooManyParams),
        (action(tuple, &[]), SchemaError::TooLong),
    ] {
        assert_eq!(signature.to_bytes(), Err(error));
    }
}

/// The bytes of a signature, with parts that a test can replace.
fn forged(params: u8, result: u8, shape: &[u8], labels: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend((shape.len() as u32).to_le_bytes());
    bytes.extend((labels.len() as u32).to_le_bytes());
    bytes.extend([params, result, 0, 0]);
    bytes.extend(shape);
    bytes.extend(labels);
    bytes
}

#[test]
fn hostile_bytes_are_no_signature() {
    let nested = [&[0_u8][..], &[7; MAX_DEPTH + 1], &[2]].concat();
    let long = [&[0_u8, 12, 0x81, 8][..], &[b'x'; 1025]].concat();
    for (bytes, error) in [
        (vec![], SchemaError::CutShort),
        (vec![0; 11], SchemaError::CutShort),
        (forged(0, 0, &[], &[]), SchemaError::CutShort),
        (forged(0, 0, &[0, 2], &[]), SchemaError::TooManyBytes),
        (forged(0, 0, &[0], &[0]), SchemaError::TooManyBytes),
        (forged(0, 2, &[0], &[]), SchemaError::BadByte(2)),
        (forged(1, 0, &[0], &[]), SchemaError::CutShort),
        (forged(1, 0, &[0, 99], &[]), SchemaError::BadByte(99)),
        (forged(1, 0, &[0, 1, 14], &[]), SchemaError::BadByte(14)),
        (forged(1, 0, &[0, 11, 0], &[]), SchemaError::BadIndex(0)),
        (
            forged(1, 0, &[1, 11, 1, 1, 0], &[0]),
            SchemaError::BadIndex(1),
        ),
        (
            forged(1, 0, &[1, 11, 0, 3, 0], &[0]),
            SchemaError::BadByte(3),
        ),
        (forged(1, 0, &[0, 9, 0x80, 0], &[]), SchemaError::BadNumber),
        (forged(1, 0, &nested, &[]), SchemaError::TooDeep),
        (forged(1, 0, &long, &[]), SchemaError::BadName),
        (forged(1, 0, &[0, 12, 1, 0xff], &[]), SchemaError::BadName),
        (forged(1, 0, &[0, 12, 1, b'\n'], &[]), SchemaError::BadName),
        // A struct with one field has one bit of defaults.
        (
            forged(1, 0, &[1, 11, 0, 1, 1, 0, 2], &[0, 2]),
            SchemaError::BadByte(2),
        ),
        (vec![0; MAX_SCHEMA + 1], SchemaError::TooLong),
    ] {
        assert_eq!(Signature::from_bytes(&bytes), Err(error), "{bytes:?}");
    }
    // Reserving memory for so many elements would take gigabytes before the first one is found to be missing.
    for count in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff; 9]] {
        let shape = [&[0, 9][..], count, &[1]].concat();
        assert!(Signature::from_bytes(&forged(1, 0, &shape, &[])).is_err());
        assert!(Signature::from_bytes(&forged(1, 0, count, &[])).is_err());
    }
}

/// The text about a difference stays short. It names a type wherever it occurs, so a provider's schema of one
/// megabyte could make a message of 500 megabytes, which every opener of its gate would keep.
#[test]
fn what_is_said_of_a_schema_is_short() {
    let long = "ß".repeat(MAX_NAME / 2);
    let names = |count| Schema::Tuple(vec![Schema::Named(0); count]);
    let of = |schema, types: &[TypeDef]| action(schema, types);
    let fields = of(names(300_000), &[record(&long, &[])]);
    let variants = (0..100).map(|number| Variant {
        name: format!("{number}{}", &long[..MAX_NAME - 4]),
        fields: Vec::new(),
    });
    let choice = TypeDef {
        name: long.clone(),
        body: Body::Enum(variants.collect()),
    };
    let inner = (0..40).fold(Schema::Named(0), |inner, _| list(inner));
    for hostile in [
        fields.clone(),
        of(Schema::Named(0), &[choice]),
        of(Schema::Named(0), &[record(&long, &[(&long, inner)])]),
    ] {
        for (a, b) in [(U32, &hostile), (list(list(U32)), &hostile)] {
            let own = of(a, &[]);
            for mismatch in [suits(&own, b).unwrap_err(), suits(b, &own).unwrap_err()] {
                let said = mismatch.to_string().len();
                assert!(said < 4096, "{said} bytes: {:.200}", mismatch.expected);
            }
        }
    }
    assert!(fields.to_bytes().is_ok());
    let text = fields.text().len();
    assert!(text < 100 * 300_000, "{text} bytes");
}

/// The broker reads the head alone and trusts it, whatever the bytes after it are.
#[test]
fn a_head_needs_no_signature() {
    let head = Head::of(&forged(3, 1, b"no shape", b"no labels")).unwrap();
    assert_eq!((head.params, head.has_result), (Some(3), true));
    let other = Head::of(&forged(3, 1, b"no shape", b"other labels")).unwrap();
    assert_eq!(head, other);
    let other = Head::of(&forged(3, 1, b"No shape", b"no labels")).unwrap();
    assert_ne!(head.fingerprint, other.fingerprint);
}
