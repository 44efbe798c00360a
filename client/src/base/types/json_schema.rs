//! Signatures as JSON Schema, which describes the JSON that a gate takes and returns.

mod names;

use callgate_layout::Signature;
use callgate_layout::schema::{Body, Field, Primitive, Schema, Variant};
use serde_json::{Map, Value, json};

use names::Names;

/// The JSON Schema (draft 2020-12) of a signature.
///
/// It describes an object with the call's `arguments`, an array with an element for each parameter, and its
/// `result`, if the signature has one. Structs and enums are in `$defs`. Members that a struct does not have are
/// allowed, because a receiver ignores them.
///
/// ```
/// use callgate_client::{json_schema, signature_of};
/// let schema = json_schema(&signature_of::<(Vec<u8>, Option<String>), bool>());
/// let arguments = &schema["properties"]["arguments"];
/// assert_eq!(arguments["prefixItems"][0]["items"]["maximum"], 255);
/// assert_eq!(schema["properties"]["result"]["type"], "boolean");
/// ```
pub fn json_schema(signature: &Signature) -> Value {
    let names = Names::new(&signature.types);
    let mut properties = Map::new();
    let arguments = match &signature.params {
        None => json!({ "type": "array" }),
        Some(params) => names.tuple(params.iter()),
    };
    properties.insert("arguments".to_owned(), arguments);
    if let Some(result) = &signature.result {
        properties.insert("result".to_owned(), names.schema(result));
    }
    let required: Vec<&String> = properties.keys().collect();
    let required = json!(required);
    let defs = signature.types.iter().enumerate().map(|(index, def)| {
        let mut schema = names.body(&def.body);
        if let Value::Object(members) = &mut schema {
            members.insert("title".to_owned(), json!(def.name));
        }
        (names.of(index as u32).to_owned(), schema)
    });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": signature.text(),
        "type": "object",
        "properties": properties,
        "required": required,
        "$defs": defs.collect::<Map<String, Value>>(),
    })
}

impl Names {
    fn schema(&self, schema: &Schema) -> Value {
        match schema {
            Schema::Primitive(primitive) => of_primitive(*primitive),
            Schema::Unit => json!({ "type": "null" }),
            Schema::String => json!({ "type": "string" }),
            Schema::Option(inner) => {
                json!({ "anyOf": [self.schema(inner), { "type": "null" }] })
            }
            Schema::Result { ok, err } => {
                let variants = [("Ok", ok), ("Err", err)];
                let variants = variants.map(|(name, inner)| variant(name, self.schema(inner)));
                json!({ "oneOf": variants })
            }
            Schema::Box(inner) => self.schema(inner),
            Schema::Vec(element) => json!({ "type": "array", "items": self.schema(element) }),
            Schema::Array { element, length } => json!({
                "type": "array",
                "items": self.schema(element),
                "minItems": length,
                "maxItems": length,
            }),
            Schema::Tuple(elements) => self.tuple(elements.iter()),
            Schema::Map { key, value } => json!({
                "type": "object",
                "propertyNames": of_key(key),
                "additionalProperties": self.schema(value),
            }),
            Schema::Named(index) => json!({ "$ref": format!("#/$defs/{}", self.of(*index)) }),
            Schema::Opaque(name) => json!({ "description": format!("opaque {name:?}") }),
            Schema::Any => json!({}),
        }
    }

    fn tuple<'a>(&self, elements: impl ExactSizeIterator<Item = &'a Schema>) -> Value {
        let count = elements.len();
        if count == 0 {
            return json!({ "type": "array", "maxItems": 0 });
        }
        let elements: Vec<Value> = elements.map(|element| self.schema(element)).collect();
        json!({ "type": "array", "prefixItems": elements, "items": false, "minItems": count })
    }

    fn body(&self, body: &Body) -> Value {
        match body {
            Body::Struct(fields) => self.fields(fields),
            Body::Enum(variants) if variants.is_empty() => json!({ "not": {} }),
            Body::Enum(variants) => {
                let variants: Vec<Value> = variants.iter().map(|v| self.variant(v)).collect();
                json!({ "oneOf": variants })
            }
        }
    }

    fn variant(&self, of: &Variant) -> Value {
        match of.fields.is_empty() {
            true => json!({ "const": of.name }),
            false => variant(&of.name, self.fields(&of.fields)),
        }
    }

    fn fields(&self, fields: &[Field]) -> Value {
        let mut numbered = fields.iter().enumerate();
        match fields {
            // An empty struct is read from null, from an object, and from an empty array.
            [] => json!({ "type": ["null", "object", "array"], "maxItems": 0 }),
            [only] if only.name == "0" => self.schema(&only.schema),
            _ if numbered.all(|(index, field)| field.name == index.to_string()) => {
                self.tuple(fields.iter().map(|field| &field.schema))
            }
            _ => {
                let properties = fields.iter();
                let properties = properties.map(|f| (f.name.clone(), self.schema(&f.schema)));
                let is_needed =
                    |field: &&Field| !field.default && !matches!(field.schema, Schema::Option(_));
                let required = fields.iter().filter(is_needed).map(|field| &field.name);
                json!({
                    "type": "object",
                    "properties": properties.collect::<Map<String, Value>>(),
                    "required": required.collect::<Vec<&String>>(),
                })
            }
        }
    }
}

/// A variant with content: an object with the variant's name as the only member.
fn variant(name: &str, content: Value) -> Value {
    json!({
        "type": "object",
        "properties": { name: content },
        "required": [name],
        "maxProperties": 1,
    })
}

fn of_primitive(primitive: Primitive) -> Value {
    let between =
        |least: Value, most: Value| json!({ "type": "integer", "minimum": least, "maximum": most });
    match primitive {
        Primitive::Bool => json!({ "type": "boolean" }),
        Primitive::Char => json!({ "type": "string", "minLength": 1, "maxLength": 1 }),
        Primitive::F32 | Primitive::F64 => json!({ "type": "number" }),
        Primitive::U8 => between(json!(0), json!(u8::MAX)),
        Primitive::U16 => between(json!(0), json!(u16::MAX)),
        Primitive::U32 => between(json!(0), json!(u32::MAX)),
        Primitive::U64 => between(json!(0), json!(u64::MAX)),
        Primitive::I8 => between(json!(i8::MIN), json!(i8::MAX)),
        Primitive::I16 => between(json!(i16::MIN), json!(i16::MAX)),
        Primitive::I32 => between(json!(i32::MIN), json!(i32::MAX)),
        Primitive::I64 => between(json!(i64::MIN), json!(i64::MAX)),
        // Beyond 64 bits these are decimal digits in a string.
        Primitive::U128 => json!({
            "type": ["integer", "string"],
            "minimum": 0,
            "pattern": "^[0-9]+$",
        }),
        Primitive::I128 => json!({ "type": ["integer", "string"], "pattern": "^-?[0-9]+$" }),
    }
}

/// The names that members have for keys of this type.
fn of_key(key: &Schema) -> Value {
    match key {
        Schema::Primitive(Primitive::Bool) => json!({ "enum": ["true", "false"] }),
        Schema::Primitive(Primitive::Char) => json!({ "minLength": 1, "maxLength": 1 }),
        Schema::Primitive(_) => json!({ "pattern": "^-?[0-9]+$" }),
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests;
