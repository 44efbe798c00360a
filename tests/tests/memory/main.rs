//! Large payloads are charged to the plugin that writes them, within its own limits.
#![forbid(unsafe_code)]

mod cgroups;
mod limits;
