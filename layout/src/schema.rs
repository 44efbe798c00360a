//! Signatures: the types of a gate's parameters and result, and the fingerprint that two sides compare.
//!
//! A [`Signature`] describes types down to the primitives. It has a table of the structs and enums that occur in it.
//! A schema names a struct or an enum by its index in that table, so a type can contain itself. Two signatures whose
//! archives have the same bytes have the same [`Fingerprint`], whatever their types are called. Where the
//! fingerprints differ, [`compare::suits`] says whether values of one can be converted to values of the other.
//!
//! # Bytes
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | length of the shape |
//! | 4..8 | length of the labels |
//! | 8 | number of parameters, 255 for any number |
//! | 9 | whether there is a result: 0 or 1 |
//! | 10..12 | zero |
//! | then | the shape: everything that decides archives and names of fields |
//! | then | the labels: names of types, and which fields have a default |
//!
//! The shape is the number of types, the parameters, the result, and the body of each type. A number is written in
//! LEB128: seven bits a byte, the lowest first, in as few bytes as possible. A text is its length and its bytes; a
//! list is its length and its elements. A schema is its tag and what follows the tag:
//!
//! | tag | schema | then |
//! |---|---|---|
//! | 1 | primitive | one byte, the number of the [`Primitive`] |
//! | 2, 3 | `()`, `String` | |
//! | 4, 6, 7 | `Option`, `Box`, `Vec` | a schema |
//! | 5, 10 | `Result`, map | two schemas |
//! | 8 | array | a schema, a length |
//! | 9 | tuple | a list of schemas |
//! | 11 | struct or enum | its index in the table |
//! | 12 | opaque | a text |
//! | 13 | any | |
//!
//! The body of a struct is a 1 and the list of its fields, each a text and a schema. The body of an enum is a 2 and
//! the list of its variants, each a text and a list of fields. The labels have for each type a text and one bit for
//! each field (of an enum, for each field of all variants). The lowest bit of the first byte comes first.
//!
//! [`Signature::to_bytes`] writes types of equal shape once. It numbers them in the order in which a walk from the
//! parameters meets them, level by level. So two signatures have equal bytes exactly if their shapes are equal.
//! [`Signature::from_bytes`] does not check that order: a peer that writes another order gets another fingerprint,
//! which equals the fingerprint of no correct peer.
//! fingerprint, which equals no correct peer's.

mod canon;
pub mod compare;
mod decode;
mod describer;
mod encode;
mod error;
mod fixed;
mod format;
mod head;
mod refine;
mod text;
mod write;

pub use describer::Describer;
pub use error::SchemaError;
pub use head::{Fingerprint, Head};
pub use text::Shown;

/// The most bytes that a signature may have.
pub const MAX_SCHEMA: usize = 1 << 20;

/// The longest name of a type, field, variant or opaque type in a signature, in bytes.
pub const MAX_NAME: usize = 1024;

/// How deep `Vec`, `Option` and other wrappers may be nested, counted up to the next struct or enum.
pub const MAX_DEPTH: usize = 64;

/// The most parameters that the bytes of a signature can state; 255 stands for any number.
pub const MAX_PARAMS: usize = 254;

macro_rules! primitives {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// A type whose archive is the value itself, apart from the byte order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[allow(
            missing_docs,
            reason = "each is named after the Rust type it stands for"
        )]
        pub enum Primitive {
            $($name = $number,)*
        }

        impl Primitive {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Primitive] = &[$(Primitive::$name),*];

            /// The Rust name of the type.
            pub const fn as_str(self) -> &'static str {
                match self { $(Primitive::$name => $text,)* }
            }
        }
    };
}

primitives! {
    Bool = 0, "bool";
    U8 = 1, "u8";
    U16 = 2, "u16";
    U32 = 3, "u32";
    U64 = 4, "u64";
    U128 = 5, "u128";
    I8 = 6, "i8";
    I16 = 7, "i16";
    I32 = 8, "i32";
    I64 = 9, "i64";
    I128 = 10, "i128";
    F32 = 11, "f32";
    F64 = 12, "f64";
    Char = 13, "char";
}

