//! What all other parts of the client use: errors, waiting, buffers, types and archives. Nothing here knows links,
//! handlers or brokers.

pub(crate) mod any;
pub(crate) mod archive;
pub(crate) mod backoff;
pub(crate) mod buffers;
pub(crate) mod bytes;
pub(crate) mod cancel;
pub(crate) mod chain;
pub(crate) mod deadline;
pub(crate) mod debug;
pub(crate) mod due;
pub(crate) mod error;
pub(crate) mod futex_refused;
pub mod json;
pub(crate) mod thread;
pub(crate) mod trace;
pub(crate) mod types;
