//! Records about links: setting one up, what may be called over it, its end.
//!
//! # Setting a link up
//!
//! ```text
//! caller               broker                         provider
//!   | Open ------------> |                                |
//!   | <------------- Map |   Map -----------------------> |   an outbox each, as its writer
//!   | Mapped ----------> | <---------------------- Mapped |   then: no further writable maps
//!   |                    |   Peer, Grant ---------------> |   caller's outbox, as its reader
//!   |                    | <------ Mapped, GrantInstalled |
//!   | <------------ Peer |                                |   provider's outbox, as its reader
//!   | Mapped ----------> |                                |
//!   | <----------- State |                                |   only now can a call be made
//! ```
//!
//! `Open` and `State` are records about [gates](super::GateToBroker). `Map` and `Mapped` are those about
//! [memory](super::MemoryToBroker): the two outboxes go through the same stages as all memory. What
//! differs is how a reader gets its peer's outbox: `Peer` brings it together with the peer's status page,
//! doorbell and process, because a link with a part of its peer is of no use and must not be seen by
//! anybody. The reader answers with `Mapped` when it has installed all four.
//!
//! # Taking a right back
//!
//! ```text
//! broker                              provider
//!   | Revoke ------------------------> |   its table leads nowhere for these indexes, for every call that
//!   | <----------------------- Revoked |   is taken from a ring or made directly from here on
//! ```
//!
//! The change of the policy is confirmed only after `Revoked` ([`LinkToBroker::Revoked`]). If `Revoked` does not come
//! within a step's time, the broker ends the link: that the calls certainly do not run any more must not depend on how
//! busy a provider is. The broker tells the caller as well (`OpenFailed`), and does not wait for it: the provider
//! does not rely on the caller.
//!
//! # Names under a prefix
//!
//! Each name under a prefix that somebody has open is granted by itself, with an index of its own. The
//! provider may have a rule of which names there are, and says for each grant whether that name is one:
//!
//! ```text
//! caller               broker                              provider
//!   | Open{a.b} -------> |   Grant{a.b} -----------------> |   provides `a.`, and there is no a.b
//!   | <---- State{absent} | <----------------- NotProvided |   the index is free again
//! ```
//!
//! # When all callers have closed a name
//!
//! An index is free again when the last open gate of its name on its link was closed and the provider has
//! said that it refuses calls under it: `Close`, then `Revoke` and `Revoked`. Nobody waits for that, so it has no
//! deadline: while the provider is stopped the broker does not give these indexes again, and other calls over the
//! link go on. A side is sent one such `Revoke` at a time; names closed meanwhile go with the next. An open
//! that comes meanwhile gets another index, and fails where all are taken. If the policy forbids a gate while its index
//! is being taken back in this way, a step's time begins, as if the broker had sent `Revoke` then.
//!
//! # Links of an older broker
//!
//! Links go on without a broker, so the plugin that takes calls over old links tells a new broker of them
//! ([coming back](super::SessionToBroker)):
//!
//! ```text
//! plugin                              broker
//!   | Standing ----------------------> |   the peer's name, and the gates that it may call
//!   | <------------------------ Refuse |   at once, also where nothing is to be refused
//!   | Refused -----------------------> |
//!   |                                  |   (the policy changes)
//!   | <------------------------ Refuse |   what is newly forbidden; not sent where that is nothing
//!   | Refused -----------------------> |   whoever changed the policy waits for this
//!   | Drained -----------------------> |   the broker forgets all that stands
//! ```
//!
//! A `Standing` names as many gates as fit a record; the others go into another `Standing`, with another
//! number and the same peer. The broker judges each gate by the two names: whether the policy lets the peer
//! take part and call it, and this plugin provide it. Whether another plugin provides the gate by now is
//! not judged here: this plugin learns that from [`Lost`](super::GateToPlugin::Lost). A refusal stands until
//! the link is gone, also where the policy grants the right again.
//!
//! What each side can do wrong:
//!
//! | who | does | what happens |
//! |---|---|---|
//! | plugin | names a peer or gates that there never were | it is told what the policy says of them |
//! | plugin | uses a number of `Standing` twice, or names what cannot be a plugin's or a gate's name | its session ends (`PROTOCOL`) |
//! | plugin | names more than 65,536 gates in its session, where a `Standing` without any counts as one | its session ends (`OVERLOADED`) |
//! | plugin | does not say `Refused` in a step's time | it is logged; who changed the policy is told its name |
//! | plugin | says `Refused` late, or after `Drained` | nothing: it is taken |
//! | plugin | says `Refused` for what it was not told, or once more | its session ends (`PROTOCOL`) |
//! | broker | sends `Refuse` for a number that was never said | nothing: the plugin ignores it |
//! | either | does not answer a step in its time | the link ends, what was open over it is refused (`TIMEOUT`); sessions and other links stay |
//! | either | cannot map what it was sent | `Failed` ([memory](super::MemoryToBroker::Failed)); the link ends, and is tried again later |
//! | provider | does not install a grant on a link in use | who waits for that grant is refused; the link stays, and a late answer is taken |
//! | provider | does not acknowledge `Revoke` of what the policy forbids in a step's time | the link ends, as with any step; who changed the policy is told its name |
//! | provider | does not acknowledge `Revoke` of what was closed | its indexes are not given again on that link, and nothing more of what is closed is revoked |
//! | provider | acknowledges `Revoke` late, or after its link has ended | nothing: it is taken |
//! | provider | acknowledges and does not refuse | nobody can tell: it runs its own handlers |
//! | provider | says `NotProvided` of a gate that it provides itself, and not under a prefix | nothing but that: the gate is absent to that caller until it opens it again |
//! | caller | calls under an index after its close | refused; or, where the index was given away meanwhile, that other gate, which it may call |
//! | caller | opens and closes names faster than its provider says `Revoked` | when 65,536 indexes are taken, opening fails (`OVERLOADED`) |
//! | provider | dies | nothing is left that could be called: it is not waited for any more |
//! | either | answers twice, for the other side, or what it was not asked | its session ends (`PROTOCOL`) |
//! | either | names a link that there never was, or of which it has no end | its session ends (`PROTOCOL`) |
//! | either | answers for a link that has ended meanwhile | nothing: the two have crossed |
//! | either | gives the link up | the other side hears `Gone`; with `SYSTEM` it is tried again later |
//! | either | dies | `Gone` to the other side, which may have seen the process end before |
//! | broker | dies | links that are up go on; both sides drop the others |

