//! Shares between processes: made, read, published, killed, restarted and lied about.
#![forbid(unsafe_code)]

mod cells;
mod persistent;
