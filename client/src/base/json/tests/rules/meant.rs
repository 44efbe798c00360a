//! Whether the comparison of schemas means a value of one type to be converted to another. Their JSON may look
//! alike without that: a text and a variant's name, a struct and a map, an empty struct and a missing value.

use callgate_layout::schema::{Field, Schema, Variant};

use super::fitting::{Bare, Of, bare, class, elements, last, scalars, with};
use super::model::Wire;

/// Whether the comparison's rules have a row for every part of this value.
pub(super) fn is_meant(value: &Wire, from: Of<'_>, to: Of<'_>) -> bool {
    let (Some((from_bare, can_be_null)), Some((to_bare, takes_null))) = (bare(from), bare(to))
    else {
        return false;
    };
    if *value == Wire::Null && can_be_null {
        return takes_null;
    }
    match (from_bare, to_bare) {
        (Bare::Schema(Schema::Any), _) | (_, Bare::Schema(Schema::Any)) => true,
        (Bare::Variants(a), Bare::Variants(b)) => variant(value, (from, a), (to, b)),
        (Bare::Fields([]), Bare::Schema(Schema::Unit))
        | (Bare::Schema(Schema::Unit), Bare::Fields([])) => true,
        (
            Bare::Schema(Schema::Result { ok, err }),
            Bare::Schema(Schema::Result { ok: o, err: e }),
        ) => {
            let Wire::Object(all) = value else {
                return false;
            };
            all.iter().all(|(name, value)| match name.as_str() {
                "Ok" => is_meant(value, (from.0, ok), (to.0, o)),
                _ => is_meant(value, (from.0, err), (to.0, e)),
            })
        }
        (
            Bare::Schema(Schema::Map { key, value: a }),
            Bare::Schema(Schema::Map { key: k, value: b }),
        ) => {
            let Wire::Object(all) = value else {
                return false;
            };
            class(key) == class(k)
                && all
                    .iter()
                    .all(|(_, value)| is_meant(value, (from.0, a), (to.0, b)))
        }
        (a, b) => match (elements(&a), elements(&b), a, b) {
            (Some(a), Some(b), ..) => {
                let Wire::List(all) = value else { return false };
                let at = |all: &[&Schema], index: usize| all[index.min(all.len() - 1)].clone();
                all.iter().enumerate().all(|(index, value)| {
                    is_meant(
                        value,
                        (from.0, &at(&a.all, index)),
                        (to.0, &at(&b.all, index)),
                    )
                })
            }
            (None, None, Bare::Fields(a), Bare::Fields(b)) => fields(value, (from, a), (to, b)),
            (None, None, a, b) => scalars(&a, &b).is_ok(),
            _ => false,
        },
    }
}

fn fields(value: &Wire, (from, own): (Of<'_>, &[Field]), (to, others): (Of<'_>, &[Field])) -> bool {
    others.iter().all(|other| {
        let field = own.iter().find(|field| field.name == other.name);
        match (field, value) {
            (None, _) => other.default || matches!(other.schema, Schema::Option(_)),
            (Some(field), Wire::Object(all)) => {
                let member = all.iter().find(|(name, _)| *name == field.name);
                member.is_some_and(|(_, value)| {
                    is_meant(value, (from.0, &field.schema), (to.0, &other.schema))
                })
            }
            _ => false,
        }
    })
}

fn variant(
    value: &Wire,
    (from, own): (Of<'_>, &[Variant]),
    (to, others): (Of<'_>, &[Variant]),
) -> bool {
    let (name, content) = match value {
        Wire::Text(name) => (name, &Wire::Null),
        Wire::Object(all) => match all.as_slice() {
            [(name, content)] => (name, content),
            _ => return false,
        },
        _ => return false,
    };
    let of = |all: &[Variant]| all.iter().find(|variant| variant.name == *name).cloned();
    let (Some(a), Some(b)) = (of(own), of(others)) else {
        return false;
    };
    let (from, to) = (with(from.0, &a), with(to.0, &b));
    is_meant(content, (&from, &last(&from)), (&to, &last(&to)))
}
