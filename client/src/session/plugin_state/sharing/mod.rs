//! Shares that a plugin asks for, makes, publishes and follows: at the current broker, and at each later one.

mod again;
pub(crate) mod asking;
mod converting;
pub(crate) mod making;
mod mapping;
mod publishing;
mod request;
mod twin;
pub(crate) mod using;
mod versions;
pub(crate) mod want;
