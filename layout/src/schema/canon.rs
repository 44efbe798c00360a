//! The canonical order of a signature's types: each shape occurs once.

use std::collections::HashMap;

use super::refine::refine;
use super::write::outline;
use super::{MAX_DEPTH, Schema, SchemaError, Signature};

/// The types of a signature in the order in which they are written.
pub(super) struct Canon {
    /// The number of each type of the table; [`UNMET`] for a type that the walk does not meet.
    pub(super) numbers: Vec<u32>,
    /// For each number, the types of the table that have this shape, in the order in which the walk meets them.
    pub(super) types: Vec<Vec<u32>>,
}

/// Stands for a type that the walk does not meet.
const UNMET: u32 = u32::MAX;

pub(super) fn canon(signature: &Signature) -> Result<Canon, SchemaError> {
    let met = Met::of(signature)?;
    let classes = refine(&outlines(signature, &met)?, &met.names);
    let mut numbers = vec![UNMET; signature.types.len()];
    let mut number_of_class = HashMap::new();
    let mut types: Vec<Vec<u32>> = Vec::new();
    for (index, class) in met.order.iter().zip(classes) {
        let number = *number_of_class.entry(class).or_insert(types.len());
        if number == types.len() {
            types.push(Vec::new());
        }
        types[number].push(*index);
        numbers[*index as usize] = number as u32;
    }
    Ok(Canon { numbers, types })
}

/// A class for each type that the walk met. Types with different outlines get different classes.
fn outlines(signature: &Signature, met: &Met) -> Result<Vec<u32>, SchemaError> {
    let mut classes = HashMap::new();
    let outlines = met.order.iter().map(|index| {
        let outline = outline(&signature.types[*index as usize].body)?;
        let next = classes.len() as u32;
        Ok(*classes.entry(outline).or_insert(next))
    });
    outlines.collect()
}

/// A walk through a signature, level by level.
struct Met {
    /// The types in the order in which they are met.
    order: Vec<u32>,
    /// For each of them, the positions in `order` of the types that it names, in order.
    names: Vec<Vec<u32>>,
    /// For each type of the table its position in `order`.
    positions: Vec<u32>,
}

impl Met {
    fn of(signature: &Signature) -> Result<Met, SchemaError> {
        let mut met = Met {
            order: Vec::new(),
            names: Vec::new(),
            positions: vec![UNMET; signature.types.len()],
        };
        let mut ignored = Vec::new();
        for root in signature.roots() {
            met.walk(root, 0, &mut ignored)?;
        }
        while let Some(index) = met.order.get(met.names.len()) {
            let mut names = Vec::new();
            for field in signature.types[*index as usize].body.fields() {
                met.walk(&field.schema, 0, &mut names)?;
            }
            met.names.push(names);
        }
        Ok(met)
    }

    fn walk(
        &mut self,
        schema: &Schema,
        depth: usize,
        names: &mut Vec<u32>,
    ) -> Result<(), SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        if let Schema::Named(index) = schema {
            let position = self
                .positions
                .get_mut(*index as usize)
                .ok_or(SchemaError::BadIndex(*index))?;
            if *position == UNMET {
                *position = self.order.len() as u32;
                self.order.push(*index);
            }
            names.push(*position);
        }
        let mut children = schema.children();
        children.try_for_each(|child| self.walk(child, depth + 1, names))
    }
}
