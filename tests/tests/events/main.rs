//! Events between processes: one sends, many listen, and each of them may be killed, stopped or started anew.
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
