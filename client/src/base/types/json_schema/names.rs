//! The names of types in `$defs`, each of which is there once.

use std::collections::HashSet;

use callgate_layout::schema::TypeDef;

/// How much of a type's own name is used: it stands wherever the type is named.
const MOST: usize = 64;

/// For each type of a signature's table its name.
pub(super) struct Names(Vec<String>);

impl Names {
    /// The types' own names. What has no place in a reference becomes `_`, and a number tells types of one name
    /// apart.
    pub(super) fn new(types: &[TypeDef]) -> Names {
        let mut taken = HashSet::new();
        let names = types.iter().enumerate().map(|(index, def)| {
            let plain = def.name.chars().take(MOST).map(|c| match c {
                'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '-' => c,
                _ => '_',
            });
            let mut name: String = plain.collect();
            if name.is_empty() || taken.contains(&name) {
                // Names have no dot, and no two types have this index.
                name = format!("{name}.{index}");
            }
            taken.insert(name.clone());
            name
        });
        Names(names.collect())
    }

    /// The name of the type with this index; of one that is not in the table there is none.
    pub(super) fn of(&self, index: u32) -> &str {
        self.0.get(index as usize).map_or("", String::as_str)
    }
}
