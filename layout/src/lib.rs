//! Callgate's shared memory and control records.
//!
//! This crate defines the layout of the bytes that plugins and broker share, who may write which of
//! them, and in what order. It knows nothing of threads or policy: those are in
//! `callgate-client` and `callgate`, which are the crates for programs.
//!
//! The modules in the order in which a call meets them: [`pending`] → [`envelope`] → [`ring`] →
//! [`pages`] (the provider's doorbell) → [`slot`] → [`flags`]; [`geometry`] says where these
//! lie, [`blocks`] which blocks of payload are taken, [`turns`] whose handlers may run. [`control`]
//! has the records that plugins and broker exchange to set all that up. [`events`] is what one plugin sends and any
//! number of others hear; [`cells`] what one plugin writes again and again and others copy.
//!
//! How either side waits, without the system calls: for an answer ([`bells`], [`words`], [`late`],
//! [`life`]), for slots and blocks ([`waiters`]), for the end of visits ([`visits`]). [`version`] counts
//! the changes of what a plugin serves; [`closing`] is how a plugin stops taking calls.
//!
//! `unsafe` stands in [`view`], [`payload`], [`shares`] and [`sys`] alone.

#[cfg(not(all(
    target_os = "linux",
    target_pointer_width = "64",
    target_endian = "little"
)))]
compile_error!(
    "Callgate runs on 64-bit little-endian Linux only: it needs memfd, pidfd and futex_waitv of the \
     Linux kernel, and every number in shared memory is a little-endian word of 32 or 64 bits that is \
     read and written in one piece. Build for such a target, for example x86_64-unknown-linux-gnu."
);

mod atomic;
pub mod bells;
pub mod blocks;
pub mod buffer;
pub mod cells;
pub mod cgroup;
pub mod clock;
pub mod closing;
pub mod code;
pub mod control;
pub mod encoding;
pub mod envelope;
pub mod events;
pub mod flags;
pub mod geometry;
#[cfg(not(callgate_loom))]
#[doc(hidden)]
pub mod hostile;
pub mod invitation;
pub mod late;
pub mod life;
pub mod pages;
#[cfg(not(callgate_loom))]
pub mod payload;
pub mod pending;
pub mod permits;
pub mod ring;
pub mod schema;
pub mod shares;
pub mod slot;
pub mod socket;
pub mod stats;
pub mod sys;
pub mod text;
pub mod turns;
pub mod version;
pub mod view;
pub mod visits;
pub mod waiters;
pub mod words;

pub use code::{Blame, Code};
pub use encoding::{Encoding, Encodings};
pub use geometry::Geometry;
pub use schema::{Describer, Fingerprint, Schema, Signature};
