//! Signatures as bytes.

use super::canon::{Canon, canon};
use super::head::{ANY_PARAMS, HEAD};
use super::{
    Body, Field, MAX_DEPTH, MAX_NAME, MAX_PARAMS, MAX_SCHEMA, Schema, SchemaError, Signature,
};

impl Signature {
    /// The bytes of the signature: types that nothing leads to are left out, types of equal shape are
    /// one, with the name of the one that is met first, and with the defaults of all.
    ///
    /// # Errors
    ///
    /// The signature names a type that it does not have, is nested too deep, has too many parameters or
    /// names that no schema can have, or is too long.
    pub fn to_bytes(&self) -> Result<Vec<u8>, SchemaError> {
        let canon = canon(self)?;
        let shape = shape(self, &canon)?;
        let labels = labels(self, &canon)?;
        let params = match &self.params {
            None => ANY_PARAMS,
            Some(params) if params.len() > MAX_PARAMS => return Err(SchemaError::TooManyParams),
            Some(params) => params.len() as u8,
        };
        let length = HEAD + shape.len() + labels.len();
        if length > MAX_SCHEMA {
            return Err(SchemaError::TooLong);
        }
        let mut bytes = Vec::with_capacity(length);
        bytes.extend((shape.len() as u32).to_le_bytes());
        bytes.extend((labels.len() as u32).to_le_bytes());
        bytes.extend([params, u8::from(self.result.is_some()), 0, 0]);
        bytes.extend(shape);
        bytes.extend(labels);
        Ok(bytes)
    }
}

fn shape(signature: &Signature, canon: &Canon) -> Result<Vec<u8>, SchemaError> {
    let mut writer = Writer::new(Some(&canon.numbers));
    writer.number(canon.types.len() as u64);
    for root in signature.roots() {
        writer.schema(root, 0)?;
    }
    for types in &canon.types {
        writer.body(&signature.types[types[0] as usize].body)?;
    }
    Ok(writer.out)
}

fn labels(signature: &Signature, canon: &Canon) -> Result<Vec<u8>, SchemaError> {
    let mut writer = Writer::new(None);
    for types in &canon.types {
        let types = types.iter().map(|index| &signature.types[*index as usize]);
        let mut defaults = Vec::new();
        for (which, def) in types.enumerate() {
            if which == 0 {
                writer.text(&def.name)?;
                defaults.resize(def.body.fields().count().div_ceil(8), 0);
            }
            for (index, field) in def.body.fields().enumerate() {
                defaults[index / 8] |= u8::from(field.default) << (index % 8);
            }
        }
        writer.out.extend(defaults);
    }
    Ok(writer.out)
}

/// A type's shape without saying which types it names: types with different ones are different.
pub(super) fn outline(body: &Body) -> Result<Vec<u8>, SchemaError> {
    let mut writer = Writer::new(None);
    writer.body(body)?;
    Ok(writer.out)
}

struct Writer<'a> {
    out: Vec<u8>,
    /// The number of each type of the table; without it, types are written without their numbers.
    numbers: Option<&'a [u32]>,
}

impl<'a> Writer<'a> {
    fn new(numbers: Option<&'a [u32]>) -> Writer<'a> {
        Writer {
            out: Vec::new(),
            numbers,
        }
    }

    fn number(&mut self, mut number: u64) {
        while number > 0x7f {
            self.out.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.out.push(number as u8);
    }

    fn text(&mut self, text: &str) -> Result<(), SchemaError> {
        check_name(text)?;
        self.number(text.len() as u64);
        self.out.extend(text.as_bytes());
        Ok(())
    }

    fn schema(&mut self, schema: &Schema, depth: usize) -> Result<(), SchemaError> {
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

    fn body(&mut self, body: &Body) -> Result<(), SchemaError> {
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

/// Refuses names that are too long, or would not stay in the line in which they are shown.
pub(super) fn check_name(name: &str) -> Result<(), SchemaError> {
    match name.len() > MAX_NAME || name.chars().any(char::is_control) {
        true => Err(SchemaError::BadName),
        false => Ok(()),
    }
}
