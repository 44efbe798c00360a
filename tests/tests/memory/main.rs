//! Who pays for large payloads: the plugin that writes them, in its own limits.
#![forbid(unsafe_code)]

mod cgroups;
mod limits;
