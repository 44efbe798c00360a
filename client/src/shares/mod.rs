//! Shares, as far as no broker is needed for them: types and their bytes, versions that are mapped and guards of them, the table by which
//! a tag leads to them; cells that are written and read.

pub(crate) mod cells;
pub(crate) mod content;
pub(crate) mod follow;
pub(crate) mod held;
pub(crate) mod kind;
pub(crate) mod made;
pub(crate) mod table;
pub(crate) mod turns;
pub(crate) mod used;
pub(crate) mod watched;

#[cfg(test)]
mod tests;
