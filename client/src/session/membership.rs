//! A membership: what a plugin is on one bus. It has its number there, its pages, its links and the connection to
//! the broker. The links outlive the connection, and the plugin outlives its memberships (docs/decisions/0021).

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use callgate_layout::control::{
    Failure, LinkEnd, LinkToBroker, MemoryId, MemoryToBroker, PluginLimits, SchemaSource,
    ShareToBroker, ToBroker,
};
use callgate_layout::sys::fork::ForkMark;
use parking_lot::Mutex;

use super::cells::ToldCells;
use super::connection::{Connection, Returned};
use super::events::feeds::Followed;
use super::events::sources::{Offered, Placed};
use super::here::Here;
use super::numbers::MembershipId;
use super::open_gates::OpenGates;
use super::shares::asked::Asked;
use crate::base::error::{Error, Result, forked};
use crate::events::feeds::Tell;
use crate::link::Link;
use crate::link::own_memory::{ExtentSource, OwnMemory};
use crate::link::peer::Caller;
use crate::serve::changes::Changes;
use crate::serve::limits::Owner;
use crate::serve::linked::LinkedGates;
use crate::serve::outstanding::Outstanding;
use crate::serve::provided::{Offer, ProvidedGates};
use crate::shares::used::TellsBroker;

/// How many gates one record (`Standing`) names at most; their names have 256 bytes at most.
const MOST_STANDING: usize = 200;

/// A plugin on one bus.
pub(crate) struct Membership {
    pub(crate) id: MembershipId,
    /// This plugin, as its peers know it.
    pub(crate) me: Arc<Caller>,
    /// The bus's number, drawn at random by its broker.
    pub(crate) bus: u64,
    pub(crate) limits: PluginLimits,
    pub(crate) memory: Arc<OwnMemory>,
    /// The gates that its peers may call.
    pub(crate) provided: Arc<LinkedGates>,
    pub(crate) connection: Connection,
    /// The topics that its broker has registered for the plugin.
    pub(crate) sources: Placed,
    /// What its broker has said about the topics that the plugin hears.
    pub(crate) followed: Followed,
    /// The cells that its broker was told of.
    pub(crate) cells: ToldCells,
    /// The questions about shares that its broker was asked.
    pub(crate) shares: Asked,
    pub(crate) links: Mutex<HashMap<LinkEnd, Arc<Link>>>,
    gates: Arc<OpenGates>,
    /// What the broker was told about links of older brokers; the index is the number in that record.
    standing: Mutex<Vec<Standing>>,
    fork: ForkMark,
    _here: Here,
}

/// The gates that a peer may call over a link of an older broker.
struct Standing {
    membership: Weak<Membership>,
    end: LinkEnd,
    gates: Vec<Arc<str>>,
}

/// Arguments of [`Membership::new`].
pub(crate) struct MembershipParts {
    pub(crate) me: Caller,
    pub(crate) bus: u64,
    pub(crate) limits: PluginLimits,
    pub(crate) memory: OwnMemory,
    pub(crate) connection: Connection,
    /// What the dispatcher reads to notice changes, and the calls that are left to be answered later.
    pub(crate) serving: (Arc<Changes>, Arc<Outstanding>),
}

impl MembershipParts {
    /// The plugin to which the limits of gates belong in this membership.
    pub(super) fn owner(&self) -> Owner {
        Owner {
            bus: self.bus,
            plugin: self.me.plugin(),
            bell: self.memory.bell.clone(),
            outstanding: self.serving.1.clone(),
        }
    }
}

