//! Makes a value of one type that another type can read.

use callgate_layout::schema::{Body, Field, Primitive, Schema, Signature, TypeDef, Variant};

use super::model::{Wire, is_tuple};

/// Why there is no such value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Why {
    /// The types rule it out.
    Never,
    /// There was none down to a depth of [`DEEPEST`].
    Deep,
}

type Made = Result<Wire, Why>;

/// A type, with the signature that defines its structs and enums.
pub(super) type Of<'a> = (&'a Signature, &'a Schema);

const DEEPEST: usize = 6;

/// A type without the parts that JSON does not show.
pub(super) enum Bare<'a> {
    Schema(&'a Schema),
    Fields(&'a [Field]),
    Variants(&'a [Variant]),
}

/// Removes `Option`, `Box` and newtypes from a type, and says whether there was an `Option`.
pub(super) fn bare<'a>((signature, mut schema): Of<'a>) -> Option<(Bare<'a>, bool)> {
    let mut is_optional = false;
    for _ in 0..20 {
        match schema {
            Schema::Option(inner) => (schema, is_optional) = (inner, true),
            Schema::Box(inner) => schema = inner,
            Schema::Named(index) => match &signature.types[*index as usize].body {
                Body::Struct(fields) => match fields.as_slice() {
                    [only] if only.name == "0" => schema = &only.schema,
                    fields => return Some((Bare::Fields(fields), is_optional)),
                },
                Body::Enum(variants) => return Some((Bare::Variants(variants), is_optional)),
            },
            _ => return Some((Bare::Schema(schema), is_optional)),
        }
    }
    None
}

/// Makes a value of `from` that `to` can read.
pub(super) fn fitting(from: Of<'_>, to: Of<'_>, depth: usize) -> Made {
    let (Some((from_bare, can_be_null)), Some((to_bare, takes_null))) = (bare(from), bare(to))
    else {
        return Err(Why::Deep);
    };
    if depth > DEEPEST {
        return match can_be_null && takes_null {
            true => Ok(Wire::Null),
            false => Err(Why::Deep),
        };
    }
    match (from_bare, to_bare) {
        (Bare::Schema(Schema::Any), Bare::Schema(Schema::Any)) => Ok(Wire::Null),
        (Bare::Schema(Schema::Any), _) => fitting(to, to, depth + 1),
        (_, Bare::Schema(Schema::Any)) => fitting(from, from, depth + 1),
        (Bare::Variants(a), Bare::Variants(b)) => variants((from.0, a), (to.0, b), depth + 1),
        (Bare::Fields(a), Bare::Fields(b)) => fields((from.0, a), (to.0, b), depth + 1),
        (Bare::Fields([]), Bare::Schema(Schema::Unit))
        | (Bare::Schema(Schema::Unit), Bare::Fields([])) => Ok(Wire::Null),
        (Bare::Schema(a @ Schema::Result { .. }), Bare::Schema(b)) => {
            results((from.0, a), (to.0, b), depth + 1)
        }
        (Bare::Schema(a @ Schema::Map { .. }), Bare::Schema(b)) => {
            maps((from.0, a), (to.0, b), depth + 1)
        }
        (a, b) => match (elements(&a), elements(&b)) {
            (Some(a), Some(b)) => lists((from.0, a), (to.0, b), depth + 1),
            (None, None) => scalars(&a, &b),
            _ => Err(Why::Never),
        },
    }
}

fn results(from: Of<'_>, to: Of<'_>, depth: usize) -> Made {
    let (Schema::Result { ok: a, err: b }, Schema::Result { ok, err }) = (from.1, to.1) else {
        return Err(Why::Never);
    };
    let within = |name: &str, value| Wire::Object(vec![(name.to_owned(), value)]);
    let ok = fitting((from.0, a), (to.0, ok), depth).map(|value| within("Ok", value));
    let err = fitting((from.0, b), (to.0, err), depth).map(|value| within("Err", value));
    first([ok, err])
}

fn maps(from: Of<'_>, to: Of<'_>, depth: usize) -> Made {
    let (Schema::Map { key: a, value: b }, Schema::Map { key, value }) = (from.1, to.1) else {
        return Err(Why::Never);
    };
    let name = match (class(a), class(key)) {
        (Some(a), Some(b)) if a == b => a,
        _ => return Err(Why::Never),
    };
    match fitting((from.0, b), (to.0, value), depth) {
        Ok(value) => Ok(Wire::Object(vec![(name.to_owned(), value)])),
        Err(Why::Deep) => Ok(Wire::Object(Vec::new())),
        Err(why) => Err(why),
    }
}

fn first(all: impl IntoIterator<Item = Made>) -> Made {
    let mut last = Why::Never;
    for made in all {
        match made {
            Ok(value) => return Ok(value),
            Err(Why::Deep) => last = Why::Deep,
            Err(Why::Never) => {}
        }
    }
    Err(last)
}

/// A key that all key types of the same class can read.
pub(super) fn class(key: &Schema) -> Option<&'static str> {
    match key {
        Schema::String | Schema::Primitive(Primitive::Char) => Some("a"),
        Schema::Primitive(Primitive::Bool) => Some("true"),
        Schema::Primitive(_) => Some("1"),
        _ => None,
    }
}

