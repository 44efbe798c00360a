//! What a gate's parameters and result look like, and the fingerprint that two sides compare.
//!
//! A [`Schema`] goes down to the primitives. Two signatures whose archives have the same bytes
//! have the same [`Fingerprint`], whatever their types are called; where the fingerprints differ,
//! the schemas say what differs.
#![allow(
    missing_docs,
    reason = "rkyv leaves the fields of an enum's resolver undocumented"
)]

use core::any::TypeId;
use core::fmt;

use rkyv::{Archive, Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// A type that is its own archive, byte order apart.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[allow(
    missing_docs,
    reason = "each is named after the Rust type it stands for"
)]
pub enum Primitive {
    Bool,
    U8,
    U16,
    U32,
    U64,
    U128,
    I8,
    I16,
    I32,
    I64,
    I128,
    F32,
    F64,
    Char,
}

impl Primitive {
    /// The Rust name of the type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Primitive::Bool => "bool",
            Primitive::U8 => "u8",
            Primitive::U16 => "u16",
            Primitive::U32 => "u32",
            Primitive::U64 => "u64",
            Primitive::U128 => "u128",
            Primitive::I8 => "i8",
            Primitive::I16 => "i16",
            Primitive::I32 => "i32",
            Primitive::I64 => "i64",
            Primitive::I128 => "i128",
            Primitive::F32 => "f32",
            Primitive::F64 => "f64",
            Primitive::Char => "char",
        }
    }
}

/// The shape of a type, down to the primitives.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rkyv::rancor::Source))]
#[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source)))]
pub enum Schema {
    /// A number, a truth value or a character.
    Primitive(Primitive),
    /// `()`.
    Unit,
    /// Text in UTF-8.
    String,
    /// A value that may be absent.
    Option(#[rkyv(omit_bounds)] Box<Schema>),
    /// A success or a failure.
    Result {
        /// What `Ok` holds.
        #[rkyv(omit_bounds)]
        ok: Box<Schema>,
        /// What `Err` holds.
        #[rkyv(omit_bounds)]
        err: Box<Schema>,
    },
    /// A value on the heap: transparent to people and JSON, a relative pointer in an archive.
    Box(#[rkyv(omit_bounds)] Box<Schema>),
    /// Any number of elements; bytes are a vector of `u8`.
    Vec(#[rkyv(omit_bounds)] Box<Schema>),
    /// A fixed number of elements.
    Array {
        /// What each element is.
        #[rkyv(omit_bounds)]
        element: Box<Schema>,
        /// How many there are.
        length: u64,
    },
    /// Up to eight values side by side.
    Tuple(#[rkyv(omit_bounds)] Vec<Schema>),
    /// A vector of pairs, sorted by key.
    Map {
        /// What the keys are.
        #[rkyv(omit_bounds)]
        key: Box<Schema>,
        /// What the values are.
        #[rkyv(omit_bounds)]
        value: Box<Schema>,
    },
    /// Named fields; those of a tuple struct are called `0`, `1` and so on.
    Struct {
        /// The type's name, for people only.
        name: String,
        /// Its fields, in order.
        #[rkyv(omit_bounds)]
        fields: Vec<Field>,
    },
    /// One of several variants.
    Enum {
        /// The type's name, for people only.
        name: String,
        /// Its variants, in order.
        #[rkyv(omit_bounds)]
        variants: Vec<Variant>,
    },
    /// A foreign type, known by nothing but this name and version.
    Opaque(String),
    /// The struct or enum so many levels further out (0 is the innermost): a recursive type.
    BackReference(u32),
}

/// A field of a struct or of an enum's variant.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rkyv::rancor::Source))]
#[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source)))]
pub struct Field {
    /// The field's name, or its index as text.
    pub name: String,
    /// What it holds.
    #[rkyv(omit_bounds)]
    pub schema: Schema,
    /// Whether the receiver can do without it (`#[serde(default)]`); not in the fingerprint.
    pub default: bool,
}

/// A variant of an enum.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
#[rkyv(serialize_bounds(__S: rkyv::ser::Writer + rkyv::ser::Allocator, __S::Error: rkyv::rancor::Source))]
#[rkyv(deserialize_bounds(__D::Error: rkyv::rancor::Source))]
#[rkyv(bytecheck(bounds(__C: rkyv::validation::ArchiveContext, __C::Error: rkyv::rancor::Source)))]
pub struct Variant {
    /// The variant's name.
    pub name: String,
    /// Its fields, none for a plain one.
    #[rkyv(omit_bounds)]
    pub fields: Vec<Field>,
}

impl fmt::Display for Schema {
    /// Writes it as Rust would, structs and enums by their names alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Schema::Primitive(primitive) => f.write_str(primitive.as_str()),
            Schema::Unit => f.write_str("()"),
            Schema::String => f.write_str("String"),
            Schema::Option(inner) => write!(f, "Option<{inner}>"),
            Schema::Result { ok, err } => write!(f, "Result<{ok}, {err}>"),
            Schema::Box(inner) => inner.fmt(f),
            Schema::Vec(element) => write!(f, "Vec<{element}>"),
            Schema::Array { element, length } => write!(f, "[{element}; {length}]"),
            Schema::Tuple(elements) => match elements.as_slice() {
                [only] => write!(f, "({only},)"),
                several => write_list(f, several),
            },
            Schema::Map { key, value } => write!(f, "SortedMap<{key}, {value}>"),
            Schema::Struct { name, .. } | Schema::Enum { name, .. } => f.write_str(name),
            Schema::Opaque(name) => write!(f, "opaque {name:?}"),
            Schema::BackReference(levels) => write!(f, "Self^{levels}"),
        }
    }
}

fn write_list(f: &mut impl fmt::Write, schemas: &[Schema]) -> fmt::Result {
    f.write_char('(')?;
    for (index, schema) in schemas.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{schema}")?;
    }
    f.write_char(')')
}

/// What a gate takes and gives.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash)]
pub struct Signature {
    /// The parameters, in order.
    pub params: Vec<Schema>,
    /// The result of a function; `None` is an action or an event.
    pub result: Option<Schema>,
}

impl Signature {
    /// The 128 bits that two sides compare before archives travel as they are.
    ///
    /// Computed anew at each call: keep it.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut encoder = Encoder::new();
        encoder.schemas(&self.params);
        match &self.result {
            None => encoder.byte(0),
            Some(result) => {
                encoder.byte(1);
                encoder.schema(result);
            }
        }
        encoder.finish()
    }

