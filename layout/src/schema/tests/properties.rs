//! Properties that hold for every signature.

use proptest::prelude::*;

use super::super::compare::{Suits, suits};
use super::graphs::{MOST, shuffled, signature};
use super::{HEAD, Head, Schema, Signature, model};

fn shape(signature: &Signature) -> Vec<u8> {
    let bytes = signature.to_bytes().unwrap();
    let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
    bytes[8..HEAD + length].to_vec()
}

/// Whether calls can be converted, according to the model.
fn can_be_called(wanted: &Signature, provided: &Signature) -> bool {
    let arguments = match (&wanted.params, &provided.params) {
        (Some(from), Some(to)) => {
            let mut pairs = from.iter().zip(to);
            from.len() == to.len()
                && pairs.all(|(from, to)| model::converts((wanted, from), (provided, to)))
        }
        _ => true,
    };
    let result = match (&wanted.result, &provided.result) {
        (Some(to), Some(from)) => model::converts((provided, from), (wanted, to)),
        _ => true,
    };
    arguments && result
}

/// The signature with one of its types replaced by a type of another signature.
fn changed(signature: &Signature, at: usize, by: &Signature) -> Signature {
    let mut changed = signature.clone();
    let count = changed.types.len();
    let types = count.min(by.types.len());
    if let Some(body) = by.types.get(at % by.types.len()).map(|def| &def.body)
        && body
            .fields()
            .all(|field| names_below(&field.schema, types as u32))
    {
        changed.types[at % count].body = body.clone();
    }
    changed
}

fn names_below(schema: &Schema, types: u32) -> bool {
    match schema {
        Schema::Named(index) => *index < types,
        other => other.children().all(|child| names_below(child, types)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn bytes_do_not_depend_on_names_order_or_copies(
        signature in signature(), copies in 1..4_u32, shift in 0..MOST,
    ) {
        let other = shuffled(&signature, copies, shift);
        prop_assert_eq!(shape(&signature), shape(&other));
        prop_assert_eq!(signature.fingerprint(), other.fingerprint());
        prop_assert_eq!(suits(&signature, &other), Ok(Suits::Equal));
    }

    #[test]
    fn bytes_of_what_was_read_are_the_same(signature in signature()) {
        let bytes = signature.to_bytes().unwrap();
        let back = Signature::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&back.to_bytes().unwrap()[..], &bytes[..]);
        let head = Head::of(&bytes).unwrap();
        prop_assert_eq!(head.params.map(usize::from), back.params.as_ref().map(Vec::len));
        prop_assert_eq!(head.has_result, back.result.is_some());
    }

    /// The comparison agrees with the model. Where two signatures have one shape, the model must say that they can be
    /// converted.
    #[test]
    fn the_comparison_says_what_the_model_says(
        wanted in signature(), other in signature(), at in 0..MOST as usize, alike in any::<bool>(),
    ) {
        let provided = if alike { changed(&wanted, at, &other) } else { other };
        prop_assume!(model::ends(&wanted) && model::ends(&provided));
        let said = suits(&wanted, &provided);
        prop_assert_eq!(said.is_ok(), can_be_called(&wanted, &provided), "{:?}", said);
        let is_equal = wanted.fingerprint() == provided.fingerprint();
        prop_assert_eq!(said == Ok(Suits::Equal), is_equal);
    }

    #[test]
    fn bytes_that_were_changed_do_no_harm(
        signature in signature(), at in any::<prop::sample::Index>(), byte in any::<u8>(),
    ) {
        let mut bytes = signature.to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(changed) = Signature::from_bytes(&bytes) {
            let again = Signature::from_bytes(&changed.to_bytes().unwrap()).unwrap();
            prop_assert_eq!(changed.fingerprint(), again.fingerprint());
            let _any = suits(&signature, &changed);
        }
    }
}
