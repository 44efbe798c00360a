//! Whether values of one signature can become values of another one.
//!
//! What is compared are pairs of types, each pair once, so that types which contain themselves come to an end
//! and types which contain each other often do not take exponentially long. First all pairs are found that
//! matter, level by level (`pairs`); what two types demand of the types in them stands in `rules`. Then
//! it is worked out, from the pairs that can never be converted, which others can therefore not
//! (`verdict`); the rest can. So a type that contains itself can be converted unless something says no.

mod pairs;
mod path;
mod rules;
mod side;
mod verdict;

use core::fmt;

use super::{Schema, Signature};
use crate::Code;

use pairs::{Pairs, Spent};
use path::{Path, Step};
use side::{Side, Types};

/// How two signatures suit each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suits {
    /// Their archives are interchangeable.
    Equal,
    /// Some values or all of one can be converted to the other.
    Convertible {
        /// The first difference: where, what the receiving side expects, what the sending side has.
        difference: String,
    },
}

/// Why no call can succeed between two signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// [`Code::LengthMismatch`] for the number of parameters, else [`Code::TypeMismatch`].
    pub code: Code,
    /// Where they differ: `arguments[0].tracks[].gain`, or `result`.
    pub path: String,
    /// What the receiving side has there.
    pub expected: String,
    /// What the sending side has there.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch {
            path,
            expected,
            found,
            ..
        } = self;
        write!(f, "{path}: expected {expected}, found {found}")
    }
}

impl Mismatch {
    fn of_types(path: String, expected: String, found: String) -> Mismatch {
        Mismatch {
            code: Code::TypeMismatch,
            path,
            expected,
            found,
        }
    }
}

/// Whether a caller's signature and a provider's suit each other: its arguments become the provider's, and
/// the provider's result becomes the caller's. The results are not compared where one of them has none.
///
/// # Errors
///
/// They do not suit each other, or are too large to find out.
pub fn suits(wanted: &Signature, provided: &Signature) -> Result<Suits, Mismatch> {
    if let (Some(given), Some(taken)) = (&wanted.params, &provided.params)
        && given.len() != taken.len()
    {
        let count = |params: &[Schema]| match params.len() {
            1 => "1 parameter".to_owned(),
            count => format!("{count} parameters"),
        };
        return Err(Mismatch {
            code: Code::LengthMismatch,
            path: "arguments".to_owned(),
            expected: count(taken),
            found: count(given),
        });
    }
    if let (Ok(a), Ok(b)) = (wanted.fingerprint(), provided.fingerprint())
        && a == b
    {
        return Ok(Suits::Equal);
    }
    let of_arguments = arguments(wanted, provided)?;
    let of_result = result(wanted, provided)?;
    let difference = of_arguments.or(of_result);
    Ok(Suits::Convertible {
        difference: difference.unwrap_or_else(|| "the types are laid out differently".to_owned()),
    })
}

fn arguments(wanted: &Signature, provided: &Signature) -> Result<Option<String>, Mismatch> {
    let (Some(given), Some(taken)) = (&wanted.params, &provided.params) else {
        let is_same = wanted.params.is_none() && provided.params.is_none();
        return Ok((!is_same).then(|| "arguments: one side takes any number".to_owned()));
    };
    let roots = given.iter().zip(taken).enumerate();
    let roots = roots.map(|(index, (from, to))| (Step::Argument(index), from, to));
    compare(wanted, provided, roots.collect())
}

fn result(wanted: &Signature, provided: &Signature) -> Result<Option<String>, Mismatch> {
    match (&wanted.result, &provided.result) {
        (Some(to), Some(from)) => compare(provided, wanted, vec![(Step::Result, from, to)]),
        (None, None) => Ok(None),
        _ => Ok(Some("result: one side has none".to_owned())),
    }
}

/// Compares what stands in `from` and `to`; gives the first difference, if there is one.
fn compare(
    from: &Signature,
    to: &Signature,
    roots: Vec<(Step<'_>, &Schema, &Schema)>,
) -> Result<Option<String>, Mismatch> {
    let types = Types {
        from: &from.types,
        to: &to.types,
    };
    let too_large = |_: Spent| {
        Mismatch::of_types(
            "types".to_owned(),
            "ones that differ little enough to be compared".to_owned(),
            "larger ones".to_owned(),
        )
    };
    let roots = roots
        .into_iter()
        .map(|(step, from, to)| (step, Side::Schema(from), Side::Schema(to)));
    let pairs = Pairs::find(types, roots.collect()).map_err(too_large)?;
    if let Some(found) = verdict::first_that_fails(&pairs) {
        return Err(Mismatch::of_types(
            Path(&found.steps).to_string(),
            found.expected,
            found.found,
        ));
    }
    Ok(pairs.difference)
}