// The fields of archived enum variants are made by a derive that leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

use super::facts::{Failure, LinkEnd, PeerInfo};
use crate::geometry::Geometry;

/// About a link, from a plugin to the broker.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum LinkToBroker {
    /// A grant is in force: calls for it are answered.
    GrantInstalled {
        /// This side.
        end: LinkEnd,
        /// The grant.
        index: u16,
    },
    /// In place of `GrantInstalled`: the plugin provides no gate of that name under its prefix. Nothing is
    /// under this index.
    NotProvided {
        /// This side.
        end: LinkEnd,
        /// The grant.
        index: u16,
    },
    /// This side refuses the indexes of a `Revoke`: no call that arrives from here on runs under them.
    Revoked {
        /// This side.
        end: LinkEnd,
        /// The number from `Revoke`.
        number: u64,
    },
    /// The peer at the other end of a link of an older broker may call these gates of this plugin.
    /// Answered by [`LinkToPlugin::Refuse`].
    Standing {
        /// The plugin's number for this record; never used again in a session.
        number: u32,
        /// The peer's name, as the older broker told it.
        peer: String,
        /// The gates.
        gates: Vec<String>,
    },
    /// This side refuses the gates that a `Refuse` named: no call of them that arrives over the old link from here on
    /// runs.
    Refused {
        /// The number from `Standing`.
        number: u32,
    },
    /// This side gives the link up, in whatever stage it is.
    Failed {
        /// This side.
        end: LinkEnd,
        /// What went wrong.
        failure: Failure,
    },
}

/// About a link, from the broker to a plugin.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum LinkToPlugin {
    /// The other side of the link. Descriptors: its outbox and status page, to be mapped for
    /// reading; its doorbell, to be mapped for writing; its process. Answered by `Mapped` or `Failed`
    /// for its outbox.
    Peer {
        /// This side.
        end: LinkEnd,
        /// The plugin on the other side.
        peer: PeerInfo,
        /// How both outboxes of the link are laid out. Their length is the one that `Map` said.
        geometry: Geometry,
    },
    /// The other side may call a gate of this plugin under this index. Calls in archives must have the types named
    /// here; a half without a fingerprint may not be called under the index. Calls as JSON carry their types in
    /// themselves. Answered by `GrantInstalled`, or by `NotProvided`.
    Grant {
        /// This side.
        end: LinkEnd,
        /// The index by which envelopes name the gate.
        index: u16,
        /// The gate; under a prefix, the name that was opened.
        gate: String,
        /// The fingerprint of its function, if it has one.
        function: Option<u128>,
        /// The fingerprint of its action, if it has one.
        action: Option<u128>,
    },
    /// The other side may not call some gates any more, or has closed them: this side refuses its calls under these
    /// indexes from now on. Answered by `Revoked`, also where this side has dropped the link.
    Revoke {
        /// This side.
        end: LinkEnd,
        /// The broker's number for this record; never used again in a session.
        number: u64,
        /// The indexes.
        indexes: Vec<u16>,
    },
    /// Some of the gates of a `Standing` may not be called any more over that old link: the plugin refuses calls of
    /// them from now on. Answered by `Refused`, also where the record names no gate, the old link is gone, or the
    /// plugin has sent `Drained`.
    Refuse {
        /// The number from `Standing`.
        number: u32,
        /// The refused gates, as positions in the `gates` of `Standing`.
        gates: Vec<u16>,
    },
    /// The link has ended; all of its memory is to be unmapped. Needs no answer.
    Gone {
        /// This side.
        end: LinkEnd,
        /// Why.
        failure: Failure,
    },
}
