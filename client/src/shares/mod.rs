//! The part of shares that needs no broker: types and their bytes, mapped versions and their guards, the table that
//! finds them by tag; reading and writing cells.

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
