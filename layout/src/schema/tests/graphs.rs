//! Random signatures whose types contain each other.

use proptest::prelude::*;

use super::{Body, Field, Primitive, Schema, Signature, TypeDef, Variant};

/// The most types that a random signature has.
pub(super) const MOST: u32 = 6;

fn schema(types: u32) -> impl Strategy<Value = Schema> {
    let leaf = prop_oneof![
        2 => prop_oneof![
            Just(Primitive::U8),
            Just(Primitive::F64),
            Just(Primitive::Bool),
            Just(Primitive::Char),
        ]
        .prop_map(Schema::Primitive),
        1 => Just(Schema::Unit),
        1 => Just(Schema::String),
        1 => Just(Schema::Any),
        1 => Just(Schema::Opaque("o/1".to_owned())),
        4 => (0..types).prop_map(Schema::Named),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            boxed().prop_map(Schema::Option),
            boxed().prop_map(Schema::Vec),
            boxed().prop_map(Schema::Box),
            (boxed(), 1..3_u64).prop_map(|(element, length)| Schema::Array { element, length }),
            (boxed(), boxed()).prop_map(|(ok, err)| Schema::Result { ok, err }),
            (boxed(), boxed()).prop_map(|(key, value)| Schema::Map { key, value }),
            prop::collection::vec(inner.clone(), 1..3).prop_map(Schema::Tuple),
        ]
    })
}

/// Fields by name, or by position.
fn fields(types: u32) -> impl Strategy<Value = Vec<Field>> {
    let names = prop_oneof![
        Just(vec!["a", "b"]),
        Just(vec!["b", "a"]),
        Just(vec!["0", "1"])
    ];
    let schemas = prop::collection::vec((schema(types), any::<bool>()), 0..3);
    (names, schemas).prop_map(|(names, schemas)| {
        let fields = names.iter().zip(schemas);
        fields
            .map(|(name, (schema, default))| Field {
                name: (*name).to_owned(),
                schema,
                default,
            })
            .collect()
    })
}

fn body(types: u32) -> impl Strategy<Value = Body> {
    let names = prop_oneof![Just(["A", "B"]), Just(["B", "C"])];
    let variants = (names, prop::collection::vec(fields(types), 0..3));
    let variants = variants.prop_map(|(names, fields)| {
        let variants = names.iter().zip(fields);
        variants
            .map(|(name, fields)| Variant {
                name: (*name).to_owned(),
                fields,
            })
            .collect()
    });
    prop_oneof![
        2 => fields(types).prop_map(Body::Struct),
        1 => variants.prop_map(Body::Enum),
    ]
}

pub(super) fn signature() -> impl Strategy<Value = Signature> {
    (1..=MOST).prop_flat_map(|types| {
        let defs = prop::collection::vec(body(types), types as usize);
        let params = prop::collection::vec(schema(types), 0..3);
        let result = prop::option::of(schema(types));
        (prop::option::weighted(0.9, params), result, defs).prop_map(|(params, result, bodies)| {
            let names = bodies.into_iter().enumerate();
            let types = names.map(|(index, body)| TypeDef {
                name: format!("T{index}"),
                body,
            });
            Signature {
                params,
                result,
                types: types.collect(),
            }
        })
    })
}

/// Replaces each index that a schema names.
pub(super) fn rename(schema: &Schema, index: &mut impl FnMut(u32) -> u32) -> Schema {
    let mut boxed = |inner: &Schema| Box::new(rename(inner, index));
    match schema {
        Schema::Option(inner) => Schema::Option(boxed(inner)),
        Schema::Box(inner) => Schema::Box(boxed(inner)),
        Schema::Vec(inner) => Schema::Vec(boxed(inner)),
        Schema::Array { element, length } => Schema::Array {
            element: boxed(element),
            length: *length,
        },
        Schema::Result { ok, err } => Schema::Result {
            ok: boxed(ok),
            err: boxed(err),
        },
        Schema::Map { key, value } => Schema::Map {
            key: boxed(key),
            value: boxed(value),
        },
        Schema::Tuple(elements) => {
            Schema::Tuple(elements.iter().map(|inner| *boxed(inner)).collect())
        }
        Schema::Named(old) => Schema::Named(index(*old)),
        other => other.clone(),
    }
}

fn rename_fields(fields: &[Field], index: &mut impl FnMut(u32) -> u32) -> Vec<Field> {
    let renamed = fields.iter().map(|field| Field {
        schema: rename(&field.schema, index),
        ..field.clone()
    });
    renamed.collect()
}

/// The same signature with a table in which each type stands several times, in another order and under other names.
/// Mentions of a type pick different copies of it.
pub(super) fn shuffled(signature: &Signature, copies: u32, shift: u32) -> Signature {
    let count = signature.types.len() as u32;
    let mut turn = 0;
    let mut index = |old: u32| {
        turn += 1;
        (turn % copies) * count + (old + shift) % count
    };
    let params = signature.params.as_ref();
    let params = params.map(|params| params.iter().map(|s| rename(s, &mut index)).collect());
    let result = signature.result.as_ref().map(|s| rename(s, &mut index));
    let types = (0..copies * count).map(|new| {
        let old = (new % count + count - shift % count) % count;
        let body = match &signature.types[old as usize].body {
            Body::Struct(fields) => Body::Struct(rename_fields(fields, &mut index)),
            Body::Enum(variants) => {
                let variants = variants.iter().map(|variant| Variant {
                    name: variant.name.clone(),
                    fields: rename_fields(&variant.fields, &mut index),
                });
                Body::Enum(variants.collect())
            }
        };
        TypeDef {
            name: format!("Copy{new}"),
            body,
        }
    });
    Signature {
        params,
        result,
        types: types.collect(),
    }
}
