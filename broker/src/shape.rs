//! Compares what a gate takes and gives with what a caller expects.

use std::sync::Arc;

use callgate_layout::control::{Availability, Failure, Fit, MAX_PARAMS, MAX_TEXT, Shape};
use callgate_layout::{Code, Encoding, Encodings};

use crate::schemas::Held;

/// The fingerprints of the halves that are provided: function, action.
pub(crate) type Prints = [Option<u128>; 2];

/// What one half of a gate takes and gives, as its provider says.
#[derive(Clone, Debug)]
pub(crate) struct Provided {
    pub(crate) held: Arc<Held>,
    pub(crate) encodings: Encodings,
    pub(crate) signature: String,
}

impl Provided {
    fn params(&self) -> Option<u8> {
        self.held.schema.head.params
    }

    pub(crate) fn fingerprint(&self) -> u128 {
        self.held.schema.head.fingerprint.0
    }
}

/// Checks what a caller says that it expects.
pub(crate) fn check(shape: &Shape) -> Result<(), String> {
    check_texts(shape.params, &shape.signature)
}

/// Checks what a provider says.
pub(crate) fn check_provided(provided: &Provided) -> Result<(), String> {
    check_texts(provided.params(), &provided.signature)
}

fn check_texts(params: Option<u8>, signature: &str) -> Result<(), String> {
    if let Some(params) = params.filter(|params| *params > MAX_PARAMS) {
        let message = format!("a gate takes at most {MAX_PARAMS} parameters, not {params}");
        return Err(message);
    }
    if signature.len() > MAX_TEXT {
        let message = format!("a signature has at most {MAX_TEXT} bytes");
        return Err(message);
    }
    // A listing shows the signature to people, and writes each control character escaped, as six characters.
    if let Some(c) = signature.chars().find(|c| c.is_control()) {
        return Err(format!("a signature contains the control character {c:?}"));
    }
    Ok(())
}

/// Compares what is provided with what is wanted.
///
/// ```text
/// parameters   fingerprints   common encodings
/// differ       -              -                  LengthMismatch: the easiest to understand
/// equal        -              none               NoEncoding
/// equal        equal          archives           Ready, as archives
/// equal        equal          JSON alone         Ready, as JSON
/// equal        differ         with JSON          Differs, as JSON
/// equal        differ         archives alone     Differs, with no way
/// ```
pub(crate) fn compare(provided: Option<&Provided>, wanted: &Shape) -> Availability {
    let Some(provided) = provided else {
        return Availability::Absent;
    };
    let common = provided.encodings.common(wanted.encodings);
    let signature = provided.signature.clone();
    let takes = provided.encodings;
    let json = common.has(Encoding::Json);
    let counts = provided.params().zip(wanted.params);
    if counts.is_some_and(|(provided, wanted)| provided != wanted) {
        Availability::LengthMismatch { signature }
    } else if common.is_empty() {
        Availability::NoEncoding { signature, takes }
    } else if provided.fingerprint() == wanted.fingerprint {
        let encoding = match common.has(Encoding::Archive) {
            true => Encoding::Archive,
            false => Encoding::Json,
        };
        Availability::Ready { encoding }
    } else {
        Availability::Differs {
            schema: provided.held.schema.number,
            signature,
            json,
        }
    }
}

