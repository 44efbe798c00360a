//! Records about shares: values in sealed memory, which plugins find by a tag and read where they lie.
//!
//! ```text
//! user                 broker                              maker
//!   | Want ------------> |                                   |   a tag, what type it is to have, whether to make it
//!   |                    |                                   |
//!   |                    |   there is none, and it may be made: one of those that want it makes it, the others wait
//!   |                    | ------------------------ Create > |   its factory runs, outside of every lock
//!   |                    | <-------------------------- Make  |   how long the value is; or GaveUp: the next one makes it
//!   |                    | ------------------------- Write > |   memory of just that size, writable, the size sealed
//!   |                    | <----------------------- Written  |   all of it allocated and written, its map gone; or GaveUp
//!   |                    |   sealed against every change, by its maker or by the broker, then looked at: all of it is there
//!   | <------------ Have |                                   |   to all that waited, the maker too
//!   |                    |                                   |
//!   |                    | <----------------------- Publish  |   a new version of it: Write, Written, Have as above;
//!   |                    | <------------------ PublishShort  |   or with its bytes, which the broker puts into sealed memory: Have;
//!   |                    |   the number of the newest version stands on the share's page, which the broker alone writes
//!   | Fetch -----------> |                                   |   the newest version; or a version as JSON, its twin:
//!   |                    | ----------------------- Convert > |   the twin's maker is the plugin that made the version:
//!   |                    | <--- Make, Written, or GaveUp --- |   Write between them, as above
//!   | <--------- Version |                                   |
//!   | Done ------------> |                                   |   no guard of a superseded version, or of a twin, is left
//!   | Relinquish ------> |                                   |   no guard of the share is left, and nobody follows it
//! ```
//!
//! A *making* is one run of Make, Write and Written; the broker numbers them. A share is gone when its last user is: a plugin
//! is a user from `Have` until `Relinquish` or its end, and so is the maker of a version from `Write` until its `Have`.
//!
//! `Watch` is answered once, when the state of a tag differs from the one that the plugin has seen. A plugin uses it to
//! wait for a share, for its end, or for its next version, without a thread that sleeps on the page.
//!
//! **The broker is replaced.** The plugin that made the newest version says `Return` to the next one, with the descriptor of the memory,
//! which that broker looks at: all four seals, the length, all of it allocated. Users say `Want` with what they had; a `Have` of the
//! same incarnation and number brings no memory, only the new page.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | maker | never answers `Create` | after the time that it gave itself its making ends, by `Dropped`, and the next one in the row makes it |
//! | maker | never answers `Convert` | after 30 s the making ends, by `Dropped`; who waits for the twin is refused (`TIMEOUT`) |
//! | maker | never answers `Write` | its making ends after a step's time and a second for each 64 MiB, by `Dropped` |
//! | maker | dies, at any step | the making ends, and with it its memory; the next one makes it |
//! | maker | says `Written` and still maps the memory for writing, has left pages out, or has added seals that keep the broker from its own | the making ends (`PROTOCOL`), the next one makes it |
//! | maker | keeps the kernel from sealing | the making ends (`TIMEOUT`) after five times a step's time; its session, too |
//! | maker | writes what is no value of the type | each user's library finds that when it validates: `PROTOCOL`, naming the maker |
//! | maker | names a type that the value does not have | the same |
//! | maker | wants a length beyond its quota, or 0 | `Dropped` (`OVERLOADED`, `INVALID_ARGUMENT`) |
//! | maker | publishes without the right, another type, or while a publication of its own is under way | `Answer` with a failure |
//! | maker | sends no byte as a short value, or more than that has | `Answer` with a failure (`INVALID_ARGUMENT`) |
//! | user | wants a share without the right, or to make it without that | `Answer` with a failure |
//! | user | does not say `Done` | the version stays charged to it; from a limit on its `Fetch` is refused (`OVERLOADED`) |
//! | user | says `Done` and keeps the map | the version stays charged to the bus until nobody holds it |
//! | user | fetches again and again | each is a request, charged to its rate, but the first of each version, as often as others publish; so is `Watch`, but one for each `Changed` |
//! | user | fetches the same version as JSON again after `Done` | its maker rests before it writes that again, four times as long as it has taken, 30 s at most; the answer waits |
//! | user | says `Done` or `Relinquish` of what it does not have (any more) | nothing; a request, charged to its rate |
//! | either | names a share, version or making that there never was, or a making of another's | its session ends (`PROTOCOL`) |
//! | either | answers what has ended meanwhile | nothing: the two have crossed |
//! | maker | returns memory that is not sealed in full, is no memory file, or has another length | `Answer` with a failure (`PROTOCOL`): it is as if there had been no share |
//! | maker | returns memory with several descriptors, or sends one with any other record | its session ends (`PROTOCOL`) |
//! | maker | publishes on a persistent share what is to be none | the version is kept as those before it |
//! | maker | returns other content under the same number | users that had it go on with their own map; new ones see the other: as if it had published |
//! | broker | dies | guards stay valid: maps need no broker. What is being made is dropped, and wanted again of the next broker |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{Failure, SchemaSource};
use crate::encoding::Encoding;

