//! A simple model of the rules of decision 22. A value is the JSON that its type writes; the model converts it
//! according to a schema. It uses none of the readers, writers and Rust types.

use callgate_layout::Code;
use callgate_layout::Code::{TypeMismatch, ValueNull};
use callgate_layout::schema::{Body, Field, Primitive, Schema, Signature, TypeDef, Variant};

/// A JSON value. Numbers are kept as they are written.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Wire {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Wire>),
    Object(Vec<(String, Wire)>),
}

impl Wire {
    pub(super) fn text(&self) -> String {
        let quoted = |text: &String| serde_json::to_string(text).unwrap();
        match self {
            Wire::Null => "null".to_owned(),
            Wire::Bool(value) => value.to_string(),
            Wire::Number(literal) => literal.clone(),
            Wire::Text(text) => quoted(text),
            Wire::List(all) => {
                let all: Vec<String> = all.iter().map(Wire::text).collect();
                format!("[{}]", all.join(","))
            }
            Wire::Object(all) => {
                let member =
                    |(name, value): &(String, Wire)| format!("{}:{}", quoted(name), value.text());
                let all: Vec<String> = all.iter().map(member).collect();
                format!("{{{}}}", all.join(","))
            }
        }
    }

    fn is_null(&self) -> bool {
        *self == Wire::Null
    }
}

pub(super) type Outcome = Result<Wire, Code>;

/// Converts a value to the type `to`. The result is what that type writes.
pub(super) fn convert(value: &Wire, signature: &Signature, to: &Schema) -> Outcome {
    let each = |value: &Wire, to: &Schema| convert(value, signature, to);
    match to {
        Schema::Any => Ok(value.clone()),
        Schema::Option(_) if value.is_null() => Ok(Wire::Null),
        Schema::Option(inner) | Schema::Box(inner) => each(value, inner),
        Schema::Unit => match value {
            Wire::Null => Ok(Wire::Null),
            Wire::List(all) if all.is_empty() => Ok(Wire::Null),
            Wire::Object(all) if all.is_empty() => Ok(Wire::Null),
            _ => Err(TypeMismatch),
        },
        Schema::Named(index) => match &signature.types[*index as usize].body {
            Body::Struct(fields) => of_fields(value, signature, fields),
            Body::Enum(variants) => of_variants(value, signature, variants),
        },
        _ if value.is_null() => Err(ValueNull),
        Schema::Vec(element) => list(value, None, |_, value| each(value, element)),
        Schema::Array { element, length } => {
            let length = Some(*length as usize);
            list(value, length, |_, value| each(value, element))
        }
        Schema::Tuple(elements) => {
            let element = |index: usize, value: &Wire| each(value, &elements[index]);
            list(value, Some(elements.len()), element)
        }
        Schema::Map { key, value: to } => pairs(value, key, |value| each(value, to)),
        Schema::Result { ok, err } => match value {
            Wire::Object(all) => match all.as_slice() {
                [(name, value)] if name == "Ok" => Ok(within("Ok", each(value, ok)?)),
                [(name, value)] if name == "Err" => Ok(within("Err", each(value, err)?)),
                _ => Err(TypeMismatch),
            },
            _ => Err(TypeMismatch),
        },
        _ => scalar(value, to).ok_or(TypeMismatch),
    }
}

fn scalar(value: &Wire, to: &Schema) -> Option<Wire> {
    let is_one = match (value, to) {
        (Wire::Bool(_), Schema::Primitive(Primitive::Bool)) => true,
        (Wire::Text(text), Schema::Primitive(Primitive::Char)) => text.chars().count() == 1,
        (Wire::Text(_), Schema::String) => true,
        (_, Schema::Primitive(number)) => return super::numbers::convert(value, *number),
        _ => false,
    };
    is_one.then(|| value.clone())
}

fn pairs(value: &Wire, key: &Schema, each: impl Fn(&Wire) -> Outcome) -> Outcome {
    let Wire::Object(all) = value else {
        return Err(TypeMismatch);
    };
    let pair = |(name, value): &(String, Wire)| {
        let name = super::numbers::key(name, key).ok_or(TypeMismatch)?;
        Ok((name, each(value)?))
    };
    let all = all.iter().map(pair);
    all.collect::<Result<_, Code>>().map(Wire::Object)
}

fn within(name: &str, value: Wire) -> Wire {
    Wire::Object(vec![(name.to_owned(), value)])
}

fn list(value: &Wire, length: Option<usize>, each: impl Fn(usize, &Wire) -> Outcome) -> Outcome {
    match value {
        Wire::List(all) if length.is_none_or(|length| length == all.len()) => {
            let all = all
                .iter()
                .enumerate()
                .map(|(index, value)| each(index, value));
            all.collect::<Result<_, Code>>().map(Wire::List)
        }
        // A wrong element is reported before a wrong length.
        Wire::List(all) => {
            let count = length.unwrap_or(0).min(all.len());
            let mut first = all[..count].iter().enumerate();
            first.try_for_each(|(index, value)| each(index, value).map(drop))?;
            Err(TypeMismatch)
        }
        _ => Err(TypeMismatch),
    }
}