    /// The signature for people: `(String, u32) -> i32`, without the arrow for an action.
    pub fn text(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, &self.params)?;
        match &self.result {
            None => Ok(()),
            Some(result) => write!(f, " -> {result}"),
        }
    }
}

/// 128 bits that stand for everything which decides the bytes of a signature's archives.
///
/// It keeps mistakes apart, not malice: who lies about it fails validation, and no more.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub u128);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

/// Everything outside the schema that changes archived bytes. The crate's dependency on rkyv
/// names the same features; whoever changes one changes the other.
const FORMAT: &[u8] = b"callgate fingerprint 1; rkyv 0.8 little_endian aligned pointer_width_32\0";

/// Feeds a signature to the hash: one tag byte a node, counts before lists, lengths before text,
/// so that no encoding is the beginning of another.
struct Encoder {
    hash: Xxh3,
}

impl Encoder {
    fn new() -> Encoder {
        let mut hash = Xxh3::new();
        hash.update(FORMAT);
        Encoder { hash }
    }

    fn finish(self) -> Fingerprint {
        Fingerprint(self.hash.digest128())
    }

    fn byte(&mut self, byte: u8) {
        self.hash.update(&[byte]);
    }

    fn number(&mut self, number: u64) {
        self.hash.update(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.hash.update(text.as_bytes());
    }

    fn schemas(&mut self, schemas: &[Schema]) {
        self.number(schemas.len() as u64);
        schemas.iter().for_each(|schema| self.schema(schema));
    }

    fn fields(&mut self, fields: &[Field]) {
        self.number(fields.len() as u64);
        for field in fields {
            self.text(&field.name);
            self.schema(&field.schema);
        }
    }

    fn tagged(&mut self, tag: u8, inner: &[&Schema]) {
        self.byte(tag);
        inner.iter().for_each(|schema| self.schema(schema));
    }

    fn schema(&mut self, schema: &Schema) {
        match schema {
            Schema::Primitive(primitive) => {
                self.byte(1);
                self.byte(*primitive as u8);
            }
            Schema::Unit => self.byte(2),
            Schema::String => self.byte(3),
            Schema::Option(inner) => self.tagged(4, &[inner]),
            Schema::Result { ok, err } => self.tagged(5, &[ok, err]),
            Schema::Box(inner) => self.tagged(6, &[inner]),
            Schema::Vec(element) => self.tagged(7, &[element]),
            Schema::Array { element, length } => {
                self.tagged(8, &[element]);
                self.number(*length);
            }
            Schema::Tuple(elements) => {
                self.byte(9);
                self.schemas(elements);
            }
            Schema::Map { key, value } => self.tagged(10, &[key, value]),
            Schema::Struct { fields, .. } => {
                self.byte(11);
                self.fields(fields);
            }
            Schema::Enum { variants, .. } => {
                self.byte(12);
                self.variants(variants);
            }
            Schema::Opaque(name) => {
                self.byte(13);
                self.text(name);
            }
            Schema::BackReference(levels) => {
                self.byte(14);
                self.number(u64::from(*levels));
            }
        }
    }

    fn variants(&mut self, variants: &[Variant]) {
        self.number(variants.len() as u64);
        for variant in variants {
            self.text(&variant.name);
            self.fields(&variant.fields);
        }
    }
}

/// Describes types, and remembers which structs and enums it is inside of, so that a recursive
/// one ends in a [`Schema::BackReference`].
#[derive(Debug, Default)]
pub struct Describer {
    stack: Vec<TypeId>,
}

impl Describer {
    /// A describer at the outermost level.
    pub fn new() -> Describer {
        Describer::default()
    }

    /// Describes the struct or enum `T` by `describe`, unless it is being described already.
    pub fn named<T: 'static>(&mut self, describe: impl FnOnce(&mut Describer) -> Schema) -> Schema {
        let id = TypeId::of::<T>();
        if let Some(levels) = self.stack.iter().rev().position(|outer| *outer == id) {
            return Schema::BackReference(u32::try_from(levels).unwrap_or(u32::MAX));
        }
        self.stack.push(id);
        let schema = describe(self);
        self.stack.pop();
        schema
    }
}

#[cfg(test)]
mod tests;
