//! The parts of a signature as bytes.

use super::{Body, Field, MAX_DEPTH, MAX_NAME, Schema, SchemaError};

/// The bytes of a type's shape, without which types it names. Different outlines mean different types.
pub(super) fn outline(body: &Body) -> Result<Vec<u8>, SchemaError> {
    let mut writer = Writer::new(None);
    writer.body(body)?;
    Ok(writer.finish())
}

pub(super) struct Writer<'a> {
    out: Vec<u8>,
    /// The number of each type of the table. Without it, types are written without their numbers.
    numbers: Option<&'a [u32]>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(numbers: Option<&'a [u32]>) -> Writer<'a> {
        Writer {
            out: Vec::new(),
            numbers,
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    pub(super) fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    pub(super) fn text(&mut self, text: &str) -> Result<(), SchemaError> {
        check_name(text)?;
        self.number(text.len() as u64);
        self.out.extend(text.as_bytes());
        Ok(())
    }

    pub(super) fn schema(&mut self, schema: &Schema, depth: usize) -> Result<(), SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        self.out.push(tag(schema));
        match schema {
            Schema::Primitive(primitive) => self.out.push(*primitive as u8),
            Schema::Tuple(elements) => self.number(elements.len() as u64),
            Schema::Opaque(name) => self.text(name)?,
            Schema::Named(index) => {
                if let Some(numbers) = self.numbers {
                    self.number(u64::from(numbers[*index as usize]));
                }
            }
            _ => {}
        }
        for child in schema.children() {
            self.schema(child, depth + 1)?;
        }
        if let Schema::Array { length, .. } = schema {
            self.number(*length);
        }
        Ok(())
    }

    fn fields(&mut self, fields: &[Field]) -> Result<(), SchemaError> {
        self.number(fields.len() as u64);
        for field in fields {
            self.text(&field.name)?;
            self.schema(&field.schema, 0)?;
        }
        Ok(())
    }

    pub(super) fn body(&mut self, body: &Body) -> Result<(), SchemaError> {
        match body {
            Body::Struct(fields) => {
                self.out.push(1);
                self.fields(fields)
            }
            Body::Enum(variants) => {
                self.out.push(2);
                self.number(variants.len() as u64);
                variants.iter().try_for_each(|variant| {
                    self.text(&variant.name)?;
                    self.fields(&variant.fields)
                })
            }
        }
    }
}

fn tag(schema: &Schema) -> u8 {
    match schema {
        Schema::Primitive(_) => 1,
        Schema::Unit => 2,
        Schema::String => 3,
        Schema::Option(_) => 4,
        Schema::Result { .. } => 5,
        Schema::Box(_) => 6,
        Schema::Vec(_) => 7,
        Schema::Array { .. } => 8,
        Schema::Tuple(_) => 9,
        Schema::Map { .. } => 10,
        Schema::Named(_) => 11,
        Schema::Opaque(_) => 12,
        Schema::Any => 13,
    }
}

/// Refuses names that are too long, or that would break the line in which they are shown.
pub(super) fn check_name(name: &str) -> Result<(), SchemaError> {
    match name.len() > MAX_NAME || name.chars().any(char::is_control) {
        true => Err(SchemaError::BadName),
        false => Ok(()),
    }
}
