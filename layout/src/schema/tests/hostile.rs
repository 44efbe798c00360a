//! What is no signature, and bytes that are none.

use super::{
    Head, MAX_DEPTH, MAX_NAME, MAX_PARAMS, MAX_SCHEMA, Schema, SchemaError, Signature, U32, action,
    list, record,
};

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

/// The bytes of a signature of which parts can be replaced.
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
    // So many elements would take gigabytes before the first is found to be missing.
    for count in [&[0xff, 0xff, 0xff, 0xff, 0x0f][..], &[0xff; 9]] {
        let shape = [&[0, 9][..], count, &[1]].concat();
        assert!(Signature::from_bytes(&forged(1, 0, &shape, &[])).is_err());
        assert!(Signature::from_bytes(&forged(1, 0, count, &[])).is_err());
    }
}

/// The broker trusts the head, which says nothing of what comes after it.
#[test]
fn a_head_needs_no_signature() {
    let head = Head::of(&forged(3, 1, b"no shape", b"no labels")).unwrap();
    assert_eq!((head.params, head.has_result), (Some(3), true));
    let other = Head::of(&forged(3, 1, b"no shape", b"other labels")).unwrap();
    assert_eq!(head, other);
    let other = Head::of(&forged(3, 1, b"No shape", b"no labels")).unwrap();
    assert_ne!(head.fingerprint, other.fingerprint);
}