impl Membership {
    /// A membership of a plugin that provides and has opened these gates.
    pub(super) fn new(
        parts: MembershipParts,
        (provided, gates): (&Arc<ProvidedGates>, &Arc<OpenGates>),
    ) -> Membership {
        let owner = parts.owner();
        let (me, memory) = (Arc::new(parts.me), Arc::new(parts.memory));
        let (changes, _) = parts.serving;
        let provided = LinkedGates::new(provided, &memory, (changes, owner));
        Membership {
            _here: Here::new(parts.bus, &me, provided.gates()),
            id: MembershipId::next(),
            me,
            bus: parts.bus,
            limits: parts.limits,
            memory,
            provided,
            connection: parts.connection,
            sources: Placed::default(),
            followed: Followed::default(),
            cells: ToldCells::default(),
            shares: Asked::default(),
            links: Mutex::default(),
            gates: gates.clone(),
            standing: Mutex::default(),
            fork: ForkMark::here(),
        }
    }

    /// A function that has the dispatcher look at the plugin's feeds.
    pub(super) fn tell_of_feeds(&self) -> Tell {
        let provided = Arc::downgrade(&self.provided);
        Box::new(move || {
            if let Some(provided) = provided.upgrade() {
                provided.feeds_changed();
            }
        })
    }

    /// Sends a record; see [`Connection::send`].
    pub(crate) fn send(&self, record: &ToBroker) -> Result<()> {
        self.check_here()?;
        self.connection.send(record)
    }

    /// Fails in a forked child: the plugin belongs to its parent.
    fn check_here(&self) -> Result<()> {
        match self.fork.is_here() {
            true => Ok(()),
            false => Err(forked()),
        }
    }

    pub(crate) fn add_link(&self, link: &Arc<Link>) {
        self.links.lock().insert(link.end(), link.clone());
        self.provided.add_link(link.clone());
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.links.lock().values().cloned().collect()
    }

    pub(crate) fn link(&self, end: LinkEnd) -> Option<Arc<Link>> {
        self.links.lock().get(&end).cloned()
    }

    /// Whether a link belongs to this membership and has not ended.
    pub(crate) fn has_link(&self, link: &Link) -> bool {
        let links = self.links.lock();
        let its = links.get(&link.end());
        its.is_some_and(|its| std::ptr::eq(&**its, link))
    }

    /// Ends a link: its calls fail, its gates become absent, and its memory is unmapped when the last call has
    /// returned.
    pub(crate) fn end_link(&self, end: LinkEnd, reason: &Error) {
        let Some(link) = self.links.lock().remove(&end) else {
            return;
        };
        // The gates change first: a thread that sees the end of the link and then waits for the gate must not find
        // the old state.
        for (_, gate) in self.gates.all() {
            gate.lose(&link, self.id);
        }
        link.end_with(reason.clone());
        self.provided.remove_link(&link);
    }

    /// Ends a link whose peer broke the protocol, and tells the broker.
    pub(crate) fn break_link(&self, end: LinkEnd, error: &Error) {
        tracing::warn!(%error, "a link is closed");
        self.end_link(end, error);
        let failure = Failure::new(error.code(), error.message());
        let _ = self.send(&LinkToBroker::Failed { end, failure }.into());
    }

    /// Tells the broker of this membership about the links of an older one: which peer may call which gates over
    /// them.
    pub(super) fn tell_standing(&self, older: &Arc<Membership>) -> Result<()> {
        for peer in older.provided.peers() {
            let gates = peer.gates();
            // A link over which nothing may be called is told as well, so that the broker knows of it.
            let mut parts: Vec<&[Arc<str>]> = gates.chunks(MOST_STANDING).collect();
            if parts.is_empty() {
                parts.push(&[]);
            }
            for gates in parts {
                let standing = Standing {
                    membership: Arc::downgrade(older),
                    end: peer.link().end(),
                    gates: gates.to_vec(),
                };
                let number = {
                    let mut all = self.standing.lock();
                    all.push(standing);
                    (all.len() - 1) as u32
                };
                let standing = LinkToBroker::Standing {
                    number,
                    peer: peer.link().peer().name().to_owned(),
                    gates: gates.iter().map(|gate| gate.to_string()).collect(),
                };
                self.send(&standing.into())?;
            }
        }
        Ok(())
    }