pub(super) fn scalars(from: &Bare<'_>, to: &Bare<'_>) -> Made {
    let (Bare::Schema(from), Bare::Schema(to)) = (from, to) else {
        return Err(Why::Never);
    };
    match (from, to) {
        (Schema::Unit, Schema::Unit) => Ok(Wire::Null),
        _ => match (class(from), class(to)) {
            (Some("a"), Some("a")) => Ok(Wire::Text("a".to_owned())),
            (Some("true"), Some("true")) => Ok(Wire::Bool(true)),
            (Some("1"), Some("1")) => Ok(Wire::Number("1".to_owned())),
            _ => Err(Why::Never),
        },
    }
}

/// The type of each element, and whether the number of elements is fixed.
pub(super) struct Elements<'a> {
    pub(super) all: Vec<&'a Schema>,
    is_fixed: bool,
}

pub(super) fn elements<'a>(of: &Bare<'a>) -> Option<Elements<'a>> {
    let (all, is_fixed) = match of {
        Bare::Schema(Schema::Vec(element)) => (vec![&**element], false),
        Bare::Schema(Schema::Array { element, length }) => {
            (vec![&**element; *length as usize], true)
        }
        Bare::Schema(Schema::Tuple(all)) => (all.iter().collect(), true),
        Bare::Fields(fields) if is_tuple(fields) => {
            (fields.iter().map(|field| &field.schema).collect(), true)
        }
        _ => return None,
    };
    Some(Elements { all, is_fixed })
}

fn lists(from: (&Signature, Elements<'_>), to: (&Signature, Elements<'_>), depth: usize) -> Made {
    let (a, b) = (&from.1, &to.1);
    if a.is_fixed && b.is_fixed && a.all.len() != b.all.len() {
        return Err(Why::Never);
    }
    let count = a.all.len().max(b.all.len());
    let at = |of: &Elements<'_>, index: usize| of.all[index.min(of.all.len() - 1)].clone();
    let each =
        (0..count).map(|index| fitting((from.0, &at(a, index)), (to.0, &at(b, index)), depth));
    let each: Vec<Made> = each.collect();
    match all(&each) {
        Err(Why::Deep) if !a.is_fixed && !b.is_fixed => Ok(Wire::List(Vec::new())),
        Err(why) => Err(why),
        Ok(()) => Ok(Wire::List(each.into_iter().flatten().collect())),
    }
}

/// `Ok` if all values could be made. Of the errors, `Never` takes precedence over `Deep`.
fn all(made: &[Made]) -> Result<(), Why> {
    match made.contains(&Err(Why::Never)) {
        true => Err(Why::Never),
        false => made
            .iter()
            .try_for_each(|one| one.as_ref().map(drop).map_err(|why| *why)),
    }
}

fn fields(from: (&Signature, &[Field]), to: (&Signature, &[Field]), depth: usize) -> Made {
    let (a, b) = (Bare::Fields(from.1), Bare::Fields(to.1));
    match (elements(&a), elements(&b)) {
        (Some(a), Some(b)) => return lists((from.0, a), (to.0, b), depth),
        (None, None) => {}
        _ => return Err(Why::Never),
    }
    let is_there = |field: &Field| from.1.iter().any(|other| other.name == field.name);
    let can_lack = |field: &Field| field.default || matches!(field.schema, Schema::Option(_));
    if !to.1.iter().all(|field| is_there(field) || can_lack(field)) {
        return Err(Why::Never);
    }
    let each = from.1.iter().map(|field| {
        let own = (from.0, &field.schema);
        match to.1.iter().find(|other| other.name == field.name) {
            Some(other) => fitting(own, (to.0, &other.schema), depth),
            None => fitting(own, own, depth),
        }
    });
    let each: Vec<Made> = each.collect();
    all(&each)?;
    let names = from.1.iter().map(|field| field.name.clone());
    Ok(Wire::Object(
        names.zip(each.into_iter().flatten()).collect(),
    ))
}

fn variants(from: (&Signature, &[Variant]), to: (&Signature, &[Variant]), depth: usize) -> Made {
    let both = from.1.iter().filter_map(|variant| {
        let other = to.1.iter().find(|other| other.name == variant.name)?;
        Some(content((from.0, variant), (to.0, other), depth))
    });
    first(both)
}

fn content(from: (&Signature, &Variant), to: (&Signature, &Variant), depth: usize) -> Made {
    let (a, b) = (with(from.0, from.1), with(to.0, to.1));
    let made = fitting((&a, &last(&a)), (&b, &last(&b)), depth)?;
    Ok(match from.1.fields.is_empty() {
        true => Wire::Text(from.1.name.clone()),
        false => Wire::Object(vec![(from.1.name.clone(), made)]),
    })
}

/// The signature with the contents of a variant added as its last type.
pub(super) fn with(signature: &Signature, variant: &Variant) -> Signature {
    let mut signature = signature.clone();
    signature.types.push(TypeDef {
        name: variant.name.clone(),
        body: Body::Struct(variant.fields.clone()),
    });
    signature
}

/// The last type of a signature.
pub(super) fn last(signature: &Signature) -> Schema {
    Schema::Named(signature.types.len() as u32 - 1)
}
