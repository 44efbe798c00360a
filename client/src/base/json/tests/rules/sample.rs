//! Random values of a schema, as the type itself writes them.

use callgate_layout::schema::{Body, Field, Primitive, Schema, Signature};

use super::model::{Wire, is_tuple};

/// Random numbers from a seed (xorshift).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(super) fn below(&mut self, count: usize) -> usize {
        (self.next() >> 20) as usize % count
    }

    pub(super) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// How deep structs and enums are nested in a value at most. At that depth everything that can be empty is empty.
const DEEPEST: usize = 5;

/// Makes values.
pub(super) struct Sampler<'a> {
    pub(super) random: &'a mut Random,
    pub(super) signature: &'a Signature,
    /// Whether options and lists have contents wherever they can.
    pub(super) is_full: bool,
    /// Whether anything had to be left empty.
    pub(super) is_cut: bool,
}

impl Sampler<'_> {
    /// Makes a value of a schema. `None` if the type has no value of a depth up to [`DEEPEST`].
    pub(super) fn value(&mut self, schema: &Schema, depth: usize) -> Option<Wire> {
        let signature = self.signature;
        Some(match schema {
            Schema::Unit => Wire::Null,
            Schema::Any => self.any(),
            Schema::Opaque(_) => return None,
            Schema::String => {
                Wire::Text(self.random.pick(&["", "a", "é", "ab\n\"", "7"]).to_string())
            }
            Schema::Primitive(Primitive::Bool) => Wire::Bool(self.random.one_in(2)),
            Schema::Primitive(Primitive::Char) => {
                Wire::Text(self.random.pick(&["a", "é", "\"", "7"]).to_string())
            }
            Schema::Primitive(number) => self.number(*number),
            Schema::Box(inner) => self.value(inner, depth)?,
            Schema::Option(inner) => match self.is_empty(depth) {
                true => Wire::Null,
                // `Some` of null cannot be written, so the sample is `None`.
                false => match self.value(inner, depth) {
                    Some(Wire::Null) | None => self.cut(Wire::Null),
                    Some(value) => value,
                },
            },
            Schema::Vec(element) => self.list(element, depth),
            Schema::Array { element, length } => {
                let all = (0..*length).map(|_| self.value(element, depth));
                Wire::List(all.collect::<Option<_>>()?)
            }
            Schema::Tuple(elements) => {
                let all = elements.iter().map(|element| self.value(element, depth));
                Wire::List(all.collect::<Option<_>>()?)
            }
            Schema::Map { key, value } => self.map(key, value, depth),
            Schema::Result { ok, err } => match self.random.one_in(2) {
                true => Wire::Object(vec![("Ok".to_owned(), self.value(ok, depth)?)]),
                false => Wire::Object(vec![("Err".to_owned(), self.value(err, depth)?)]),
            },
            Schema::Named(_) if depth > DEEPEST + 1 => return None,
            Schema::Named(index) => match &signature.types[*index as usize].body {
                Body::Struct(fields) => self.fields(fields, depth + 1)?,
                Body::Enum(variants) if variants.is_empty() => return None,
                Body::Enum(variants) => {
                    let variant = self.random.pick(variants);
                    match variant.fields.as_slice() {
                        [] => Wire::Text(variant.name.clone()),
                        fields => {
                            let content = self.fields(fields, depth + 1)?;
                            Wire::Object(vec![(variant.name.clone(), content)])
                        }
                    }
                }
            },
        })
    }

    fn is_empty(&mut self, depth: usize) -> bool {
        self.is_cut |= depth > DEEPEST;
        depth > DEEPEST || (!self.is_full && self.random.one_in(3))
    }

    fn cut(&mut self, empty: Wire) -> Wire {
        self.is_cut = true;
        empty
    }

    fn list(&mut self, element: &Schema, depth: usize) -> Wire {
        if self.is_empty(depth) {
            return Wire::List(Vec::new());
        }
        let count = 1 + self.random.below(2);
        let all = (0..count).map(|_| self.value(element, depth));
        let all = all.collect::<Option<_>>().map(Wire::List);
        all.unwrap_or_else(|| self.cut(Wire::List(Vec::new())))
    }

    fn map(&mut self, key: &Schema, value: &Schema, depth: usize) -> Wire {
        if self.is_empty(depth) {
            return Wire::Object(Vec::new());
        }
        let name = match key {
            Schema::String => "k".to_owned(),
            Schema::Primitive(Primitive::Char) => "7".to_owned(),
            Schema::Primitive(Primitive::Bool) => "true".to_owned(),
            Schema::Primitive(number) => match self.number(*number) {
                Wire::Number(digits) => digits,
                _ => "1".to_owned(),
            },
            _ => return Wire::Object(Vec::new()),
        };
        match self.value(value, depth) {
            Some(value) => Wire::Object(vec![(name, value)]),
            None => self.cut(Wire::Object(Vec::new())),
        }
    }

    fn fields(&mut self, fields: &[Field], depth: usize) -> Option<Wire> {
        Some(match fields {
            [] => Wire::Null,
            [only] if only.name == "0" => self.value(&only.schema, depth)?,
            _ if is_tuple(fields) => {
                let all = fields.iter().map(|field| self.value(&field.schema, depth));
                Wire::List(all.collect::<Option<_>>()?)
            }
            _ => {
                let named = fields
                    .iter()
                    .map(|field| Some((field.name.clone(), self.value(&field.schema, depth)?)));
                Wire::Object(named.collect::<Option<_>>()?)
            }
        })
    }

    /// Makes a value for `Schema::Any`.
    fn any(&mut self) -> Wire {
        let number = |literal: &str| Wire::Number(literal.to_owned());
        match self.random.below(8) {
            0 => Wire::Null,
            1 => Wire::Bool(true),
            2 => number("7"),
            3 => number("-300"),
            4 => number("0.5"),
            5 => Wire::Text("a".to_owned()),
            6 => Wire::List(vec![number("1"), number("2")]),
            _ => Wire::Object(vec![("a".to_owned(), number("1"))]),
        }
    }

    /// Makes a number of a type, often close to the limits of number types.
    fn number(&mut self, of: Primitive) -> Wire {
        if let Primitive::F32 | Primitive::F64 = of {
            return self.float(of == Primitive::F32);
        }
        let edges = [7, 8, 15, 16, 24, 31, 32, 53, 63, 64, 100, 126];
        let number: i128 = match self.random.below(4) {
            0 => 1,
            1 => self.random.below(300) as i128 - 20,
            _ => (1 << *self.random.pick(&edges)) + self.random.below(3) as i128 - 1,
        };
        let number = if self.random.one_in(5) {
            -number
        } else {
            number
        };
        let written = super::numbers::convert(&Wire::Number(number.to_string()), of);
        written.unwrap_or_else(|| Wire::Number("1".to_owned()))
    }

    fn float(&mut self, is_short: bool) -> Wire {
        let number = match self.random.below(6) {
            0 => 1.0,
            1 => self.random.below(1000) as f64 - 500.0,
            2 => self.random.below(1000) as f64 / 7.0,
            3 => 1e300,
            4 => -0.0,
            _ => f64::from_bits(self.random.next()),
        };
        let written = match is_short {
            true => serde_json::to_string(&(number as f32)),
            false => serde_json::to_string(&number),
        };
        let written = written.unwrap();
        // JSON has no number for this value; serde_json writes null.
        Wire::Number(if written == "null" {
            "1.0".to_owned()
        } else {
            written
        })
    }
}
