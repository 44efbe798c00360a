//! Random signatures, each with a variation of it.

use callgate_layout::schema::{Body, Field, Primitive, Schema, Signature, TypeDef, Variant};

use super::sample::Random;

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const KEYS: [Schema; 4] = [
    Schema::String,
    Schema::Primitive(Primitive::Char),
    Schema::Primitive(Primitive::U8),
    Schema::Primitive(Primitive::I64),
];

/// Makes types.
pub(super) struct Maker<'a> {
    random: &'a mut Random,
    /// How many structs and enums a signature has.
    count: usize,
}

impl Maker<'_> {
    /// Makes two signatures with one parameter each. The second one differs from the first in some places.
    pub(super) fn pair(random: &mut Random) -> (Signature, Signature) {
        let count = random.below(3) + 1;
        let mut maker = Maker { random, count };
        let of = |param: Schema, types: Vec<Body>| {
            let name = |body| TypeDef {
                name: "T".to_owned(),
                body,
            };
            Signature {
                params: Some(vec![param]),
                result: None,
                types: types.into_iter().map(name).collect(),
            }
        };
        let types: Vec<Body> = (0..count).map(|_| maker.body()).collect();
        let others: Vec<Body> = types.iter().map(|body| maker.other_body(body)).collect();
        let param = maker.schema(3);
        let other = maker.other(&param);
        (of(param, types), of(other, others))
    }

    fn number(&mut self) -> Schema {
        // Without the first, `bool`, and the last, `char`, which are no numbers.
        let all = &Primitive::ALL[1..Primitive::ALL.len() - 1];
        Schema::Primitive(*self.random.pick(all))
    }

    fn schema(&mut self, depth: usize) -> Schema {
        let kinds = if depth == 0 { 7 } else { 17 };
        let kind = self.random.below(kinds);
        let mut inner = || Box::new(self.schema(depth - 1));
        match kind {
            0 => Schema::Primitive(Primitive::Bool),
            1 => Schema::Primitive(Primitive::Char),
            2 => Schema::String,
            3 => Schema::Unit,
            9 => Schema::Option(inner()),
            10 => Schema::Box(inner()),
            11 => Schema::Vec(inner()),
            12 => Schema::Tuple(vec![*inner(), *inner()]),
            13 => Schema::Any,
            14 => Schema::Result {
                ok: inner(),
                err: inner(),
            },
            15 => Schema::Array {
                element: inner(),
                length: 1 + self.random.below(2) as u64,
            },
            16 => Schema::Map {
                value: inner(),
                key: Box::new(self.random.pick(&KEYS).clone()),
            },
            4 | 5 => self.number(),
            _ => Schema::Named(self.random.below(self.count) as u32),
        }
    }

    fn field(&mut self, name: &str) -> Field {
        let schema = self.schema(2);
        Field {
            name: name.to_owned(),
            default: has_default(&schema) && self.random.one_in(3),
            schema,
        }
    }

    fn fields(&mut self) -> Vec<Field> {
        match self.random.below(4) {
            0 => (0..1 + self.random.below(2))
                .map(|index| Field {
                    default: false,
                    ..self.field(&index.to_string())
                })
                .collect(),
            1 => Vec::new(),
            _ => {
                let names = &NAMES[..1 + self.random.below(2)];
                names.iter().map(|name| self.field(name)).collect()
            }
        }
    }

    fn variant(&mut self, name: &str) -> Variant {
        Variant {
            name: name.to_owned(),
            fields: self.fields(),
        }
    }

    fn body(&mut self) -> Body {
        match self.random.one_in(3) {
            true => {
                let names = &NAMES[..1 + self.random.below(3)];
                Body::Enum(names.iter().map(|name| self.variant(name)).collect())
            }
            false => Body::Struct(self.fields()),
        }
    }

    fn other(&mut self, schema: &Schema) -> Schema {
        let other = |maker: &mut Self, schema: &Schema| Box::new(maker.other(schema));
        if self.random.one_in(8) {
            return self.varied(schema);
        }
        match schema {
            Schema::Option(inner) => Schema::Option(other(self, inner)),
            Schema::Box(inner) => Schema::Box(other(self, inner)),
            Schema::Vec(inner) => Schema::Vec(other(self, inner)),
            Schema::Array { element, length } => Schema::Array {
                element: other(self, element),
                length: *length,
            },
            Schema::Tuple(all) => Schema::Tuple(all.iter().map(|one| self.other(one)).collect()),
            Schema::Map { key, value } => Schema::Map {
                key: key.clone(),
                value: other(self, value),
            },
            Schema::Result { ok, err } => Schema::Result {
                ok: other(self, ok),
                err: other(self, err),
            },
            other => other.clone(),
        }
    }

    fn varied(&mut self, schema: &Schema) -> Schema {
        let boxed = || Box::new(schema.clone());
        match (schema, self.random.below(6)) {
            (_, 0) => self.schema(1),
            (Schema::Option(inner) | Schema::Box(inner), 1) => (**inner).clone(),
            (_, 1) => Schema::Option(boxed()),
            (_, 2) => Schema::Box(boxed()),
            (_, 3) => Schema::Any,
            (Schema::Vec(element), _) => Schema::Array {
                element: element.clone(),
                length: 1,
            },
            (Schema::Array { element, .. }, _) => Schema::Vec(element.clone()),
            (Schema::Tuple(all), _) => Schema::Vec(Box::new(all[0].clone())),
            (Schema::Primitive(Primitive::Char), _) => Schema::String,
            (Schema::String, _) => Schema::Primitive(Primitive::Char),
            (Schema::Primitive(_), _) => self.number(),
            (Schema::Map { value, .. }, _) => Schema::Map {
                key: Box::new(self.random.pick(&KEYS).clone()),
                value: value.clone(),
            },
            _ => Schema::Option(boxed()),
        }
    }

    fn other_fields(&mut self, fields: &[Field]) -> Vec<Field> {
        let vary = |maker: &mut Self, field: &Field| {
            let schema = maker.other(&field.schema);
            Field {
                name: field.name.clone(),
                default: field.default && has_default(&schema),
                schema,
            }
        };
        let mut all: Vec<Field> = fields.iter().map(|field| vary(self, field)).collect();
        let is_named = fields.first().is_some_and(|field| field.name != "0");
        match self.random.below(8) {
            0 if is_named => all.reverse(),
            1 if is_named => drop(all.pop()),
            2 if is_named || all.is_empty() => all.push(self.field("d")),
            3 => return self.fields(),
            _ => {}
        }
        all
    }

    fn other_body(&mut self, body: &Body) -> Body {
        match body {
            Body::Struct(fields) => Body::Struct(self.other_fields(fields)),
            Body::Enum(variants) => {
                let vary = |maker: &mut Self, variant: &Variant| Variant {
                    name: variant.name.clone(),
                    fields: maker.other_fields(&variant.fields),
                };
                let mut all: Vec<Variant> = variants.iter().map(|one| vary(self, one)).collect();
                match self.random.below(4) {
                    0 => all.reverse(),
                    1 => all.push(self.variant("d")),
                    2 if all.len() > 1 => drop(all.pop()),
                    _ => {}
                }
                Body::Enum(all)
            }
        }
    }
}

/// Whether the model knows the default of a schema. It does not know those of structs and enums.
fn has_default(schema: &Schema) -> bool {
    matches!(
        schema,
        Schema::Primitive(_)
            | Schema::String
            | Schema::Vec(_)
            | Schema::Map { .. }
            | Schema::Option(_)
            | Schema::Any
    )
}
