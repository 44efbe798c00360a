//! The gate type of values that may be of any type.

use core::fmt;
use core::ops::{Deref, DerefMut};

use callgate_layout::{Describer, Schema};
use rkyv::rancor::{Fallible, Source};
use rkyv::ser::Writer as RkyvWriter;
use rkyv::string::{ArchivedString, StringResolver};
use rkyv::{Archive, Deserialize, Place, Serialize};
use serde_json::Value;

use super::json::{self, JsonType, Reader, Writer, read_result, to_text};
use super::types::unfit::{Unfit, refuse, stand_in};
use super::types::{GateType, Plain};

/// A JSON value as a parameter, a result, or a field: a gate with it takes or returns values of every type.
///
/// As a handler's parameter or result, `serde_json::Value` works as well. The archive of a `Json` is its text,
/// which is what a [`View`](crate::View) of it shows; that text is only checked when a value is made of it. A value
/// nests at most 64 deep.
///
/// ```
/// use callgate_client::{Json, signature_of};
/// use serde_json::json;
///
/// let preset = Json::from(json!({ "name": "warm", "gains": [0.5, 1.0] }));
/// assert_eq!(preset["gains"][1], 1.0);
/// assert_eq!(signature_of::<(Json,), u8>().text(), "(any) -> u8");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Json(pub Value);

impl From<Value> for Json {
    fn from(value: Value) -> Json {
        Json(value)
    }
}

impl From<Json> for Value {
    fn from(json: Json) -> Value {
        json.0
    }
}

impl Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for Json {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl JsonType for Json {
    fn write(&self, writer: &mut Writer<'_>) -> json::Result<()> {
        self.0.write(writer)
    }

    fn read(reader: &mut Reader<'_>) -> json::Result<Json> {
        Value::read(reader).map(Json)
    }
}

impl GateType for Json {
    fn schema(_: &mut Describer) -> Schema {
        Schema::Any
    }
}
impl Plain for Json {}

/// The text of a value that is being archived, and where it lies in the archive.
#[doc(hidden)]
pub struct JsonResolver {
    text: String,
    place: StringResolver,
}

impl Archive for Json {
    type Archived = ArchivedString;
    type Resolver = JsonResolver;

    fn resolve(&self, resolver: JsonResolver, out: Place<ArchivedString>) {
        ArchivedString::resolve_from_str(&resolver.text, resolver.place, out);
    }
}

impl<S> Serialize<S> for Json
where
    S: Fallible<Error: Source> + RkyvWriter + ?Sized,
{
    fn serialize(&self, serializer: &mut S) -> Result<JsonResolver, S::Error> {
        let text = to_text(&self.0).map_err(|_| refuse(Unfit::Json))?;
        let place = ArchivedString::serialize_from_str(&text, serializer)?;
        Ok(JsonResolver { text, place })
    }
}

impl<D> Deserialize<Json, D> for ArchivedString
where
    D: Fallible + ?Sized,
{
    fn deserialize(&self, _: &mut D) -> Result<Json, D::Error> {
        let value = read_result(self.as_bytes());
        let value = value.unwrap_or_else(|why| stand_in(why.message(), Value::Null));
        Ok(Json(value))
    }
}

#[cfg(test)]
mod tests {
    use callgate_layout::buffer::Buffer;
    use serde_json::json;

    use super::*;
    use crate::base::archive::{access, deserialize, serialize_vec};
    use crate::base::types::{Failed, schema_of};
    use crate::{Code, gate_type};

    fn archived<T: GateType>(value: &T) -> Result<Buffer, Failed> {
        let mut buffer = Buffer::new();
        serialize_vec(value, &mut buffer, None, 1 << 20).map(|()| buffer)
    }

    fn returned<T: GateType>(value: &T) -> T {
        let archive = archived(value).unwrap();
        deserialize::<T>(access::<T>(&archive).unwrap()).unwrap()
    }

    #[test]
    fn values_of_any_type_are_archived() {
        let values = [
            json!(null),
            json!("short"),
            json!([1, -2, 0.5, { "a": "a long text" }]),
        ];
        for value in values {
            assert_eq!(returned(&Json(value.clone())).0, value);
        }
        let many: Vec<Json> = (0..1000).map(|n| json!({ "number": n }).into()).collect();
        assert_eq!(returned(&many), many);
    }

    #[test]
    fn values_of_any_type_may_be_fields() {
        #[gate_type]
        #[derive(Debug, PartialEq)]
        struct Tagged {
            value: Json,
            more: Option<Json>,
        }
        let tagged = Tagged {
            value: json!([null]).into(),
            more: None,
        };
        assert_eq!(returned(&tagged), tagged);
        let text = r#"{"value":[null],"more":null}"#;
        assert_eq!(serde_json::to_string(&tagged).unwrap(), text);
        assert_eq!(read_result::<Tagged>(text.as_bytes()).unwrap(), tagged);
        assert!(schema_of::<Json>().to_string().contains("any"));
    }

    #[test]
    fn an_archive_is_looked_at_when_it_is_read() {
        for (text, said) in [("[1", "no JSON"), (r#"{"a":1,"a":2}"#, "found two")] {
            let archive = archived(&text.to_owned()).unwrap();
            // Before, it is text.
            let view = access::<Json>(&archive).unwrap();
            assert_eq!(view.as_str(), text);
            let error = deserialize::<Json>(view).unwrap_err();
            assert_eq!(error.code(), Code::Protocol);
            assert!(error.message().contains(said), "{error}");
        }
    }

    /// Writing it recursed as deep as it was.
    #[test]
    fn a_value_that_is_too_deep_has_no_archive() {
        let deep = |levels| (0..levels).fold(Value::Null, |value, _| Value::Array(vec![value]));
        assert_eq!(returned(&Json(deep(64))).0, deep(64));
        for levels in [65, 1000] {
            let failed = archived(&Json(deep(levels))).unwrap_err();
            assert_eq!(failed, Failed::Unfit(Unfit::Json));
        }
    }
}
