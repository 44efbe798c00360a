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
//! The code under test is the crate's; what `callgate-client` does around it (in `link.rs`,
//! `caller.rs` and `serve.rs`) is repeated in [`bench`], fence for fence. Models named `without_…`
//! leave one of these out and have to fail: a model that cannot fail shows nothing.
//!
//! What loom does not see: that accesses (unlike fences) are sequentially consistent, and loads
//! that run ahead of earlier loads and stores in a way that no order of the threads explains.
//! The payload watch makes up for much of the latter, because it asks for an order and not for
//! a value. Some orders are stronger than the models can tell, because a fence stands beside
//! them: the release in `Pending::abandon` and in `Status::close`. FREED-OR-WAITER (client,
//! `room.rs`) rests on sequentially consistent accesses; its model has fences in their place.

#![cfg(callgate_loom)]
#![allow(clippy::unwrap_used)]

mod bench;
mod blocks;
mod death;
mod doorbell;
mod kept;
mod release;
mod ring;
mod turns;
mod waiter;
mod waiters;
