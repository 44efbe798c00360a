//! Turns Rust types into a signature.

use core::any::TypeId;
use std::collections::HashMap;

use super::{Body, Schema, Signature, TypeDef};

/// Describes types and keeps a table of those that it has described. Each type stands in the table once, and a
/// recursive type names itself by its index.
#[derive(Debug, Default)]
pub struct Describer {
    types: Vec<TypeDef>,
    indexes: HashMap<TypeId, u32>,
}

impl Describer {
    /// A describer with an empty table.
    pub fn new() -> Describer {
        Describer::default()
    }

    /// The struct or enum `T`. Calls `describe` unless `T` was described before, or its description has begun.
    pub fn named<T: 'static>(
        &mut self,
        name: &str,
        describe: impl FnOnce(&mut Describer) -> Body,
    ) -> Schema {
        let next = self.types.len() as u32;
        let index = *self.indexes.entry(TypeId::of::<T>()).or_insert(next);
        if index == next {
            self.types.push(TypeDef {
                name: name.to_owned(),
                body: Body::Struct(Vec::new()),
            });
            let body = describe(self);
            self.types[index as usize].body = body;
        }
        Schema::Named(index)
    }

    /// The signature of these parameters and this result, which this describer must have described.
    pub fn signature(self, params: Option<Vec<Schema>>, result: Option<Schema>) -> Signature {
        Signature {
            params,
            result,
            types: self.types,
        }
    }
}
