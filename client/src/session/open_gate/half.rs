//! The state of one half of a gate for this plugin, and the reason if it cannot be called.

use callgate_layout::control::Availability;
use callgate_layout::schema::compare::Mismatch;
use callgate_layout::{Code, Encoding, Encodings};
use serde_json::json;

use crate::base::error::Error;
use crate::session::verdict::Verdict;

/// The state of one half of a gate for a plugin that has opened it.
#[derive(Clone, Debug)]
pub(crate) enum Half {
    /// Nobody provides it.
    Absent,
    /// It can be called in this encoding.
    Ready(Encoding),
    /// It is there, but cannot be called with this plugin's types for it, or in this plugin's encodings.
    Refused(Error),
}

impl Half {
    /// Combines the broker's answer with the result of comparing types, if these differ. `gives` are the encodings in
    /// which this plugin can call it.
    pub(super) fn new(
        (owner, said): (&str, Availability),
        verdict: Option<Verdict>,
        gives: Encodings,
    ) -> Half {
        match said {
            Availability::Absent => Half::Absent,
            Availability::Ready { encoding } => Half::Ready(encoding),
            Availability::LengthMismatch { signature } => Half::Refused(Error::new(
                Code::LengthMismatch,
                format!("plugin `{owner}` provides {signature}, with another number of parameters"),
            )),
            Availability::NoEncoding { signature, takes } => Half::Refused(Error::new(
                Code::TypeMismatch,
                format!(
                    "plugin `{owner}` provides {signature} and takes {} only, but this plugin gives {} only",
                    takes.as_str(),
                    gives.as_str()
                ),
            )),
            Availability::Differs {
                signature, json, ..
            } => Half::differing((owner, &signature), json, verdict),
        }
    }

    /// A half whose types differ. `json` says whether calls could be made as JSON.
    fn differing((owner, signature): (&str, &str), json: bool, verdict: Option<Verdict>) -> Half {
        let what = format!("plugin `{owner}` provides {signature}");
        let mismatch = |text: String| Half::Refused(Error::new(Code::TypeMismatch, text));
        match verdict {
            Some(Verdict::Converts { .. } | Verdict::Untyped(_)) if json => {
                Half::Ready(Encoding::Json)
            }
            Some(Verdict::Untyped(_)) => mismatch(format!(
                "{what} and takes archives alone: open it with its signature"
            )),
            Some(Verdict::Converts { difference, .. }) => mismatch(format!(
                "{what}, which differs: {difference}; nothing is converted, because one of both sides takes archives \
                 alone, as with `exact_only`"
            )),
            Some(Verdict::Never(why)) => Half::Refused(never(owner, &what, &why)),
            Some(Verdict::Failed(error)) => {
                let text = format!("{what}, with other types: {}", error.message());
                Half::Refused(Error::new(error.code(), text))
            }
            // This is not shown before there is a verdict.
            None => mismatch(format!(
                "{what}, which differs in types, field names or their order"
            )),
        }
    }

    /// The error if it is there and cannot be called, as long as its provider and this plugin do not change.
    pub(super) fn mismatch(&self) -> Option<&Error> {
        let lasts = |error: &&Error| {
            let codes = [Code::TypeMismatch, Code::LengthMismatch];
            codes.contains(&error.code())
        };
        match self {
            Half::Refused(error) => Some(error).filter(lasts),
            _ => None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self, Half::Ready(_))
    }
}

/// The error for types none of whose values can be converted.
fn never(owner: &str, what: &str, why: &Mismatch) -> Error {
    let Mismatch {
        code,
        path,
        expected,
        found,
    } = why;
    // Arguments have this plugin's types, and a result has the provider's.
    let whose = match path.starts_with("result") {
        true => ("this plugin", owner),
        false => (owner, "this plugin"),
    };
    let (takes, gives) = (quoted(whose.0), quoted(whose.1));
    // Only a missing field is compared with nothing.
    let why = match found.as_str() {
        "nothing" => format!(
            "{takes} needs this field ({expected}), and {gives} does not have it; it could do without, if the field \
             were an `Option` or had `#[serde(default)]` there"
        ),
        _ => format!("{takes} expects {expected}, {gives} has {found}"),
    };
    let text = format!("{what}, which cannot be converted: {path}: {why}");
    let context = json!({
        "path": path, "expected": expected, "found": found, "plugin": owner,
    });
    Error::new(*code, text).with_context(context)
}

fn quoted(whose: &str) -> String {
    match whose {
        "this plugin" => whose.to_owned(),
        name => format!("plugin `{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn half(said: Availability, verdict: Option<Verdict>) -> Half {
        Half::new(("Amp", said), verdict, Encodings::BOTH)
    }

    fn differs(json: bool) -> Availability {
        Availability::Differs {
            schema: 1,
            signature: "(u8)".to_owned(),
            json,
        }
    }

    fn converts() -> Option<Verdict> {
        let difference = "arguments[0]: expected u8, found u16".to_owned();
        Some(Verdict::Converts {
            difference,
            is_meant: false,
        })
    }

    #[test]
    fn what_converts_is_json_unless_somebody_takes_archives_alone() {
        assert!(matches!(
            half(differs(true), converts()),
            Half::Ready(Encoding::Json)
        ));
        let exact = half(differs(false), converts());
        let error = exact.mismatch().expect("a mismatch");
        assert_eq!(error.code(), Code::TypeMismatch);
        assert!(
            error
                .message()
                .contains("arguments[0]: expected u8, found u16"),
            "{error}"
        );
    }

    /// The error says which types are whose, so that it is not read the wrong way round.
    #[test]
    fn a_mismatch_says_whose_types_are_which() {
        let text = |path: &str| {
            let why = Mismatch {
                code: Code::TypeMismatch,
                path: path.to_owned(),
                expected: "u8".to_owned(),
                found: "String".to_owned(),
            };
            let half = half(differs(true), Some(Verdict::Never(why)));
            let error = half.mismatch().expect("a mismatch").clone();
            assert_eq!(error.context().unwrap()["path"], path);
            assert_eq!(error.context().unwrap()["plugin"], "Amp");
            error.message().to_owned()
        };
        let of_arguments = text("arguments[1].gain");
        let is_of = "arguments[1].gain: plugin `Amp` expects u8, this plugin has String";
        assert!(of_arguments.ends_with(is_of), "{of_arguments}");
        let of_result = text("result.gain");
        let is_of = "result.gain: this plugin expects u8, plugin `Amp` has String";
        assert!(of_result.ends_with(is_of), "{of_result}");
    }

    /// If the broker could not answer now, it may soon: waiting for the gate goes on.
    #[test]
    fn what_could_not_be_found_out_is_no_mismatch() {
        let failed = Verdict::Failed(Error::new(Code::NotReady, "it is gone"));
        let half = half(differs(true), Some(failed));
        assert!(half.mismatch().is_none() && !half.is_ready());
    }
}
