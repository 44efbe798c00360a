//! Signatures as bytes.

use super::canon::{Canon, canon};
use super::head::{ANY_PARAMS, HEAD};
use super::write::Writer;
use super::{MAX_PARAMS, MAX_SCHEMA, SchemaError, Signature};

impl Signature {
    /// The bytes of the signature. Types that no parameter or result leads to are left out. Types of equal shape are
    /// written once, with the name of the first one that the walk meets and with the defaults of all of them.
    ///
    /// # Errors
    ///
    /// The signature names a type that it does not have, is nested too deep, has too many parameters, has names that
    /// no schema may have, or is too long.
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
    Ok(writer.finish())
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
        writer.bytes(&defaults);
    }
    Ok(writer.finish())
}
