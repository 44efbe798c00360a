//! The protocols of shared memory, model-checked.
//!
//! ```text
//! RUSTFLAGS="--cfg callgate_loom" cargo test -p callgate-layout --release --test loom
//! ```
//!
//! Loom runs each model in every order in which its threads can be interleaved (up to a number
//! of preemptions, where the model says one) and lets every load see every value that the memory
//! model allows. A model fails by an assertion, by a deadlock (somebody was not woken), by two
//! accesses to payload bytes that nothing orders, or by a word that is used in another size than
//! the byte tables say.
//!
//! The code under test is the crate's, with every fence and every loop that has one: `callgate-client`
//! adds the system calls and what is looked at. `tests/weaken` takes each order and each fence away in
//! turn, and expects a model to fail. Models named `without_…` leave a step out themselves and have to
//! fail: a model that cannot fail shows nothing.
//!
//! What loom does not see: loads that run ahead of earlier loads and stores in a way that no order of the
//! threads explains. The payload watch makes up for much of that, because it asks for an order and not
//! for a value. Loom knows no sequentially consistent accesses either, so the protocols use none.

#![cfg(callgate_loom)]
#![allow(clippy::unwrap_used)]

mod bench;
mod blocks;
mod cells;
mod closing;
mod death;
mod doorbell;
mod events;
mod gates;
mod kept;
mod late;
mod permits;
mod release;
mod ring;
mod shares;
mod slots;
mod starving;
mod turns;
mod visits;
mod waiter;
mod waiters;
