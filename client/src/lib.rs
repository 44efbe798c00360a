//! What a Callgate plugin links: connect to a bus, provide gates, call the gates of others.
#![forbid(unsafe_code)]

mod error;

pub use callgate_layout::{Blame, Code};
pub use error::{Error, Result};