/// The shape of a type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Schema {
    /// A number, a truth value or a character.
    Primitive(Primitive),
    /// `()`.
    Unit,
    /// Text in UTF-8.
    String,
    /// A value that may be absent.
    Option(Box<Schema>),
    /// A success or a failure.
    Result {
        /// What `Ok` holds.
        ok: Box<Schema>,
        /// What `Err` holds.
        err: Box<Schema>,
    },
    /// A value on the heap: invisible to people and in JSON, a relative pointer in an archive.
    Box(Box<Schema>),
    /// Any number of elements; bytes are a vector of `u8`.
    Vec(Box<Schema>),
    /// A fixed number of elements.
    Array {
        /// What each element is.
        element: Box<Schema>,
        /// How many there are.
        length: u64,
    },
    /// Values side by side.
    Tuple(Vec<Schema>),
    /// A vector of pairs, sorted by key.
    Map {
        /// What the keys are.
        key: Box<Schema>,
        /// What the values are.
        value: Box<Schema>,
    },
    /// The struct or enum with this index in the signature's table.
    Named(u32),
    /// A foreign type, of which only this name and version are known.
    Opaque(String),
    /// Any JSON value. Its archive is the JSON text.
    Any,
}

impl Schema {
    /// The schemas that this one contains directly.
    fn children(&self) -> impl Iterator<Item = &Schema> {
        let (first, second, rest): (Option<&Schema>, Option<&Schema>, &[Schema]) = match self {
            Schema::Option(inner) | Schema::Box(inner) | Schema::Vec(inner) => {
                (Some(inner), None, &[])
            }
            Schema::Array { element, .. } => (Some(element), None, &[]),
            Schema::Result { ok, err } => (Some(ok), Some(err), &[]),
            Schema::Map { key, value } => (Some(key), Some(value), &[]),
            Schema::Tuple(elements) => (None, None, elements),
            _ => (None, None, &[]),
        };
        first.into_iter().chain(second).chain(rest)
    }
}

/// A field of a struct or of an enum's variant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The field's name, or its index as text.
    pub name: String,
    /// What it holds.
    pub schema: Schema,
    /// Whether the receiver can do without it (`#[serde(default)]`). This is not part of the fingerprint.
    pub default: bool,
}

/// A variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The variant's name.
    pub name: String,
    /// Its fields; a plain variant has none.
    pub fields: Vec<Field>,
}

/// What a struct or enum consists of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// Fields, in order; those of a tuple struct are called `0`, `1` and so on.
    Struct(Vec<Field>),
    /// Variants, in order.
    Enum(Vec<Variant>),
}

impl Body {
    /// All fields, in order: those of the struct, or of each variant.
    pub fn fields(&self) -> impl Iterator<Item = &Field> {
        let (fields, variants): (&[Field], &[Variant]) = match self {
            Body::Struct(fields) => (fields, &[]),
            Body::Enum(variants) => (&[], variants),
        };
        fields
            .iter()
            .chain(variants.iter().flat_map(|variant| &variant.fields))
    }
}

/// A struct or an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TypeDef {
    /// The type's name, which only people see. It is not part of the fingerprint.
    pub name: String,
    /// What it consists of.
    pub body: Body,
}

/// What a gate takes and gives, with the structs and enums that occur in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The parameters, in order; `None` means any number of parameters of any type.
    pub params: Option<Vec<Schema>>,
    /// The result of a function; `None` is an action or an event.
    pub result: Option<Schema>,
    /// The types that [`Schema::Named`] names by index.
    pub types: Vec<TypeDef>,
}

impl Signature {
    /// Whether there is one parameter, and the archives of all its values have the same size and contain no pointers.
    pub fn is_of_fixed_size(&self) -> bool {
        match self.params.as_deref() {
            Some([param]) => fixed::is_fixed(param, &self.types),
            _ => false,
        }
    }

    /// The parameters and the result, in order.
    fn roots(&self) -> impl Iterator<Item = &Schema> {
        self.params.iter().flatten().chain(&self.result)
    }

    /// A schema of this signature as text, as Rust would write it, structs and enums by their names.
    pub fn show<'a>(&'a self, schema: &'a Schema) -> Shown<'a> {
        Shown::new(schema, &self.types)
    }

    /// The signature for people: `(String, u32) -> i32`, without the arrow for an action.
    pub fn text(&self) -> String {
        self.to_string()
    }

    /// The 128 bits that two sides compare. Archives are exchanged unconverted only if they are equal.
    ///
    /// Each call computes it anew from all of the bytes, so callers should keep it.
    ///
    /// # Errors
    ///
    /// As [`Signature::to_bytes`].
    pub fn fingerprint(&self) -> Result<Fingerprint, SchemaError> {
        Ok(Head::of(&self.to_bytes()?)?.fingerprint)
    }
}

#[cfg(test)]
mod tests;