    /// Revokes gates of an older link that the broker does not grant. Returns whether the broker was told of such a
    /// link.
    pub(crate) fn refuse(&self, number: u32, gates: &[u16]) -> bool {
        let all = self.standing.lock();
        let Some(standing) = all.get(number as usize) else {
            return false;
        };
        let named = gates
            .iter()
            .filter_map(|at| standing.gates.get(usize::from(*at)));
        let (named, end): (Vec<_>, _) = (named.cloned().collect(), standing.end);
        let membership = standing.membership.upgrade();
        drop(all);
        if let Some(membership) = membership.filter(|_| !named.is_empty()) {
            membership.provided.revoke_gates(end, &named);
        }
        true
    }

    /// Provides one half of a gate again, in the same life, if the broker's socket has room. The control thread
    /// handles the answer.
    pub(super) fn provide_again(
        &self,
        (offer, life): (&Offer, u64),
        schema: SchemaSource,
    ) -> Result<bool> {
        let returned = Returned::Gate(offer.clone());
        let request = self.connection.number_of_return(returned);
        let record = offer.record((request, Some(life)), schema);
        let sent = self.send_if_room(&record.into())?;
        if !sent {
            self.connection.forget_return(request);
        }
        Ok(sent)
    }

    /// Offers a topic again, if the broker's socket has room. The control thread handles the answer.
    pub(super) fn offer_again(
        &self,
        (offered, word): (&Arc<Offered>, u16),
        schema: SchemaSource,
    ) -> Result<bool> {
        let returned = Returned::Topic(offered.clone());
        let request = self.connection.number_of_return(returned);
        // The broker may ask for rings before it answers, so the source has to be known.
        self.sources.offering(request, offered);
        let record = offered.record((request, word), (schema, true));
        let sent = self.send_if_room(&record.into())?;
        if !sent {
            self.connection.forget_return(request);
            self.sources.remove(offered);
        }
        Ok(sent)
    }

    /// Sends a record if the broker's socket has room for it now. Returns whether it had.
    pub(super) fn send_if_room(&self, record: &ToBroker) -> Result<bool> {
        self.check_here()?;
        self.connection.send_if_room(record)
    }

    /// Ends the connection; links go on. It is also shut down, so that the broker sees the end even if this side
    /// gave it up: then the plugin's name is free for the next connection.
    pub(super) fn disconnected(&self, reason: &Error) {
        self.ended(reason);
        self.connection.shut_down();
    }

    /// Ends the connection on this side only.
    pub(super) fn ended(&self, reason: &Error) {
        self.connection.end(reason);
        self.shares.end(reason);
        self.followed.disconnected();
        // Wakes callers that wait for an extent which the broker will not make any more.
        for link in self.links() {
            link.extents().forget_wanted();
            link.wake_waiting();
        }
    }

    /// Ends all links.
    pub(super) fn end_links(&self, reason: &Error) {
        let ends: Vec<_> = self.links.lock().keys().copied().collect();
        for end in ends {
            self.end_link(end, reason);
        }
    }
}

impl TellsBroker for Membership {
    fn tell(&self, record: ShareToBroker) {
        if self.fork.is_here() {
            // A broker that has ended has forgotten it anyway.
            let _ = self.connection.send_in_order(&record.into());
        }
    }
}

impl ExtentSource for Membership {
    fn check_alive(&self) -> Result<()> {
        self.connection.check_alive()
    }

    fn want(&self, end: LinkEnd, number: u8, len: u32) -> Result<()> {
        self.check_here()?;
        let memory = MemoryId::Extent { end, number };
        self.connection
            .try_send(&MemoryToBroker::Want { memory, len }.into())
    }

    fn return_extent(&self, end: LinkEnd, number: u8) -> Result<()> {
        self.check_here()?;
        let memory = MemoryId::Extent { end, number };
        self.connection
            .try_send(&MemoryToBroker::Return { memory }.into())
    }
}
