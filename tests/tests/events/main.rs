//! Events between processes: one sends, many listen, and each may be killed, stopped or started again.
#![forbid(unsafe_code)]

mod crowd;
mod cursors;
mod forks;
mod killed;
mod open;
mod patterns;
mod restarts;
mod rights;
mod rings;
mod scene;
mod slow;
mod tasks;
mod twins;
