//! The names of types in `$defs`, which must be unique.

use std::collections::HashSet;

use callgate_layout::schema::TypeDef;

/// How many characters of a type's own name are used, because the name is repeated wherever the type is used.
const MOST: usize = 64;

/// The name of each type in a signature's table.
pub(super) struct Names(Vec<String>);

impl Names {
    /// Uses the types' own names. Characters that are not allowed in a reference become `_`, and a number is added
    /// to names that occur twice.
    pub(super) fn new(types: &[TypeDef]) -> Names {
        let mut taken = HashSet::new();
        let names = types.iter().enumerate().map(|(index, def)| {
            let plain = def.name.chars().take(MOST).map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
                _ => '_',
            });
            let mut name: String = plain.collect();
            if name.is_empty() || taken.contains(&name) {
                // Names have no dot, and the index is the type's own, so this name is unique.
                name = format!("{name}.{index}");
            }
            taken.insert(name.clone());
            name
        });
        Names(names.collect())
    }

    /// The name of the type with this index; empty for an index that is not in the table.
    pub(super) fn of(&self, index: u32) -> &str {
        self.0.get(index as usize).map_or("", String::as_str)
    }
}
