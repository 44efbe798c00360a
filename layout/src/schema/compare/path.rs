//! The place of a type in a signature.

use core::fmt;

use crate::schema::text::short;

/// One step from a type into what it consists of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// A parameter.
    Argument(usize),
    /// The result.
    Result,
    /// A field or a variant, by its name.
    Name(&'a str),
    /// An element of a tuple.
    Element(usize),
    /// Any element of a list.
    Each,
    /// Any key of a map.
    Key,
    /// Any value of a map.
    Value,
}

/// Steps as text: `arguments[0].tracks[].gain`. A very long path is shortened in the middle.
pub(super) struct Path<'a>(pub(super) &'a [Step<'a>]);

/// How many steps of a long path are written at its beginning, and how many at its end.
const KEPT: usize = 16;

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.0;
        if steps.len() <= 2 * KEPT {
            return write_steps(f, steps);
        }
        write_steps(f, &steps[..KEPT])?;
        f.write_str("…")?;
        write_steps(f, &steps[steps.len() - KEPT..])
    }
}

fn write_steps(f: &mut fmt::Formatter<'_>, steps: &[Step<'_>]) -> fmt::Result {
    steps.iter().try_for_each(|step| match step {
        Step::Argument(index) => write!(f, "arguments[{index}]"),
        Step::Result => f.write_str("result"),
        Step::Name(name) => {
            let (name, mark) = short(name);
            write!(f, ".{name}{mark}")
        }
        Step::Element(index) => write!(f, "[{index}]"),
        Step::Each => f.write_str("[]"),
        Step::Key => f.write_str("{key}"),
        Step::Value => f.write_str("{}"),
    })
}