/// Compares the events of a source with what a subscription wants, by the rules of [`compare`].
pub(crate) fn fit(provided: &Provided, wanted: &Shape) -> Fit {
    let (theirs, own) = (&provided.signature, &wanted.signature);
    let (code, message) = match compare(Some(provided), wanted) {
        Availability::Ready { encoding } => return Fit::Same { encoding },
        Availability::Differs { schema, json, .. } => return Fit::Differs { schema, json },
        Availability::LengthMismatch { .. } => {
            let message = format!("its events are {theirs}, and the subscription takes {own}");
            (Code::LengthMismatch, message)
        }
        Availability::NoEncoding { takes, .. } => {
            let message = format!(
                "its events, {theirs}, come as {}, and the subscription, {own}, takes {}",
                takes.as_str(),
                wanted.encodings.as_str()
            );
            (Code::TypeMismatch, message)
        }
        Availability::Absent => (Code::NotReady, "there is no such source".into()),
    };
    Fit::Unfit {
        failure: Failure::new(code, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callgate_layout::Fingerprint;
    use callgate_layout::schema::Head;

    const ENCODINGS: [Encodings; 4] = [
        Encodings::NONE,
        Encodings::ARCHIVE,
        Encodings::JSON,
        Encodings::BOTH,
    ];

    fn provided(params: Option<u8>, fingerprint: u128, encodings: Encodings) -> Provided {
        let head = Head {
            params,
            has_result: true,
            fingerprint: Fingerprint(fingerprint),
        };
        Provided {
            held: Held::of(head, 9),
            encodings,
            signature: "(u32)".into(),
        }
    }

    fn wanted(params: Option<u8>, fingerprint: u128, encodings: Encodings) -> Shape {
        Shape {
            params,
            fingerprint,
            encodings,
            signature: String::new(),
        }
    }

    /// Each row of the table, with all encodings that belong to it.
    #[test]
    fn what_is_provided_is_held_against_what_is_wanted() {
        let signature = || String::from("(u32)");
        let pairs = ENCODINGS
            .into_iter()
            .flat_map(|takes| ENCODINGS.map(|gives| (takes, gives)));
        for (takes, gives) in pairs {
            let common = takes.common(gives);
            let of = |params, fingerprint, wants| {
                let provided = provided(params, 1, takes);
                compare(Some(&provided), &wanted(wants, fingerprint, gives))
            };
            let longer = Availability::LengthMismatch {
                signature: signature(),
            };
            for fingerprint in [1, 2] {
                assert_eq!(of(Some(1), fingerprint, Some(2)), longer);
                assert_eq!(
                    compare(None, &wanted(Some(1), fingerprint, gives)),
                    Availability::Absent
                );
            }
            // A side that does not say its number of parameters matches any number.
            for (params, wants) in [
                (Some(1), Some(1)),
                (None, Some(8)),
                (Some(0), None),
                (None, None),
            ] {
                let (same, other) = (of(params, 1, wants), of(params, 2, wants));
                if common.is_empty() {
                    let none = Availability::NoEncoding {
                        signature: signature(),
                        takes,
                    };
                    assert_eq!((&same, &other), (&none, &none));
                    continue;
                }
                let encoding = match common.has(Encoding::Archive) {
                    true => Encoding::Archive,
                    false => Encoding::Json,
                };
                assert_eq!(same, Availability::Ready { encoding });
                let differs = Availability::Differs {
                    schema: 9,
                    signature: signature(),
                    json: common.has(Encoding::Json),
                };
                assert_eq!(other, differs, "{takes:?} {gives:?}");
            }
        }
    }

    /// A line break in a signature would forge lines wherever a listing is printed; control characters would make it many times as long.
    #[test]
    fn control_characters_and_what_is_too_long_are_refused() {
        let shape = |signature: &str| Shape {
            params: Some(1),
            fingerprint: 7,
            encodings: Encodings::BOTH,
            signature: signature.into(),
        };
        assert_eq!(check(&shape("(u32) -> Größe")), Ok(()));
        assert_eq!(check(&shape(&"x".repeat(MAX_TEXT))), Ok(()));
        assert!(check(&shape(&"x".repeat(MAX_TEXT + 1))).is_err());
        for params in 0..=u8::MAX {
            let shape = Shape {
                params: Some(params),
                ..shape("()")
            };
            assert_eq!(check(&shape).is_ok(), params <= MAX_PARAMS, "{params}");
        }
        for odd in ["(u32)\n", "\u{1b}[2J", "\0"] {
            assert!(check(&shape(odd)).is_err(), "{odd:?}");
        }
    }
}
