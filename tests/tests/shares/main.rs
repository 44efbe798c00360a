//! Shares between processes: made, read, published, killed, restarted and lied about.
#![forbid(unsafe_code)]

mod cells;
mod forks;
mod hostile;
mod idle;
mod large;
mod liar;
mod persistent;
mod restarts;
mod scene;
mod semantics;
mod storm;
mod versions;
mod watches;