/// The encoding of a share's bytes.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// An archive, its root at the end.
    Archive,
    /// Plain numbers in a row, from the first byte on: a slice.
    Slice,
    /// The text of a JSON value: a twin, for users of another type.
    Json,
}

/// The type and form that a user wants a share to have.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Archive or slice.
    pub form: Form,
    /// The fingerprint of a signature with the type as its only parameter; for a slice that type is the
    /// vector of its numbers. See [`crate::schema`].
    pub fingerprint: u128,
    /// The signature, to be shown to people.
    pub signature: String,
    /// Whether the user refuses shares of another type, even where the value could be converted.
    pub exact: bool,
}

/// The type and other properties of a share, as its maker tells the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Making {
    /// Archive or slice.
    pub form: Form,
    /// A signature with the type as its only parameter.
    pub schema: SchemaSource,
    /// The signature, to be shown to people.
    pub signature: String,
    /// Whether the maker can write the value as JSON.
    pub json: bool,
    /// Whether it outlives all plugins and brokers.
    pub persistent: bool,
    /// Whether the kernel is asked for huge pages.
    pub huge: bool,
}

/// Identifies a version of a share; it stays the same when the broker is replaced.
#[derive(
    Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord,
)]
pub struct VersionName {
    /// A random number of the broker that first had the share.
    pub incarnation: u64,
    /// The number of the version among those of the share, from 1.
    pub number: u64,
}

/// What the broker tells a user about a version.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct VersionFacts {
    /// The broker's number for this memory; the broker never uses it again. A JSON twin has its own number.
    pub version: u64,
    /// The identity of the version across brokers.
    pub name: VersionName,
    /// Bytes of the value, which is the whole file.
    pub len: u64,
    /// The encoding of the bytes.
    pub form: Form,
    /// The name of the plugin that made it; for a persistent share that the broker found, the name from back then.
    pub maker: String,
    /// Whether the memory is the persistent file itself, which has no seals: only for users that trust their peers.
    pub in_place: bool,
}

/// Whether a share has the type and form that the user wants.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ShareFit {
    /// Type and form are the same.
    Same,
    /// They differ. The user's library decides whether the value can be converted; if so, it fetches the version as JSON.
    Differs {
        /// The maker's schema ([`ShareToBroker::FetchSchema`]).
        schema: u64,
        /// The maker's form.
        form: Form,
    },
}