/// Whether the fields are those of a tuple struct or a tuple variant.
pub(super) fn is_tuple(fields: &[Field]) -> bool {
    fields.first().is_some_and(|field| field.name == "0")
}

fn of_fields(value: &Wire, signature: &Signature, fields: &[Field]) -> Outcome {
    match fields {
        [only] if only.name == "0" => return convert(value, signature, &only.schema),
        [] => return nothing(value),
        _ if value.is_null() => return Err(ValueNull),
        _ => {}
    }
    if is_tuple(fields) {
        return list(value, Some(fields.len()), |index, value| {
            convert(value, signature, &fields[index].schema)
        });
    }
    let Wire::Object(all) = value else {
        return Err(TypeMismatch);
    };
    let mut found: Vec<Option<Wire>> = vec![None; fields.len()];
    for (name, value) in all {
        if let Some(at) = fields.iter().position(|field| field.name == *name) {
            found[at] = Some(convert(value, signature, &fields[at].schema)?);
        }
    }
    let named = fields.iter().zip(found).map(|(field, found)| {
        let value = match (found, &field.schema) {
            (Some(value), _) => value,
            (None, schema) if field.default => default(signature, schema),
            (None, Schema::Option(_)) => Wire::Null,
            (None, _) => return Err(TypeMismatch),
        };
        Ok((field.name.clone(), value))
    });
    named.collect::<Result<_, Code>>().map(Wire::Object)
}

/// A struct without fields can be read from null, from an empty list and from every object.
fn nothing(value: &Wire) -> Outcome {
    match value {
        Wire::Null | Wire::Object(_) => Ok(Wire::Null),
        Wire::List(all) if all.is_empty() => Ok(Wire::Null),
        _ => Err(TypeMismatch),
    }
}

fn of_variants(value: &Wire, signature: &Signature, variants: &[Variant]) -> Outcome {
    let (name, content) = match value {
        Wire::Null => return Err(ValueNull),
        Wire::Text(name) => (name, None),
        Wire::Object(all) => match all.as_slice() {
            [(name, content)] => (name, Some(content)),
            _ => return Err(TypeMismatch),
        },
        _ => return Err(TypeMismatch),
    };
    let variant = variants.iter().find(|variant| variant.name == *name);
    let variant = variant.ok_or(TypeMismatch)?;
    let content = match content {
        Some(content) => of_fields(content, signature, &variant.fields)?,
        None => of_name_alone(signature, &variant.fields)?,
    };
    Ok(match variant.fields.is_empty() {
        true => Wire::Text(name.clone()),
        false => within(name, content),
    })
}

/// A variant's name alone stands for a variant with nothing in it: one without members, with one unnamed field that
/// is null, or with one unnamed field that has no members.
fn of_name_alone(signature: &Signature, fields: &[Field]) -> Outcome {
    let empty = Wire::Object(Vec::new());
    let is_newtype = fields.len() == 1 && is_tuple(fields);
    match of_fields(&Wire::Null, signature, fields) {
        Err(ValueNull) if is_newtype => of_fields(&empty, signature, fields).map_err(|_| ValueNull),
        outcome if is_newtype => outcome,
        _ => of_fields(&empty, signature, fields),
    }
}

/// The value of a field that is missing and has a default.
pub(super) fn default(signature: &Signature, schema: &Schema) -> Wire {
    let fields = |fields: &[Field]| match fields {
        [only] if only.name == "0" => default(signature, &only.schema),
        [] => Wire::Null,
        _ if is_tuple(fields) => Wire::List(
            fields
                .iter()
                .map(|field| default(signature, &field.schema))
                .collect(),
        ),
        _ => {
            let named = fields
                .iter()
                .map(|field| (field.name.clone(), default(signature, &field.schema)));
            Wire::Object(named.collect())
        }
    };
    match schema {
        Schema::Any | Schema::Unit | Schema::Option(_) | Schema::Opaque(_) => Wire::Null,
        Schema::Primitive(Primitive::Bool) => Wire::Bool(false),
        Schema::Primitive(Primitive::Char) => Wire::Text("\0".to_owned()),
        Schema::Primitive(Primitive::F32 | Primitive::F64) => Wire::Number("0.0".to_owned()),
        Schema::Primitive(_) => Wire::Number("0".to_owned()),
        Schema::String => Wire::Text(String::new()),
        Schema::Box(inner) => default(signature, inner),
        Schema::Vec(_) => Wire::List(Vec::new()),
        Schema::Map { .. } => Wire::Object(Vec::new()),
        Schema::Array { element, length } => {
            Wire::List(vec![default(signature, element); *length as usize])
        }
        Schema::Tuple(all) => Wire::List(all.iter().map(|one| default(signature, one)).collect()),
        Schema::Result { ok, .. } => within("Ok", default(signature, ok)),
        Schema::Named(index) => match &signature.types[*index as usize] {
            TypeDef {
                body: Body::Struct(all),
                ..
            } => fields(all),
            TypeDef {
                body: Body::Enum(_),
                ..
            } => Wire::Null,
        },
    }
}
