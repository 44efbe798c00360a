//! A simple model of the comparison. It assumes that all pairs of types of two tables can be converted, and strikes
//! out the pairs that a rule forbids, until no more are struck out.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::{Body, Field, Primitive, Schema, Signature, Variant};

/// Pairs of types by their indexes.
type Pairs = BTreeSet<(u32, u32)>;

/// How many wrappers a type may have around it. Types that consist of wrappers without end are not compared.
const FUEL: usize = 100;

#[derive(Clone, Copy)]
enum Bare<'a> {
    Schema(&'a Schema),
    Struct(u32, &'a [Field]),
    Enum(u32, &'a [Variant]),
    Variant(&'a [Field]),
}

/// Takes off `Option`, `Box` and structs with the one field `0`; `None` if the wrappers do not end.
fn bare<'a>(signature: &'a Signature, mut schema: &'a Schema) -> Option<Bare<'a>> {
    for _ in 0..FUEL {
        schema = match schema {
            Schema::Option(inner) | Schema::Box(inner) => inner,
            Schema::Named(index) => match &signature.types[*index as usize].body {
                Body::Struct(fields) => match fields.as_slice() {
                    [only] if only.name == "0" => &only.schema,
                    _ => return Some(Bare::Struct(*index, fields)),
                },
                Body::Enum(variants) => return Some(Bare::Enum(*index, variants)),
            },
            other => return Some(Bare::Schema(other)),
        };
    }
    None
}

/// Whether all types are found after finitely many wrappers.
pub(super) fn ends(signature: &Signature) -> bool {
    let mut types = 0..signature.types.len() as u32;
    types.all(|index| bare(signature, &Schema::Named(index)).is_some())
}

struct Model<'a> {
    from: &'a Signature,
    to: &'a Signature,
    /// The pairs that are not struck out.
    pairs: Pairs,
    /// The pairs that are being looked at, by address. Within themselves they are assumed to be convertible.
    within: RefCell<Vec<(usize, usize)>>,
}

/// Whether values of the one type can become values of the other.
pub(super) fn converts(from: (&Signature, &Schema), to: (&Signature, &Schema)) -> bool {
    let count = |signature: &Signature| signature.types.len() as u32;
    let all = (0..count(from.0)).flat_map(|a| (0..count(to.0)).map(move |b| (a, b)));
    let mut model = Model {
        from: from.0,
        to: to.0,
        pairs: all.collect(),
        within: RefCell::new(Vec::new()),
    };
    loop {
        let kept = model.pairs.iter().filter(|(a, b)| {
            let (a, b) = (Schema::Named(*a), Schema::Named(*b));
            let bares = (bare(model.from, &a), bare(model.to, &b));
            matches!(bares, (Some(a), Some(b)) if model.rules(a, b))
        });
        let kept: Pairs = kept.copied().collect();
        if kept == model.pairs {
            return model.schemas(from.1, to.1);
        }
        model.pairs = kept;
    }
}

impl Model<'_> {
    fn schemas(&self, from: &Schema, to: &Schema) -> bool {
        match (bare(self.from, from), bare(self.to, to)) {
            (Some(from), Some(to)) => self.bares(from, to),
            _ => false,
        }
    }

    fn bares(&self, from: Bare<'_>, to: Bare<'_>) -> bool {
        use Bare::{Enum, Struct};
        match (from, to) {
            (Struct(a, _) | Enum(a, _), Struct(b, _) | Enum(b, _)) => self.pairs.contains(&(a, b)),
            (from, to) => {
                let addresses = (address(from), address(to));
                if self.within.borrow().contains(&addresses) {
                    return true;
                }
                self.within.borrow_mut().push(addresses);
                let said = self.rules(from, to);
                self.within.borrow_mut().pop();
                said
            }
        }
    }

    fn rules(&self, from: Bare<'_>, to: Bare<'_>) -> bool {
        if let (Bare::Schema(Schema::Any), _) | (_, Bare::Schema(Schema::Any)) = (from, to) {
            return true;
        }
        if let (Some((a, a_is_fixed)), Some((b, b_is_fixed))) = (elements(from), elements(to)) {
            let length = if a_is_fixed { a.len() } else { b.len() };
            let is_one_length = !(a_is_fixed && b_is_fixed) || a.len() == b.len();
            let at = |n: usize| (a[n.min(a.len() - 1)], b[n.min(b.len() - 1)]);
            let mut elements = (0..length).map(at);
            return is_one_length && elements.all(|(a, b)| self.schemas(a, b));
        }
        match (from, to) {
            (Bare::Enum(_, from), Bare::Enum(_, to)) => {
                let both = from.iter().flat_map(|a| to.iter().map(move |b| (a, b)));
                let mut both = both.filter(|(a, b)| a.name == b.name);
                (from.is_empty() && to.is_empty()) || both.any(|(a, b)| self.variants(a, b))
            }
            (
                Bare::Struct(_, from) | Bare::Variant(from),
                Bare::Struct(_, to) | Bare::Variant(to),
            ) => self.fields(from, to),
            (Bare::Schema(from), Bare::Schema(to)) => self.plain(from, to),
            (Bare::Schema(Schema::Unit), Bare::Struct(_, fields) | Bare::Variant(fields))
            | (Bare::Struct(_, fields) | Bare::Variant(fields), Bare::Schema(Schema::Unit)) => {
                fields.is_empty()
            }
            _ => false,
        }
    }

    fn variants(&self, from: &Variant, to: &Variant) -> bool {
        match (content(self.from, from), content(self.to, to)) {
            (Some(from), Some(to)) => self.bares(from, to),
            _ => false,
        }
    }

    fn fields(&self, from: &[Field], to: &[Field]) -> bool {
        let is_numbered = |fields: &[Field]| fields.iter().any(|field| field.name == "0");
        is_numbered(from) == is_numbered(to)
            && to.iter().all(|field| {
                let found = from.iter().find(|other| other.name == field.name);
                let is_optional = field.default || matches!(field.schema, Schema::Option(_));
                found.map_or(is_optional, |found| {
                    self.schemas(&found.schema, &field.schema)
                })
            })
    }

    fn plain(&self, from: &Schema, to: &Schema) -> bool {
        let is_number = |schema: &Schema| {
            let not = [Primitive::Bool, Primitive::Char].map(Schema::Primitive);
            matches!(schema, Schema::Primitive(_)) && !not.contains(schema)
        };
        let is_text =
            |schema: &Schema| [Schema::String, Schema::Primitive(Primitive::Char)].contains(schema);
        match (from, to) {
            (Schema::Map { key, value }, Schema::Map { key: k, value: v }) => {
                self.schemas(key, k) && self.schemas(value, v)
            }
            (Schema::Result { ok, err }, Schema::Result { ok: o, err: e }) => {
                self.schemas(ok, o) || self.schemas(err, e)
            }
            _ => from == to || (is_number(from) && is_number(to)) || (is_text(from) && is_text(to)),
        }
    }
}

fn address(of: Bare<'_>) -> usize {
    match of {
        Bare::Schema(schema) => std::ptr::from_ref(schema).addr(),
        Bare::Struct(_, fields) | Bare::Variant(fields) => fields.as_ptr().addr(),
        Bare::Enum(_, variants) => variants.as_ptr().addr(),
    }
}

fn content<'a>(signature: &'a Signature, variant: &'a Variant) -> Option<Bare<'a>> {
    match variant.fields.as_slice() {
        [only] if only.name == "0" => bare(signature, &only.schema),
        fields => Some(Bare::Variant(fields)),
    }
}

/// The elements of a type that is written as a list, and whether their number is fixed.
fn elements(of: Bare<'_>) -> Option<(Vec<&Schema>, bool)> {
    match of {
        Bare::Schema(Schema::Vec(element)) => Some((vec![element], false)),
        Bare::Schema(Schema::Array { element, length }) => {
            Some((vec![&**element; *length as usize], true))
        }
        Bare::Schema(Schema::Tuple(elements)) => Some((elements.iter().collect(), true)),
        Bare::Struct(_, fields) | Bare::Variant(fields) => {
            let is_tuple = fields.first().is_some_and(|field| field.name == "0");
            is_tuple.then(|| (fields.iter().map(|field| &field.schema).collect(), true))
        }
        _ => None,
    }
}
