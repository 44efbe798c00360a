//! What two types demand of the types in them so that values of one can become values of the other.

use std::collections::HashMap;

use super::path::Step;
use super::side::{Side, View};
use crate::schema::{Field, Schema, Variant};

/// Which types in a pair of types must be convertible too.
pub(super) enum Demand<'a> {
    Never,
    All(Vec<Child<'a>>),
    /// At least one of these. With no children, the pair cannot be converted.
    OneOf(Vec<Child<'a>>),
}

/// A pair of types inside another pair, and the step that leads to it.
pub(super) type Child<'a> = (Step<'a>, Side<'a>, Side<'a>);

pub(super) struct Ruled<'a> {
    pub(super) demand: Demand<'a>,
    /// The difference between the two types themselves, if there is one.
    pub(super) difference: Option<Difference>,
}

/// What differs between two types.
pub(super) enum Difference {
    /// They are of different kinds.
    Kind,
    /// They have fields or variants of different names at some position.
    Place {
        expected: Option<String>,
        found: Option<String>,
    },
}

/// The rule for two types without wrappers.
pub(super) fn rule<'a>(from: View<'a>, to: View<'a>) -> Ruled<'a> {
    match (from, to) {
        (View::Nothing, _) | (_, View::Nothing) => differ(Demand::Never),
        (View::Any, View::Any) => alike(Vec::new()),
        (View::Any, _) | (_, View::Any) => differ(Demand::All(Vec::new())),
        (View::Number(from), View::Number(to)) if from == to => alike(Vec::new()),
        (View::Number(_), View::Number(_)) => differ(Demand::All(Vec::new())),
        (View::Bool, View::Bool) | (View::Text, View::Text) | (View::Unit, View::Unit) => {
            alike(Vec::new())
        }
        (View::Unit, View::Fields([])) | (View::Fields([]), View::Unit) => {
            differ(Demand::All(Vec::new()))
        }
        (View::Map { key, value }, View::Map { key: k, value: v }) => {
            alike(vec![child(Step::Key, key, k), child(Step::Value, value, v)])
        }
        (View::Fields(from), View::Fields(to)) => fields(from, to),
        (View::Variants(from), View::Variants(to)) => variants(from, to),
        (View::Result { ok, err }, View::Result { ok: o, err: e }) => Ruled {
            demand: Demand::OneOf(vec![
                child(Step::Name("Ok"), ok, o),
                child(Step::Name("Err"), err, e),
            ]),
            difference: None,
        },
        (View::Opaque(from), View::Opaque(to)) if from == to => alike(Vec::new()),
        (from, to) => lists(from, to),
    }
}

/// The rule for types that are written as lists. All other types were handled before.
fn lists<'a>(from: View<'a>, to: View<'a>) -> Ruled<'a> {
    match (from, to) {
        (View::List(from, a), View::List(to, b)) if a == b => {
            alike(vec![child(Step::Each, from, to)])
        }
        (View::List(from, a), View::List(to, b)) if a.is_none() || b.is_none() => {
            differ(Demand::All(vec![child(Step::Each, from, to)]))
        }
        (View::Elements(from), View::Elements(to)) if from.len() == to.len() => {
            alike(by_position(from.into_iter().zip(to)))
        }
        (View::List(from, length), View::Elements(to)) if fits(length, to.len()) => differ(
            Demand::All(by_position(to.into_iter().map(|to| (from, to)))),
        ),
        (View::Elements(from), View::List(to, length)) if fits(length, from.len()) => differ(
            Demand::All(by_position(from.into_iter().map(|from| (from, to)))),
        ),
        _ => differ(Demand::Never),
    }
}

fn child<'a>(step: Step<'a>, from: &'a Schema, to: &'a Schema) -> Child<'a> {
    (step, Side::Schema(from), Side::Schema(to))
}

fn by_position<'a>(pairs: impl Iterator<Item = (&'a Schema, &'a Schema)>) -> Vec<Child<'a>> {
    let pairs = pairs.enumerate();
    pairs
        .map(|(index, (from, to))| child(Step::Element(index), from, to))
        .collect()
}

fn alike(children: Vec<Child<'_>>) -> Ruled<'_> {
    Ruled {
        demand: Demand::All(children),
        difference: None,
    }
}

fn differ(demand: Demand<'_>) -> Ruled<'_> {
    Ruled {
        demand,
        difference: Some(Difference::Kind),
    }
}

fn fits(length: Option<u64>, count: usize) -> bool {
    length.is_none_or(|length| length == count as u64)
}

/// Each field of the receiver comes from the sender's field of that name, or has a default, or is an `Option`.
fn fields<'a>(from: &'a [Field], to: &'a [Field]) -> Ruled<'a> {
    let by_name: HashMap<&str, &Field> = from.iter().map(|f| (f.name.as_str(), f)).collect();
    let mut children = Vec::new();
    for field in to {
        let step = Step::Name(&field.name);
        let is_optional = field.default || matches!(field.schema, Schema::Option(_));
        match by_name.get(field.name.as_str()) {
            Some(found) => children.push((
                step,
                Side::Schema(&found.schema),
                Side::Schema(&field.schema),
            )),
            None if is_optional => {}
            None => children.push((step, Side::Nothing, Side::Schema(&field.schema))),
        }
    }
    let name = |field: &Field| format!("field {}", field.name);
    Ruled {
        demand: Demand::All(children),
        difference: first_other_name(from, to, name),
    }
}

/// A value of a variant that both sides have can be converted if its contents can be.
fn variants<'a>(from: &'a [Variant], to: &'a [Variant]) -> Ruled<'a> {
    let by_name: HashMap<&str, &Variant> = from.iter().map(|v| (v.name.as_str(), v)).collect();
    let both = to.iter().filter_map(|variant| {
        let found = by_name.get(variant.name.as_str())?;
        let step = Step::Name(&variant.name);
        Some((step, Side::Variant(found), Side::Variant(variant)))
    });
    let name = |variant: &Variant| format!("variant {}", variant.name);
    let children: Vec<Child<'_>> = both.collect();
    let demand = match from.is_empty() && to.is_empty() {
        true => Demand::All(children),
        false => Demand::OneOf(children),
    };
    Ruled {
        demand,
        difference: first_other_name(from, to, name),
    }
}

fn first_other_name<T>(from: &[T], to: &[T], name: impl Fn(&T) -> String) -> Option<Difference> {
    (0..from.len().max(to.len())).find_map(|index| {
        let (expected, found) = (to.get(index).map(&name), from.get(index).map(&name));
        (expected != found).then_some(Difference::Place { expected, found })
    })
}
