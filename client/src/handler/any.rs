//! `serde_json::Value` as the parameter or result of a handler: any type.

use rkyv::Archive;
use serde_json::Value;

use super::{HandlerError, Param, Reply};
use crate::base::any::Json;
use crate::base::archive;
use crate::base::error::Result;

impl Param for Value {
    type Owned = Json;
    type Item<'a> = Value;

    const MOVES: bool = true;
    const COPIES: bool = true;

    fn take(archived: &<Json as Archive>::Archived) -> Result<Value> {
        archive::deserialize::<Json>(archived).map(Value::from)
    }

    fn moved(value: Json) -> Option<Value> {
        Some(value.0)
    }
}

impl Reply for Value {
    type Output = Json;

    fn into_output(self) -> Result<Json, HandlerError> {
        Ok(Json(self))
    }
}

impl<E: Into<HandlerError>> Reply for Result<Value, E> {
    type Output = Json;

    fn into_output(self) -> Result<Json, HandlerError> {
        self.map(Json).map_err(Into::into)
    }
}
