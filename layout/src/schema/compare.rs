//! Whether values of one signature can become values of another one.
//!
//! The comparison looks at pairs of types, each pair once. So it ends for types that contain themselves, and does not
//! take exponentially long for types that contain each other often. First `pairs` finds all pairs that matter, level
//! by level; `rules` says what a pair of types demands of the types in them. Then `verdict` starts from the pairs
//! that can never be converted and works out which other pairs they make impossible. All remaining pairs can be
//! converted. So a type that contains itself can be converted unless a rule forbids it.

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
    /// Their archives have the same bytes.
    Equal,
    /// Some or all values of one can be converted to the other.
    Convertible {
        /// The first difference: where it is, what the receiving side expects, and what the sending side has.
        difference: String,
    },
}

/// Why no call can succeed between two signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// [`Code::LengthMismatch`] for the number of parameters, else [`Code::TypeMismatch`].
    pub code: Code,
    /// Where they differ, for example `arguments[0].tracks[].gain` or `result`.
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

/// Whether a caller's signature and a provider's suit each other: the caller's arguments become the provider's, and
/// the provider's result becomes the caller's. Results are not compared if one side has none.
///
/// # Errors
///
/// The signatures do not suit each other, or are too large to compare.
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

/// Compares `from` with `to` and returns the first difference, if there is one.
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
