//! Whether all archives of a type have the same size.

use super::{Schema, TypeDef};

/// Whether archives of this schema have no pointers. Each struct or enum is looked at once, so that the walk ends for
/// types that name each other.
pub(super) fn is_fixed(schema: &Schema, types: &[TypeDef]) -> bool {
    let mut seen = vec![false; types.len()];
    let mut left = vec![schema];
    while let Some(schema) = left.pop() {
        match schema {
            Schema::Primitive(_)
            | Schema::Unit
            | Schema::Option(_)
            | Schema::Result { .. }
            | Schema::Array { .. }
            | Schema::Tuple(_) => left.extend(schema.children()),
            Schema::Named(index) => {
                let Some((seen, named)) = at(&mut seen, types, *index) else {
                    return false;
                };
                if !std::mem::replace(seen, true) {
                    left.extend(named.body.fields().map(|field| &field.schema));
                }
            }
            Schema::String
            | Schema::Box(_)
            | Schema::Vec(_)
            | Schema::Map { .. }
            | Schema::Opaque(_)
            | Schema::Any => return false,
        }
    }
    true
}

fn at<'a, 't>(
    seen: &'a mut [bool],
    types: &'t [TypeDef],
    index: u32,
) -> Option<(&'a mut bool, &'t TypeDef)> {
    let index = index as usize;
    Some((seen.get_mut(index)?, types.get(index)?))
}

#[cfg(test)]
mod tests {
    use crate::schema::{Body, Field, Primitive, Schema, Signature, TypeDef, Variant};

    const NUMBER: Schema = Schema::Primitive(Primitive::F32);

    fn of(schema: Schema, types: Vec<TypeDef>) -> bool {
        let signature = Signature {
            params: Some(vec![schema]),
            result: None,
            types,
        };
        signature.is_of_fixed_size()
    }

    fn named(fields: Vec<Schema>) -> TypeDef {
        let field = |schema| Field {
            name: "x".into(),
            schema,
            default: false,
        };
        let variant = |schema| Variant {
            name: "V".into(),
            fields: vec![field(schema)],
        };
        TypeDef {
            name: "T".into(),
            body: Body::Enum(fields.into_iter().map(variant).collect()),
        }
    }

    /// A type counts as of fixed size only if its archives have no pointers. Otherwise a reader of a cell would copy
    /// the pointer without the value that it points to.
    #[test]
    fn what_has_no_pointers_is_of_fixed_size() {
        let array = Schema::Array {
            element: Box::new(NUMBER),
            length: 9,
        };
        let result = Schema::Result {
            ok: Box::new(array.clone()),
            err: Box::new(Schema::Unit),
        };
        for schema in [
            NUMBER,
            Schema::Option(Box::new(result)),
            Schema::Tuple(vec![array, NUMBER]),
        ] {
            assert!(of(schema.clone(), Vec::new()), "{schema:?}");
            assert!(of(
                Schema::Named(1),
                vec![named(vec![Schema::String]), named(vec![schema])]
            ));
        }
        let map = Schema::Map {
            key: Box::new(NUMBER),
            value: Box::new(NUMBER),
        };
        for schema in [
            Schema::String,
            Schema::Vec(Box::new(NUMBER)),
            Schema::Box(Box::new(NUMBER)),
            Schema::Opaque("Time 1".into()),
            Schema::Any,
            map,
        ] {
            assert!(!of(schema.clone(), Vec::new()), "{schema:?}");
            let option = Schema::Option(Box::new(schema.clone()));
            assert!(!of(Schema::Tuple(vec![NUMBER, option]), Vec::new()));
            assert!(!of(Schema::Named(0), vec![named(vec![NUMBER, schema])]));
        }
    }

    /// The question ends for types that name each other or themselves, and for signatures that are not one parameter.
    #[test]
    fn every_signature_has_an_answer() {
        let mutual = vec![named(vec![Schema::Named(1)]), named(vec![Schema::Named(0)])];
        assert!(of(Schema::Named(0), mutual));
        assert!(!of(Schema::Named(3), Vec::new()));
        for params in [None, Some(vec![]), Some(vec![NUMBER, NUMBER])] {
            let signature = Signature {
                params,
                result: None,
                types: Vec::new(),
            };
            assert!(!signature.is_of_fixed_size());
        }
    }
}
