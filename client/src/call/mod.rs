//! The calling side of a plugin: calls through links, as bytes and with types, and direct calls inside the process.

mod admission;
pub(crate) mod bytes;
mod decode;
pub(crate) mod in_process;
pub(crate) mod json;
mod large;
pub(crate) mod lasting;
mod nested;

pub(crate) mod sent;
pub(crate) mod space;
pub(crate) mod target;
pub(crate) mod typed;
pub(crate) mod untyped;
mod waiting;
