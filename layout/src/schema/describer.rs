//! How types of Rust become a signature.

use core::any::TypeId;
use std::collections::HashMap;

use super::{Body, Schema, Signature, TypeDef};

/// Describes types, and keeps the table of those that it has described, so that each stands there
/// once and a recursive one is named by its index.
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

    /// The struct or enum `T`, which `describe` describes unless that was done, or has begun, before.
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

    /// The signature of these parameters and this result, which were described by this describer.
    pub fn signature(self, params: Option<Vec<Schema>>, result: Option<Schema>) -> Signature {
        Signature {
            params,
            result,
            types: self.types,
        }
    }
}
