//! Signatures that come from peers.

use callgate_client::json_schema;
use callgate_layout::schema::compare::{Suits, suits};
use callgate_layout::schema::{Head, MAX_SCHEMA};
use callgate_layout::{Code, Signature};

/// How many bytes come first in an input: number of parameters, result, length of the shape.
const START: usize = 4;

/// The bytes of a signature with correct lengths, so that the fuzzer need not find them.
fn with_head(input: &[u8]) -> Option<Vec<u8>> {
    let ([params, result, a, b], rest) = input.split_first_chunk::<START>()?;
    let shape = usize::from(u16::from_le_bytes([*a, *b])).min(rest.len());
    let mut bytes = Vec::new();
    bytes.extend((shape as u32).to_le_bytes());
    bytes.extend(((rest.len() - shape) as u32).to_le_bytes());
    bytes.extend([*params, result & 1, 0, 0]);
    bytes.extend(rest);
    Some(bytes)
}

/// Reads a signature, and checks that its bytes stay the same after it was written and read again.
pub(super) fn decode(input: &[u8]) {
    read(input);
    if let Some(bytes) = with_head(input) {
        read(&bytes);
    }
}

fn read(bytes: &[u8]) -> Option<Signature> {
    let signature = Signature::from_bytes(bytes).ok()?;
    let head = Head::of(bytes).expect("a signature begins with a head");
    assert_eq!(head.has_result, signature.result.is_some());
    assert!(signature.text().len() <= MAX_SCHEMA);
    let again = signature.to_bytes().expect("what was read can be written");
    // Types may be merged or left out, but there are never more than before.
    assert!(again.len() <= bytes.len());
    let back = Signature::from_bytes(&again).expect("what was written can be read");
    assert_eq!(back.to_bytes().as_ref(), Ok(&again));
    assert_eq!(back.text(), signature.text());
    assert!(json_schema(&back).is_object());
    Some(signature)
}

/// Compares two signatures.
pub(super) fn compare(input: &[u8]) {
    let Some(([a, b], rest)) = input.split_first_chunk::<2>() else {
        return;
    };
    let first = usize::from(u16::from_le_bytes([*a, *b])).min(rest.len());
    let (first, second) = rest.split_at(first);
    let signatures = [first, second].map(|input| read(&with_head(input)?));
    let [Some(wanted), Some(provided)] = signatures else {
        return;
    };
    assert_eq!(suits(&wanted, &wanted), Ok(Suits::Equal));
    let is_equal = |said| said == Ok(Suits::Equal);
    let said = suits(&wanted, &provided);
    let turned = suits(&provided, &wanted);
    assert_eq!(is_equal(said.clone()), is_equal(turned));
    assert_eq!(
        is_equal(said.clone()),
        wanted.fingerprint() == provided.fingerprint()
    );
    if let Err(mismatch) = said {
        assert!([Code::LengthMismatch, Code::TypeMismatch].contains(&mismatch.code));
        assert!(mismatch.to_string().contains(": expected "));
    }
}