/// About shares, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ShareToBroker {
    /// Use a share. A request, answered by `Have`; by `Create`, where there is none and it may be made; or by
    /// [`Answer`](super::SessionToPlugin::Answer) with a failure: `NOT_READY` where there is none and it is not to be made.
    Want {
        /// The plugin's number for this request. One at a time of a tag.
        request: u32,
        /// The tag: a gate's name as for [`check_gate_name`](super::check_gate_name).
        tag: String,
        /// The type and form that the plugin wants.
        wanted: Wanted,
        /// The share that this plugin offers to make if there is none; `None` if it only waits.
        make: Option<Making>,
        /// This plugin's own time limit for making the share, in milliseconds, after which another plugin makes it. 0 if
        /// it does not offer to make it.
        within: u32,
        /// The version that the plugin already has, from an earlier broker.
        had: Option<VersionName>,
        /// Whether the plugin trusts its peers and so reads persistent shares in the file itself.
        trusts: bool,
    },
    /// The plugin no longer waits for the answer to `Want`, and does not make the share. If this has crossed with `Have`,
    /// it counts as a `Relinquish`, unless the plugin has the share through another request as well.
    Forgo {
        /// The number from `Want`.
        request: u32,
    },
    /// The plugin has the value, of this length. Answered by `Write`, or by `Dropped`; by `Have`, if another plugin has
    /// published on the tag meanwhile: then the share is that plugin's, and the making has ended.
    Make {
        /// The making, from `Create` or `Convert`.
        making: u64,
        /// Bytes of the value, 1 at least.
        len: u64,
    },
    /// The maker has allocated and written all of the memory, and has unmapped it. Answered by `Have`, which may bring a
    /// version that another plugin has published meanwhile, or by `Dropped`. For a twin there is no answer but `Dropped`.
    Written {
        /// The making.
        making: u64,
    },
    /// The making has failed. Answered by nothing.
    GaveUp {
        /// The making.
        making: u64,
        /// What went wrong.
        failure: Failure,
    },
    /// Make a new version of a share, or the first one. A request, answered by `Write`, or by
    /// [`Answer`](super::SessionToPlugin::Answer) with a failure. After `Written` it is answered by `Have`.
    Publish {
        /// The plugin's number for this request.
        request: u32,
        /// The tag.
        tag: String,
        /// Its type, and how the broker keeps it.
        make: Making,
        /// Bytes of the value, 1 at least.
        len: u64,
    },
    /// As `Publish`, with a short value whose bytes are in the record: the broker puts them into sealed memory that it makes
    /// itself. A request, answered by `Have`, or by [`Answer`](super::SessionToPlugin::Answer) with a failure.
    PublishShort {
        /// The plugin's number for this request.
        request: u32,
        /// The tag.
        tag: String,
        /// Its type, and how it is kept.
        make: Making,
        /// The value, 1 byte at least and [`MAX_SHORT`](super::MAX_SHORT) at most.
        value: Vec<u8>,
    },
    /// Send the newest version. A request, answered by `Version`, or by
    /// [`Answer`](super::SessionToPlugin::Answer) with a failure.
    Fetch {
        /// The plugin's number for this request.
        request: u32,
        /// The share, from `Have`.
        share: u64,
        /// The wanted encoding: the version itself, or its twin in JSON.
        encoding: Encoding,
    },
    /// Send a part of the schema of a share that was found to differ. Answered by [`Part`](super::SchemaToPlugin::Part), or by `Answer`
    /// with a failure.
    FetchSchema {
        /// The plugin's number for this request.
        request: u32,
        /// The share.
        share: u64,
        /// The schema, from `Have`.
        schema: u64,
        /// Where the part begins, in bytes from the start of the schema.
        offset: u32,
    },
    /// The plugin no longer uses a superseded version, or a twin, and has unmapped it. If the answer to a `Fetch` brings the
    /// same version after that, the broker charges that version to the bus and not to the plugin.
    Done {
        /// The version.
        version: u64,
    },
    /// The plugin no longer uses a share, and has unmapped all of its versions. It must not send this while a request of its
    /// own about the tag is under way that is answered by `Have`: the two would cross.
    Relinquish {
        /// The share.
        share: u64,
    },
    /// Ask to be told once the state of a tag differs from `seen`. A request, answered by `Changed`, once, or by
    /// [`Answer`](super::SessionToPlugin::Answer) with a failure.
    Watch {
        /// The plugin's number for this request.
        request: u32,
        /// The tag.
        tag: String,
        /// The state that the plugin has seen: the newest version, or `None` if there was no share.
        seen: Option<VersionName>,
    },
    /// End a watch: the broker no longer answers it.
    Unwatch {
        /// The number from `Watch`.
        request: u32,
    },
    /// Return a share to a new broker: this plugin made the newest version that the old broker had. Descriptor: its memory.
    /// A request, answered by `Have` without memory, or by [`Answer`](super::SessionToPlugin::Answer) with a failure:
    /// `ALREADY_PROVIDED` if the tag is taken by now.
    Return {
        /// The plugin's number for this request.
        request: u32,
        /// The tag.
        tag: String,
        /// Its type, and how it is kept.
        make: Making,
        /// The identity of the version.
        name: VersionName,
        /// Bytes of the value.
        len: u64,
    },
    /// Remove a persistent share: plugins that use it keep it, and no plugin finds it from then on. A request, answered by
    /// [`Answer`](super::SessionToPlugin::Answer).
    Remove {
        /// The plugin's number for this request.
        request: u32,
        /// The tag.
        tag: String,
    },
}

/// About shares, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ShareToPlugin {
    /// The plugin is now a user of a share. Descriptors: its page, to be mapped for reading; then, if the types are the same
    /// and the plugin does not have the version already, the version's memory, to be mapped for reading.
    Have {
        /// The number from `Want`, `Publish` or `Return`.
        request: u32,
        /// The share; never used again by this broker.
        share: u64,
        /// Its newest version.
        version: VersionFacts,
        /// Whether it has the type and form that the plugin wants.
        fit: ShareFit,
        /// Whether the version's memory comes along.
        has_memory: bool,
        /// Whether it outlives all plugins and brokers.
        persistent: bool,
    },
    /// The plugin is to make the share that it wants. Answered by `Make`, or by `GaveUp`.
    Create {
        /// The number from `Want`.
        request: u32,
        /// The making; never used again by this broker.
        making: u64,
    },
    /// The plugin is to write a version that it has made as JSON. Answered by `Make`, or by `GaveUp`.
    Convert {
        /// The making; never used again by this broker.
        making: u64,
        /// The version.
        version: u64,
    },
    /// The file for the value. Descriptor: the file, of exactly that size, writable, with no pages allocated. Answered by
    /// `Written`, or by `GaveUp`.
    Write {
        /// The making.
        making: u64,
        /// The number from `Publish`, which has a making from here on; 0 otherwise.
        request: u32,
        /// Bytes of the value.
        len: u64,
    },
    /// A making has ended without a version. Needs no answer.
    Dropped {
        /// The making.
        making: u64,
        /// Why.
        failure: Failure,
    },
    /// A version. Descriptor: its memory, to be mapped for reading.
    Version {
        /// The number from `Fetch`.
        request: u32,
        /// Which.
        version: VersionFacts,
    },
    /// Answers `Watch`: the state of the tag now. The watch has ended.
    Changed {
        /// The number from `Watch`.
        request: u32,
        /// The newest version; `None` where there is no share.
        now: Option<VersionName>,
    },
    /// The plugin is no longer a user of a share, because the policy no longer lets it read it. Its guards stay valid.
    Revoked {
        /// The share.
        share: u64,
        /// Why.
        failure: Failure,
    },
}
