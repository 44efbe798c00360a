//! Shares between processes: made, read and published, with makers, readers and brokers that are killed, restarted,
//! or break the rules.
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
