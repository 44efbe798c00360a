//! Signatures as text for people.

use core::fmt::{self, Write as _};

use super::{Schema, Signature, TypeDef};

/// How much of a name is shown. A peer's name may be long, and its schema may mention it very often.
const MOST_OF_NAME: usize = 64;

/// How much of a schema is shown in a message.
const MOST_OF_ALL: usize = 512;

/// The beginning of a name, with a mark if something was cut off.
pub(super) fn short(name: &str) -> (&str, &'static str) {
    match name.len() > MOST_OF_NAME {
        true => (&name[..name.floor_char_boundary(MOST_OF_NAME)], "…"),
        false => (name, ""),
    }
}

/// The beginning of a text. The rest is never written: the whole text of a peer's schema may be a thousand times as
/// long as its bytes.
pub(super) fn brief(shown: fmt::Arguments<'_>) -> String {
    let mut beginning = Beginning(String::new());
    if beginning.write_fmt(shown).is_err() {
        beginning.0.push('…');
    }
    beginning.0
}

/// A text that takes no more than [`MOST_OF_ALL`] bytes.
struct Beginning(String);

impl fmt::Write for Beginning {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = MOST_OF_ALL - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        match text.len() > room {
            true => Err(fmt::Error),
            false => Ok(()),
        }
    }
}

/// A schema as text; see [`Signature::show`].
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    schema: &'a Schema,
    types: &'a [TypeDef],
}

impl<'a> Shown<'a> {
    pub(super) fn new(schema: &'a Schema, types: &'a [TypeDef]) -> Shown<'a> {
        Shown { schema, types }
    }

    fn with(&self, schema: &'a Schema) -> Shown<'a> {
        Shown::new(schema, self.types)
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |schema| self.with(schema);
        match self.schema {
            Schema::Primitive(primitive) => f.write_str(primitive.as_str()),
            Schema::Unit => f.write_str("()"),
            Schema::String => f.write_str("String"),
            Schema::Option(inner) => write!(f, "Option<{}>", of(inner)),
            Schema::Result { ok, err } => write!(f, "Result<{}, {}>", of(ok), of(err)),
            Schema::Box(inner) => of(inner).fmt(f),
            Schema::Vec(element) => write!(f, "Vec<{}>", of(element)),
            Schema::Array { element, length } => write!(f, "[{}; {length}]", of(element)),
            Schema::Tuple(elements) => match elements.as_slice() {
                [only] => write!(f, "({},)", of(only)),
                several => write_list(f, several, self.types),
            },
            Schema::Map { key, value } => write!(f, "SortedMap<{}, {}>", of(key), of(value)),
            Schema::Named(index) => match self.types.get(*index as usize) {
                Some(def) => {
                    let (name, mark) = short(&def.name);
                    write!(f, "{name}{mark}")
                }
                None => write!(f, "type {index}"),
            },
            Schema::Opaque(name) => write!(f, "opaque {name:?}"),
            Schema::Any => f.write_str("any"),
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, schemas: &[Schema], types: &[TypeDef]) -> fmt::Result {
    f.write_str("(")?;
    for (index, schema) in schemas.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(f, "{comma}{}", Shown::new(schema, types))?;
    }
    f.write_str(")")
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.params {
            None => f.write_str("(..)")?,
            Some(params) => write_list(f, params, &self.types)?,
        }
        match &self.result {
            None => Ok(()),
            Some(result) => write!(f, " -> {}", self.show(result)),
        }
    }
}
