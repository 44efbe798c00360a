//! Reads signatures from bytes that are not trusted.

use super::head::Parts;
use super::write::check_name;
use super::{
    Body, Field, MAX_DEPTH, MAX_NAME, MAX_PARAMS, Primitive, Schema, SchemaError, Signature,
    TypeDef, Variant,
};

/// The fewest bytes that the body of a type, a field or a variant takes.
const LEAST: usize = 2;

impl Signature {
    /// Reads a signature, in time and memory linear in the number of bytes.
    ///
    /// # Errors
    ///
    /// The bytes are no signature.
    pub fn from_bytes(bytes: &[u8]) -> Result<Signature, SchemaError> {
        let parts = Parts::of(bytes)?;
        let mut shape = Reader::new(parts.shape);
        shape.types = shape.count(LEAST)? as u32;
        let params = match parts.params {
            None => None,
            Some(count) if usize::from(count) > MAX_PARAMS => {
                return Err(SchemaError::TooManyParams);
            }
            Some(count) => Some(shape.schemas(usize::from(count), 0)?),
        };
        let result = parts.has_result.then(|| shape.schema(0)).transpose()?;
        let mut labels = Reader::new(parts.labels);
        let mut types = Vec::with_capacity(shape.types as usize);
        for _ in 0..shape.types {
            let mut body = shape.body()?;
            let name = labels.text()?;
            labels.defaults(&mut body)?;
            types.push(TypeDef { name, body });
        }
        shape.end()?;
        labels.end()?;
        Ok(Signature {
            params,
            result,
            types,
        })
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    /// How many types there are.
    types: u32,
}

impl<'a> Reader<'a> {
    fn new(rest: &'a [u8]) -> Reader<'a> {
        Reader { rest, types: 0 }
    }

    fn end(&self) -> Result<(), SchemaError> {
        match self.rest.is_empty() {
            true => Ok(()),
            false => Err(SchemaError::TooManyBytes),
        }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], SchemaError> {
        let (bytes, rest) = self
            .rest
            .split_at_checked(count)
            .ok_or(SchemaError::CutShort)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, SchemaError> {
        Ok(self.bytes(1)?[0])
    }

    fn number(&mut self) -> Result<u64, SchemaError> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            number |= bits << shift;
            let is_cut = number >> shift != bits;
            let is_last = byte & 0x80 == 0;
            if is_cut || (is_last && bits == 0 && shift > 0) {
                return Err(SchemaError::BadNumber);
            }
            if is_last {
                return Ok(number);
            }
        }
        Err(SchemaError::BadNumber)
    }

    /// Reads the length of a list, each of whose elements takes at least `least` bytes. Refuses a length that the
    /// remaining bytes cannot hold.
    fn count(&mut self, least: usize) -> Result<usize, SchemaError> {
        let count = usize::try_from(self.number()?).map_err(|_| SchemaError::CutShort)?;
        match count > self.rest.len() / least {
            true => Err(SchemaError::CutShort),
            false => Ok(count),
        }
    }

    fn text(&mut self) -> Result<String, SchemaError> {
        let length = self.count(1)?;
        if length > MAX_NAME {
            return Err(SchemaError::BadName);
        }
        let text = str::from_utf8(self.bytes(length)?).map_err(|_| SchemaError::BadName)?;
        check_name(text)?;
        Ok(text.to_owned())
    }

    fn schemas(&mut self, count: usize, depth: usize) -> Result<Vec<Schema>, SchemaError> {
        (0..count).map(|_| self.schema(depth)).collect()
    }

    fn boxed(&mut self, depth: usize) -> Result<Box<Schema>, SchemaError> {
        self.schema(depth).map(Box::new)
    }

    fn schema(&mut self, depth: usize) -> Result<Schema, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        let inner = depth + 1;
        Ok(match self.byte()? {
            1 => Schema::Primitive(self.primitive()?),
            2 => Schema::Unit,
            3 => Schema::String,
            4 => Schema::Option(self.boxed(inner)?),
            5 => Schema::Result {
                ok: self.boxed(inner)?,
                err: self.boxed(inner)?,
            },
            6 => Schema::Box(self.boxed(inner)?),
            7 => Schema::Vec(self.boxed(inner)?),
            8 => Schema::Array {
                element: self.boxed(inner)?,
                length: self.number()?,
            },
            9 => {
                let count = self.count(1)?;
                Schema::Tuple(self.schemas(count, inner)?)
            }
            10 => Schema::Map {
                key: self.boxed(inner)?,
                value: self.boxed(inner)?,
            },
            11 => Schema::Named(self.index()?),
            12 => Schema::Opaque(self.text()?),
            13 => Schema::Any,
            other => return Err(SchemaError::BadByte(other)),
        })
    }

    fn primitive(&mut self) -> Result<Primitive, SchemaError> {
        let byte = self.byte()?;
        let primitive = Primitive::ALL.get(usize::from(byte)).copied();
        primitive.ok_or(SchemaError::BadByte(byte))
    }

    fn index(&mut self) -> Result<u32, SchemaError> {
        let index = u32::try_from(self.number()?).map_err(|_| SchemaError::BadNumber)?;
        match index < self.types {
            true => Ok(index),
            false => Err(SchemaError::BadIndex(index)),
        }
    }

    fn body(&mut self) -> Result<Body, SchemaError> {
        match self.byte()? {
            1 => Ok(Body::Struct(self.fields()?)),
            2 => {
                let variants = (0..self.count(LEAST)?).map(|_| {
                    let name = self.text()?;
                    let fields = self.fields()?;
                    Ok(Variant { name, fields })
                });
                Ok(Body::Enum(variants.collect::<Result<_, _>>()?))
            }
            other => Err(SchemaError::BadByte(other)),
        }
    }

    fn fields(&mut self) -> Result<Vec<Field>, SchemaError> {
        let fields = (0..self.count(LEAST)?).map(|_| {
            Ok(Field {
                name: self.text()?,
                schema: self.schema(0)?,
                default: false,
            })
        });
        fields.collect()
    }

    /// Reads which fields have a default.
    fn defaults(&mut self, body: &mut Body) -> Result<(), SchemaError> {
        let count = body.fields().count();
        let bits = self.bytes(count.div_ceil(8))?;
        if let Some(last) = bits.last()
            && !count.is_multiple_of(8)
            && last >> (count % 8) != 0
        {
            return Err(SchemaError::BadByte(*last));
        }
        let mut set = (0..count).map(|index| bits[index / 8] >> (index % 8) & 1 == 1);
        let fields: &mut dyn Iterator<Item = &mut Field> = match body {
            Body::Struct(fields) => &mut fields.iter_mut(),
            Body::Enum(variants) => &mut variants.iter_mut().flat_map(|v| &mut v.fields),
        };
        for field in fields {
            field.default = set.next().unwrap_or(false);
        }
        Ok(())
    }
}
