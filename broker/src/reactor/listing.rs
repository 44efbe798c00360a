//! Putting a listing together.

use callgate_layout::tally::Tally;

use crate::listing::{
    BrokerEntry, GateEntry, LinkEntry, Listing, PluginEntry, PluginState, Transport,
};
use crate::registry::{Gate, PluginId};

use super::Reactor;

impl Reactor {
    /// Everything on the bus now.
    pub(super) fn listing(&self) -> Listing {
        let (pid, socket) = (std::process::id(), self.listener.as_ref());
        let broker = BrokerEntry {
            pid,
            version: env!("CARGO_PKG_VERSION").into(),
            socket: socket.map(|listener| listener.address().to_owned()),
            uptime_ms: self.started.elapsed().as_millis() as u64,
            generation: socket.map_or(1, |listener| listener.generation()),
        };
        let gates = self.bus.registry().gates();
        Listing {
            broker,
            plugins: self.plugin_entries(pid),
            ended: self.starts.entries(),
            gates: gates
                .map(|(name, gate, users)| self.gate_entry(name, gate, users))
                .collect(),
            shares: Vec::new(),
            topics: Vec::new(),
            links: self.link_entries(),
        }
    }

    fn plugin_entries(&self, own_pid: u32) -> Vec<PluginEntry> {
        let members = self.bus.members();
        let entries = members.map(|(id, member)| {
            let session = self.sessions.get(&id);
            let pages = session.and_then(|session| session.pages.as_ref());
            let counters = pages.and_then(|pages| pages.counters().ok());
            let counters = counters.unwrap_or_default();
            PluginEntry {
                name: member.identity.name.clone(),
                display_name: member.identity.display_name.clone(),
                version: member.identity.version.clone(),
                pid: member.pid,
                transport: match member.pid == own_pid {
                    true => Transport::InProcess,
                    false => Transport::Shm,
                },
                state: match member.ready {
                    true => PluginState::Ready,
                    false => PluginState::Starting,
                },
                restarts: 0,
                calls: counters.calls,
                errors: counters.errors,
            }
        });
        let entries = entries.chain(self.starting_entries());
        entries.collect()
    }

    /// What the broker started and has not said hello.
    fn starting_entries(&self) -> impl Iterator<Item = PluginEntry> {
        let sessions = self.sessions.values();
        let starting = sessions.filter(|session| self.bus.member(session.id).is_none());
        starting.filter_map(|session| {
            let name = session.expected.name.clone()?;
            Some(PluginEntry {
                display_name: name.clone(),
                name,
                version: String::new(),
                pid: session.pid,
                transport: Transport::Shm,
                state: PluginState::Starting,
                restarts: 0,
                calls: 0,
                errors: 0,
            })
        })
    }

    fn gate_entry(&self, name: &str, gate: &Gate, users: usize) -> GateEntry {
        let tally = self.tally(gate).unwrap_or_default();
        let shown = gate.function.as_ref().or(gate.action.as_ref());
        GateEntry {
            name: name.to_owned(),
            owner: self.name_of(gate.owner),
            signature: shown.map_or_else(String::new, |shape| shape.signature.clone()),
            action_signature: gate.action.as_ref().map(|shape| shape.signature.clone()),
            fingerprint: shown
                .map_or_else(String::new, |shape| format!("{:032x}", shape.fingerprint)),
            has_function: gate.function.is_some(),
            has_action: gate.action.is_some(),
            subscribers: users as u64,
            json_fallbacks: 0,
            calls: tally.calls,
            errors: tally.errors,
            p50_ns: tally.p50,
            p99_ns: tally.p99,
        }
    }

    /// What a gate's owner has counted of it.
    fn tally(&self, gate: &Gate) -> Option<Tally> {
        let record = gate.record?;
        let pages = self.sessions.get(&gate.owner)?.pages.as_ref()?;
        pages.tally(record).ok()?
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

    fn name_of(&self, plugin: PluginId) -> String {
        let member = self.bus.member(plugin);
        member.map_or_else(String::new, |member| member.identity.name.clone())
    }
}
