//! Records about schemas: the bytes that describe the types of a gate's arguments and result ([`crate::schema`]).
//!
//! The broker keeps the schemas of provided gates and parses only their header. Schemas are longer than other
//! texts in records, so they have records of their own, which carry them in parts.
//!
//! # To the broker
//!
//! A schema of up to [`MAX_INLINE_SCHEMA`](super::MAX_INLINE_SCHEMA) bytes goes in
//! [`Provide`](super::GateToBroker::Provide) itself. A longer one is uploaded before:
//!
//! ```text
//! plugin               broker
//!   | Part{offset 0} --> |   begins an upload; an earlier one that no `Provide` has taken is dropped
//!   | Part ... --------> |   in order, up to the length that each part says
//!   | Provide{Upload} -> |   takes the upload, also where it is refused
//!   | <-------- Provided |
//! ```
//!
//! Parts have no answer: the answer to `Provide` covers them. A plugin has one upload at a time in a session. The
//! broker charges it for the whole length from the first part on, and charges each owner of a gate for the gate's
//! schema, even if other plugins have the same one.
//!
//! A plugin that comes back to a new broker uploads its schemas again. Parts do not count as requests, up to as many
//! bytes in a session as the plugin may have of schemas.
//!
//! # To a plugin
//!
//! A plugin whose types differ from those of a gate that it has open is told so, with the number of the provider's
//! schema ([`Availability::Differs`](super::Availability)), and asks for that schema:
//!
//! ```text
//! caller               broker
//!   | <- State{Differs}  |
//!   | Fetch{offset 0} -> |
//!   | <------------ Part |   with the whole length
//!   | Fetch{offset n} -> |   until all is there
//!   | <------------ Part |
//! ```
//!
//! Schemas with equal bytes have the same number, which the broker never gives to other bytes: a plugin that has
//! fetched a schema need not fetch it again from this broker.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | plugin | uploads a part out of order, of no bytes, beyond the length that it said, or says another length or more than [`MAX_SCHEMA`](super::MAX_SCHEMA) | its session ends (`PROTOCOL`) |
//! | plugin | begins another upload, or never ends one | the earlier one is dropped; one unfinished upload stays charged to it |
//! | plugin | uploads more than it may have | the bytes are dropped, and the `Provide` that names them is refused (`OVERLOADED`) |
//! | plugin | provides with an upload that is not complete, or of another number | `Answer` with a failure |
//! | plugin | provides with bytes whose header does not fit them | `Answer` with a failure |
//! | plugin | provides a schema that is no schema, or not what it takes | its callers find out: they cannot compare, or their calls fail one by one |
//! | plugin | provides a shape that is not canonical | its fingerprint equals nobody's; JSON goes on |
//! | opener | says another fingerprint than its types have | the same, for itself alone |
//! | opener | fetches beyond the end, or of a gate that it has not open or may not call, or what that gate has not | `Answer` with a failure |
//! | opener | fetches without end | charged like all requests, but for the parts of what it was just told of; what it does not read ends its session, as with all records |
//! | broker | sends parts that do not fit, of another length, or none | the gate stays unknown until the deadline |
//! | broker | dies | who fetched asks the next one; numbers are of one broker |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

/// About schemas, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SchemaToBroker {
    /// A part of the schema of a gate that the plugin is about to provide.
    Part {
        /// The plugin's number for this upload.
        upload: u32,
        /// Bytes of the whole schema; the same in each part.
        total: u32,
        /// Bytes that were sent before this part. 0 begins the upload.
        offset: u32,
        /// The part.
        bytes: Vec<u8>,
    },
    /// Send a part of the schema of a gate that the plugin has open. Answered by
    /// [`SchemaToPlugin::Part`], or by `Answer` with a failure.
    Fetch {
        /// The plugin's number for this request.
        request: u32,
        /// The number from `Open`.
        open: u32,
        /// The schema's number, as [`Availability::Differs`](super::Availability) told it.
        schema: u64,
        /// Where the part begins, in bytes from the start of the schema.
        offset: u32,
    },
}

/// About schemas, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum SchemaToPlugin {
    /// Answers `Fetch`: the schema's bytes from that offset on, as many as the broker puts into one record.
    Part {
        /// The plugin's number for the request.
        request: u32,
        /// Bytes of the whole schema.
        total: u32,
        /// The part; never empty.
        bytes: Vec<u8>,
    },
}
