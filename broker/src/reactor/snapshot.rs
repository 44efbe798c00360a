//! Snapshots: what is on the bus at a moment, and what its plugins have counted.

use std::collections::HashMap;
use std::sync::Arc;

use callgate_layout::Encodings;
use callgate_layout::control::BrokerFacts;
use callgate_layout::pages::counters;
use callgate_layout::stats;

use super::Reactor;
use super::listed_shares::add_kept;
use super::listed_topics::ListedTopics;
use super::session::Pages;
use crate::id::PluginId;
use crate::listing::{BrokerEntry, Encoding, GateEntry, LinkEntry, Listing};
use crate::names::is_prefix;
use crate::persistent::Store;
use crate::registry::Shown;
use crate::socket::Listener;

/// A listing without the numbers that are counted in shared memory.
#[derive(Debug)]
pub(super) struct Snapshot {
    listing: Listing,
    /// The pages of each plugin, in the order of the plugins in the listing.
    pages: Vec<Option<Pages>>,
    /// For each plugin, the positions of its gates in the listing, with their records in its status page.
    gates: Vec<Vec<(usize, u16)>>,
    topics: ListedTopics,
    /// The store of persistent shares; it has those that no plugin uses.
    store: Option<Arc<Store>>,
}

impl Snapshot {
    /// Returns the listing with what each plugin has counted until now. Maps each status page once.
    pub(super) fn listing(self) -> Listing {
        let Snapshot {
            mut listing,
            pages,
            gates,
            topics,
            store,
        } = self;
        if let Some(store) = store {
            add_kept(&mut listing.shares, &store);
        }
        topics.read_heads(&mut listing.topics);
        let plugins = listing.plugins.iter_mut().enumerate();
        for (((at, plugin), pages), own) in plugins.zip(pages).zip(gates) {
            // A plugin whose page cannot be mapped is listed without counters.
            let Some(Ok(page)) = pages.map(|pages| pages.read_status()) else {
                continue;
            };
            topics.read_cursors(at, &page, &mut listing.topics);
            let all = counters(&page);
            (plugin.calls, plugin.errors) = (all.calls, all.errors);
            plugin.json_calls = all.json_calls;
            for (at, record) in own {
                let tally = stats::read(&page, record).unwrap_or_default();
                if let Some(gate) = listing.gates.get_mut(at) {
                    (gate.calls, gate.errors) = (tally.calls, tally.errors);
                    gate.json_calls = tally.json;
                    (gate.p50_ns, gate.p99_ns) = (tally.p50, tally.p99);
                }
            }
        }
        listing
    }
}

impl Reactor {
    /// The facts that plugins are told about this broker.
    pub(super) fn facts(&self) -> BrokerFacts {
        let socket = self.listener.as_ref();
        BrokerFacts {
            pid: std::process::id(),
            generation: socket.map_or(1, Listener::generation),
        }
    }

    /// Takes a snapshot of everything that is on the bus now.
    pub(super) fn snapshot(&self) -> Snapshot {
        let BrokerFacts { pid, generation } = self.facts();
        let socket = self.listener.as_ref();
        let broker = BrokerEntry {
            pid,
            version: env!("CARGO_PKG_VERSION").into(),
            socket: socket.map(|listener| listener.address().to_owned()),
            uptime_ms: self.started.elapsed().as_millis() as u64,
            generation,
        };
        let members = || self.bus.members().enumerate();
        let places: HashMap<PluginId, usize> = members().map(|(at, (id, _))| (id, at)).collect();
        let mut records = vec![Vec::new(); places.len()];
        let mut gates = Vec::new();
        for shown in self.bus.registry().shown() {
            let gate = shown.gate;
            if let (Some(owner), Some(record)) = (places.get(&gate.owner), gate.record) {
                records[*owner].push((gates.len(), record));
            }
            gates.push(self.gate_entry(&shown));
        }
        let (topics, listed) = self.list_topics(&places);
        let pages_of = |id| self.sessions.get(&id)?.pages.clone();
        Snapshot {
            pages: members().map(|(_, (id, _))| pages_of(id)).collect(),
            gates: records,
            topics: listed,
            store: self.files.store(),
            listing: Listing {
                broker,
                plugins: self.plugin_entries(pid),
                ended: self.starts.entries(),
                gates,
                shares: self.share_entries(),
                topics,
                links: self.link_entries(),
            },
        }
    }

    fn gate_entry(&self, of: &Shown<'_>) -> GateEntry {
        let gate = of.gate;
        let shown = gate.function.as_ref().or(gate.action.as_ref());
        let mut users = of.users.clone();
        let hear = self.bus.topics().subscriptions_to(of.name);
        users.extend(hear.into_iter().map(|(plugin, _)| plugin));
        GateEntry {
            name: of.name.to_owned(),
            prefix: is_prefix(of.name),
            owner: self.name_of(gate.owner),
            signature: shown.map_or_else(String::new, |shape| shape.signature.clone()),
            action_signature: gate.action.as_ref().map(|shape| shape.signature.clone()),
            fingerprint: shown
                .map_or_else(String::new, |half| format!("{:032x}", half.fingerprint())),
            encodings: shown.map_or_else(Vec::new, |half| encodings(half.encodings)),
            has_function: gate.function.is_some(),
            has_action: gate.action.is_some(),
            subscribers: users.len() as u64,
            json_fallbacks: of.json as u64,
            calls: 0,
            errors: 0,
            json_calls: 0,
            p50_ns: 0,
            p99_ns: 0,
        }
    }

    fn link_entries(&self) -> Vec<LinkEntry> {
        let bytes = 2 * self.settings.limits.geometry.total_len() as u64;
        let links = self.bus.link_ends();
        let entries = links.map(|(id, [a, b])| LinkEntry {
            a: self.name_of(a),
            b: self.name_of(b),
            same_trust_domain: true,
            granted_bytes: bytes + self.bus.extent_bytes(id),
        });
        entries.collect()
    }

    pub(super) fn name_of(&self, plugin: PluginId) -> String {
        let member = self.bus.member(plugin);
        member.map_or_else(String::new, |member| member.identity.name.clone())
    }
}

fn encodings(of: Encodings) -> Vec<Encoding> {
    let all = [
        (callgate_layout::Encoding::Archive, Encoding::Archive),
        (callgate_layout::Encoding::Json, Encoding::Json),
    ];
    let taken = all.into_iter().filter(|(encoding, _)| of.has(*encoding));
    taken.map(|(_, shown)| shown).collect()
}
