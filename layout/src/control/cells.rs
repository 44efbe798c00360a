//! Records about cells: plain values of a fixed size that one plugin writes again and again, and that others copy.
//!
//! ```text
//! reader               broker                              writer
//!   |                    | <-------------------------- Open  |   a tag, what type, to write
//!   |                    | ------------------------- Write > |   its memory, writable; the memory of the writer before, if there was one
//!   |                    | <----------------------- Written  |   mapped; it holds the last value of the writer before
//!   |                    |   sealed against further writers
//!   |                    | ----------------------- Sealed >  |   what is written from here on is read, whatever becomes of the writer
//!   | Open ------------> |                                   |
//!   | <------------ Read |                                   |   its memory, to be mapped for reading; where there is none yet, when there is
//!   | Close -----------> | <------------------------- Close  |
//!   | <------------ Left |                                   |   its writer has gone: the value stays as it is
//!   | <------------ Read |                                   |   there is a new writer: other memory, which begins with the last value
//! ```
//!
//! A cell has one writer at a time; it exists as long as any plugin has it open. Meanwhile no share has the same tag.
//! Sealed memory cannot be mapped by a second writer, so each writer gets new memory.
//!
//! **The broker is replaced.** A writer opens the cell again and is given new memory, into which it writes as well as into the old,
//! until the old membership ends. A reader opens it again, and reads the old memory until it has the new.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | either | opens without the right, with another type or length, or for writing where there is a writer | `Answer` with a failure |
//! | writer | never answers `Write` | after a step's time its cell is closed (`TIMEOUT`), another one may write |
//! | writer | says `Written` and has not mapped it | its readers read zeros: no value was written |
//! | writer | writes what is no value, or counts wrongly | a reader copies, looks again, and validates: `BUSY` or `PROTOCOL`, naming the writer |
//! | writer | dies, at any step | the last value that was published stays; `Left` to the readers |
//! | writer | says `Written` and has not allocated all of it | its session ends (`PROTOCOL`) |
//! | writer | keeps the kernel from sealing its memory | its session ends after five times a step's time (`TIMEOUT`) |
//! | reader | never answers | nothing waits for it; of memory that it was not sent yet it is sent the newest |
//! | either | names a cell that there never was, or is another's | its session ends (`PROTOCOL`) |
//! | either | answers for what has ended meanwhile | nothing: the two have crossed |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::Failure;

/// About cells, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum CellToBroker {
    /// Read or write a cell. A request, answered by `Write` or `Read`, or by
    /// [`Answer`](super::SessionToPlugin::Answer) with a failure.
    Open {
        /// The plugin's number for this request, and for the cell until it is closed.
        request: u32,
        /// The tag.
        tag: String,
        /// The fingerprint of a signature with the type as its only parameter.
        fingerprint: u128,
        /// The signature, to be shown to people.
        signature: String,
        /// Bytes of one value.
        len: u32,
        /// Whether the plugin wants to write the cell; otherwise it wants to read.
        writes: bool,
        /// Whether a reader waits for the first writer if the cell has had none; otherwise the broker answers
        /// `NOT_READY`.
        waits: bool,
    },
    /// The writer has mapped everything that came with `Write`, has allocated all of the memory, and has copied the last
    /// value into it.
    Written {
        /// The number from `Open`.
        request: u32,
    },
    /// The plugin no longer uses the cell. There is no answer.
    Close {
        /// The number from `Open`.
        request: u32,
    },
}

/// About cells, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum CellToPlugin {
    /// The plugin becomes the writer of the cell. Descriptors: its memory, to be mapped for writing; then, if `has_last`,
    /// the memory of the writer before, to be mapped for reading. Answered by `Written`.
    Write {
        /// The number from `Open`.
        request: u32,
        /// Bytes of the memory.
        len: u32,
        /// Whether the memory of the writer before comes along.
        has_last: bool,
    },
    /// The broker has sealed the memory that this plugin writes: from now on readers read the cell there. Needs no answer.
    Sealed {
        /// The number from `Open`.
        request: u32,
    },
    /// The plugin reads the cell, in this memory from now on. Descriptor: the memory, to be mapped for reading. Needs no answer.
    Read {
        /// The number from `Open`.
        request: u32,
        /// Bytes of the memory.
        len: u32,
        /// Its writer's name.
        writer: String,
    },
    /// The writer of a cell that is read has gone.
    Left {
        /// The number from `Open`.
        request: u32,
    },
    /// The plugin has lost the cell: the policy took its right away, or it did not answer `Write` in time.
    Closed {
        /// The number from `Open`.
        request: u32,
        /// Why.
        failure: Failure,
    },
}
