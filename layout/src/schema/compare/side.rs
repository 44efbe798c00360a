//! One side of a pair of types that are compared.

use crate::schema::text::{Shown, brief, short};
use crate::schema::{Body, Field, Primitive, Schema, TypeDef, Variant};

/// The tables of both signatures.
#[derive(Clone, Copy)]
pub(super) struct Types<'a> {
    pub(super) from: &'a [TypeDef],
    pub(super) to: &'a [TypeDef],
}

/// A type on one side of a comparison.
#[derive(Clone, Copy)]
pub(super) enum Side<'a> {
    Schema(&'a Schema),
    Def(&'a TypeDef),
    /// What a variant of an enum holds.
    Variant(&'a Variant),
    /// Nothing: the other side has something here that this side lacks.
    Nothing,
}

/// How a side is written in JSON.
pub(super) enum View<'a> {
    Any,
    Nothing,
    Number(Primitive),
    Bool,
    /// A `char` or a `String`.
    Text,
    Unit,
    /// A list of elements, all of one type.
    List(&'a Schema, Option<u64>),
    /// A list of elements, each of its own type.
    Elements(Vec<&'a Schema>),
    Map {
        key: &'a Schema,
        value: &'a Schema,
    },
    Fields(&'a [Field]),
    Variants(&'a [Variant]),
    Result {
        ok: &'a Schema,
        err: &'a Schema,
    },
    Opaque(&'a str),
}

/// A wrapper around a type, which JSON does not show or may leave out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapper {
    Option,
    Box,
    /// A struct or a variant whose only field is `0`.
    Newtype,
}

impl<'a> Side<'a> {
    /// Takes the outermost wrapper off.
    pub(super) fn unwrap(self, types: &'a [TypeDef]) -> Result<(Wrapper, Side<'a>), Side<'a>> {
        match self {
            Side::Schema(Schema::Option(inner)) => Ok((Wrapper::Option, Side::Schema(inner))),
            Side::Schema(Schema::Box(inner)) => Ok((Wrapper::Box, Side::Schema(inner))),
            Side::Schema(Schema::Named(index)) => match types.get(*index as usize) {
                Some(def) => Side::Def(def).unwrap(types),
                None => Err(Side::Nothing),
            },
            Side::Def(TypeDef {
                body: Body::Struct(fields),
                ..
            })
            | Side::Variant(Variant { fields, .. }) => match fields.as_slice() {
                [only] if only.name == "0" => Ok((Wrapper::Newtype, Side::Schema(&only.schema))),
                _ => Err(self),
            },
            _ => Err(self),
        }
    }

    /// A number that distinguishes this side from all others of its signature.
    pub(super) fn address(self) -> usize {
        match self {
            Side::Schema(schema) => core::ptr::from_ref(schema).addr(),
            Side::Def(def) => core::ptr::from_ref(def).addr(),
            Side::Variant(variant) => core::ptr::from_ref(variant).addr(),
            Side::Nothing => 0,
        }
    }

    /// How many parts [`Side::view`] looks at.
    pub(super) fn size(self) -> usize {
        match self {
            Side::Schema(Schema::Tuple(elements)) => elements.len(),
            Side::Schema(_) | Side::Nothing => 1,
            Side::Variant(variant) => variant.fields.len(),
            Side::Def(def) => match &def.body {
                Body::Struct(fields) => fields.len(),
                Body::Enum(variants) => variants.len(),
            },
        }
    }

    /// How a side without wrappers is written in JSON.
    pub(super) fn view(self) -> View<'a> {
        match self {
            Side::Nothing => View::Nothing,
            Side::Def(TypeDef {
                body: Body::Enum(variants),
                ..
            }) => View::Variants(variants),
            Side::Def(TypeDef {
                body: Body::Struct(fields),
                ..
            })
            | Side::Variant(Variant { fields, .. }) => match is_tuple(fields) {
                true => View::Elements(fields.iter().map(|field| &field.schema).collect()),
                false => View::Fields(fields),
            },
            Side::Schema(schema) => of_schema(schema),
        }
    }

    /// The side as an error message names it, shortened if it is long.
    pub(super) fn describe(self, types: &[TypeDef]) -> String {
        match self {
            Side::Nothing => "nothing".to_owned(),
            Side::Schema(Schema::Named(index)) => match types.get(*index as usize) {
                Some(def) => Side::Def(def).describe(types),
                None => "a type that is not in the schema".to_owned(),
            },
            Side::Schema(schema) => brief(format_args!("{}", Shown::new(schema, types))),
            Side::Variant(variant) => match variant.fields.as_slice() {
                [only] if only.name == "0" => Side::Schema(&only.schema).describe(types),
                _ => brief(format_args!("variant {}", variant.name)),
            },
            Side::Def(def) => match &def.body {
                Body::Struct(fields) if is_tuple(fields) => {
                    brief(format_args!("tuple struct {}", def.name))
                }
                Body::Struct(_) => brief(format_args!("struct {}", def.name)),
                Body::Enum(variants) => {
                    brief(format_args!("enum {} of {}", def.name, names(variants)))
                }
            },
        }
    }
}

/// The most variants that a message names.
const MOST_NAMES: usize = 8;

fn names(variants: &[Variant]) -> String {
    let names = variants.iter().take(MOST_NAMES);
    let names = names.map(|variant| short(&variant.name));
    let mut names: Vec<String> = names.map(|(name, mark)| format!("{name}{mark}")).collect();
    if variants.len() > MOST_NAMES {
        names.push("…".to_owned());
    }
    names.join(", ")
}

/// Whether these are the fields of a tuple struct, which has at least one field.
fn is_tuple(fields: &[Field]) -> bool {
    let mut named = fields.iter().enumerate();
    !fields.is_empty() && named.all(|(index, field)| field.name == index.to_string())
}

fn of_schema(schema: &Schema) -> View<'_> {
    match schema {
        Schema::Primitive(Primitive::Bool) => View::Bool,
        Schema::Primitive(Primitive::Char) | Schema::String => View::Text,
        Schema::Primitive(number) => View::Number(*number),
        Schema::Unit => View::Unit,
        Schema::Vec(element) => View::List(element, None),
        Schema::Array { element, length } => View::List(element, Some(*length)),
        Schema::Tuple(elements) => View::Elements(elements.iter().collect()),
        Schema::Map { key, value } => View::Map { key, value },
        Schema::Result { ok, err } => View::Result { ok, err },
        Schema::Opaque(name) => View::Opaque(name),
        Schema::Any => View::Any,
        // These are wrappers, which `unwrap` has taken off.
        Schema::Option(_) | Schema::Box(_) | Schema::Named(_) => View::Nothing,
    }
}
