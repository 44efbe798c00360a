//! The bus as a state machine without I/O: plugins, gates, links and their memory. Records and
//! deadlines go in, [`Effect`]s come out.
//!
//! Records are handled by subject: `session`, `gates`, `links`, `memory`, `waits`, `schemas`, `sources`, `feeds`, `cells`, `shares`. The
//! other files: `subscriptions` finds the sources for a subscription, `extents` and `charges` have what only extents have of the life of
//! memory, `rings` the memory of events, `late` handles plugins that do not acknowledge in time, `rights` what policies forbid, `revoked`
//! revocations that are not acknowledged yet, `old_links` calls over links of an older broker, `retries` feeds that could not be set up,
//! `syncs` plugins that ask how a gate stands.

mod cells;
mod charges;
mod extents;
mod feeds;
mod gates;
mod late;
mod links;
mod member;
mod memory;
mod old_links;
mod provided;
mod retries;
mod revoked;
mod rights;
mod rings;
mod schemas;
mod session;
mod shares;
mod sources;
mod subscriptions;
mod syncs;
#[cfg(test)]
mod tests;
mod waits;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use callgate_layout::control::{Failure, MemoryId, PluginLimits, ToBroker, ToPlugin};
use callgate_layout::{Code, Geometry};

use crate::asked::Asked;
use crate::cells::Cells;
use crate::deadlines::Deadlines;
use crate::effect::Effect;
use crate::id::PluginId;
use crate::lines::Lines;
use crate::link::Link;
use crate::memory::AnyMemory;
use crate::policy::Policies;
use crate::quota::TokenBucket;
use crate::registry::Registry;
use crate::schemas::Known;
use crate::shares::Shares;
use crate::topics::{Listens, SourceLines, Topics};
use crate::waits::Waits;
use charges::Charges;
use extents::Extent;
pub(crate) use member::Member;
use retries::{Pair, Retries};
use revoked::Revocations;
use rings::Ring;

/// Whether a record counts against its sender's rate of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// It does not: an acknowledgement that the broker has asked for, a question that waits for its turn, the close of something open, or
    /// what a plugin says when it comes back. Their number is limited by what there is.
    Expected,
    /// A request: it counts.
    Charged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Awaited {
    Status(PluginId),
    Link(u64),
    /// Memory that has a deadline of its own: an extent, a ring of events, a cell, or a version of a share that is being sealed.
    Memory(AnyMemory),
    /// The maker of a version has to take its next step; for a twin also the end of the maker's rest.
    Making(u64),
    /// From then on the next writer may allocate an extent.
    Turn,
    /// From then on a link between these two may be tried again, because the kernel may have memory again.
    Retry(PluginId, PluginId),
    /// From then on the next plugin may be told how an open gate stands.
    Sync,
    /// The acknowledgement of this `Revoke` or `Refuse`.
    Revoked(u64),
    /// The answers of the plugins that were asked, in this round, whether their waits still stand.
    Round(u64),
    /// From then on waits are looked at again.
    Looks,
    /// The listeners for which a source waits before its plugin may send.
    Listeners(u64),
    /// From then on a feed that could not be set up is tried again.
    Feed(Pair),
}

/// The first numbers that this bus gives. Lower ones were given by brokers before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct First {
    pub(crate) link: u64,
    /// For lives of gates.
    pub(crate) life: u64,
    /// For sources, feeds and rings of events.
    pub(crate) event: u64,
    /// For shares, versions and makings.
    pub(crate) share: u64,
}

/// The state of the bus.
#[derive(Debug)]
pub(crate) struct Bus {
    limits: PluginLimits,
    step: Duration,
    members: BTreeMap<PluginId, Member>,
    names: HashMap<String, PluginId>,
    registry: Registry,
    schemas: Known,
    lines: Lines,
    topics: Topics,
    source_lines: SourceLines,
    listens: Listens,
    rings: BTreeMap<u64, Ring>,
    feed_retries: Retries,
    cells: Cells,
    shares: Shares,
    /// Why this broker cannot keep persistent shares; `None` if it can.
    no_files: Option<String>,
    links: BTreeMap<u64, Link>,
    /// Length of an outbox in bytes.
    outbox_len: u32,
    extents: BTreeMap<MemoryId, Extent>,
    charges: Charges,
    /// Extents for which there is no room yet, in the order in which plugins asked for them.
    waiting: Vec<MemoryId>,
    /// Extents that their writers are allocating, each with the time at which the next writer may begin at the latest.
    allocating: Vec<(MemoryId, Instant)>,
    /// How many writers may allocate at once before others have to wait.
    turns: usize,
    pairs: HashMap<(PluginId, PluginId), u64>,
    of_plugin: HashMap<PluginId, Vec<u64>>,
    first_link: u64,
    next_link: u64,
    /// Plugins that have let a deadline of a link pass and have given no sign of life since. Each with the pairs of plugins that are to be
    /// linked when it gives one.
    silent: HashMap<PluginId, BTreeSet<(PluginId, PluginId)>>,
    /// The delay before the next attempt after a link between these two plugins fails again.
    retries: HashMap<(PluginId, PluginId), Duration>,
    policies: Policies,
    revocations: Revocations,
    /// Plugins that wait to be told how an open gate stands.
    asked: Asked,
    syncs: Option<TokenBucket>,
    waits: Waits,
    /// When waits are looked at again; `None` means at once.
    looks_from: Option<Instant>,
    deadlines: Deadlines<Awaited>,
    effects: VecDeque<Effect>,
}

impl Bus {
    pub(crate) fn new(limits: PluginLimits, step: Duration, first: First) -> Bus {
        Bus {
            limits,
            step,
            members: BTreeMap::new(),
            names: HashMap::new(),
            registry: Registry::new(first.life),
            schemas: Known::new(),
            lines: Lines::default(),
            topics: Topics::new(first.event),
            source_lines: SourceLines::default(),
            listens: Listens::default(),
            rings: BTreeMap::new(),
            feed_retries: Retries::default(),
            cells: Cells::default(),
            shares: Shares::new(first.share),
            no_files: Some("nobody keeps files".into()),
            links: BTreeMap::new(),
            outbox_len: Geometry::DEFAULT.total_len() as u32,
            extents: BTreeMap::new(),
            charges: Charges::new(),
            waiting: Vec::new(),
            allocating: Vec::new(),
            turns: usize::MAX,
            pairs: HashMap::new(),
            of_plugin: HashMap::new(),
            first_link: first.link,
            next_link: first.link,
            silent: HashMap::new(),
            retries: HashMap::new(),
            policies: Policies::default(),
            revocations: Revocations::default(),
            asked: Asked::default(),
            syncs: None,
            waits: Waits::default(),
            looks_from: None,
            deadlines: Deadlines::new(),
            effects: VecDeque::new(),
        }
    }

    /// Sets the geometry of outboxes, and with it their length.
    pub(crate) fn lay_out_outboxes(&mut self, geometry: Geometry) {
        self.outbox_len = geometry.total_len() as u32;
    }

    /// Sets how many MiB the extents of all plugins may have together, in which units the kernel gives memory to each, and how many plugins
    /// may allocate at a time.
    pub(crate) fn limit_extents(&mut self, mib: u32, unit_mib: u32, turns: usize) {
        self.charges.limit(mib, unit_mib);
        self.turns = turns.max(1);
    }

    /// The living plugin of this name.
    pub(crate) fn holder(&self, name: &str) -> Option<PluginId> {
        self.names.get(name).copied()
    }

    pub(crate) fn member(&self, plugin: PluginId) -> Option<&Member> {
        self.members.get(&plugin)
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = (PluginId, &Member)> {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn topics(&self) -> &Topics {
        &self.topics
    }

    pub(crate) fn cells(&self) -> &Cells {
        &self.cells
    }

    /// All links, each with its two plugins.
    pub(crate) fn link_ends(&self) -> impl Iterator<Item = (u64, [PluginId; 2])> {
        self.links
            .iter()
            .map(|(id, link)| (*id, [link.plugin(0), link.plugin(1)]))
    }

    /// The limits of a plugin, with those that its policy sets.
    pub(crate) fn limits_of(&self, plugin: PluginId) -> PluginLimits {
        self.policies.limits(&self.name_of(plugin), self.limits)
    }

    /// Handles a record from a plugin that was admitted. `Err` is the failure that ends its session.
    pub(crate) fn record(
        &mut self,
        from: PluginId,
        record: ToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        if !self.has_begun(from)? {
            return self.begin(from, &record);
        }
        let answers = late::is_acknowledgement(&record);
        let weight = match record {
            ToBroker::Session(record) => self.session_record(from, record),
            ToBroker::Gate(record) => self.gate_record(from, record, now),
            ToBroker::Link(record) => self.link_record(from, record, now),
            ToBroker::Memory(record) => self.memory_record(from, record, now),
            ToBroker::Wait(record) => self.wait_record(from, record, now),
            ToBroker::Schema(record) => self.schema_record(from, record),
            ToBroker::Source(record) => self.source_record(from, record, now),
            ToBroker::Feed(record) => self.feed_record(from, record, now),
            ToBroker::Cell(record) => self.cell_record(from, record, now),
            ToBroker::Share(record) => self.share_record(from, record, now),
        }?;
        if answers {
            self.answers(from, now);
        }
        Ok(weight)
    }

    /// When [`Bus::expire`] has to be called at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Handles all deadlines that have passed.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(awaited) = self.deadlines.pop(now) {
            match awaited {
                Awaited::Status(plugin) => self.late(plugin, "map its status page"),
                Awaited::Link(link) => self.link_is_late(link, now),
                Awaited::Memory(memory) => self.memory_is_late(memory, now),
                Awaited::Turn => self.begin_waiting(now),
                Awaited::Retry(a, b) => self.refresh_between([a, b], now),
                Awaited::Sync => self.answer_next(now),
                Awaited::Revoked(number) => self.revocation_is_late(number),
                Awaited::Round(round) => self.round_is_late(round, now),
                Awaited::Looks => self.look_at_waits(now),
                Awaited::Listeners(source) => self.offered(source),
                Awaited::Feed(pair) => self.find_anew(pair, now),
                Awaited::Making(making) => self.maker_is_late(making, now),
            }
        }
    }

    fn late(&mut self, plugin: PluginId, what: &str) {
        self.late_within(plugin, what, self.step);
    }

    fn late_within(&mut self, plugin: PluginId, what: &str, time: Duration) {
        let message = format!("the plugin did not {what} within {time:?}");
        let failure = Failure::new(Code::Timeout, message);
        self.effects.push_back(Effect::End(plugin, failure));
    }

    /// Takes the next effect out, for the shell to carry out.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Queues an effect that the plugin has to acknowledge.
    fn ask(&mut self, plugin: PluginId, effect: Effect) {
        if let Some(member) = self.members.get_mut(&plugin) {
            member.owed = member.owed.saturating_add(1);
        }
        self.effects.push_back(effect);
    }

    /// Counts an acknowledgement, even if the link that it is about has ended. It is not charged to the plugin's rate, because other
    /// plugins end links as often as they like.
    fn acknowledged(&mut self, plugin: PluginId) -> Result<Weight, Failure> {
        let member = self.members.get_mut(&plugin);
        let owed = member.and_then(|member| {
            member.owed = member.owed.checked_sub(1)?;
            Some(Weight::Expected)
        });
        owed.ok_or_else(|| protocol("it acknowledged more than it was sent"))
    }

    fn send(&mut self, to: PluginId, record: impl Into<ToPlugin>) {
        self.effects.push_back(Effect::Send(to, record.into()));
    }

    fn name_of(&self, plugin: PluginId) -> String {
        let member = self.members.get(&plugin);
        member.map_or_else(String::new, |member| member.identity.name.clone())
    }

    fn label_of(&self, plugin: PluginId) -> String {
        let member = self.members.get(&plugin);
        member.map_or_else(|| "a plugin".into(), Member::label)
    }
}

/// The failure that ends the session of a plugin that has broken the protocol.
pub(crate) fn protocol(what: &str) -> Failure {
    Failure::new(
        Code::Protocol,
        format!("the plugin broke the protocol: {what}"),
    )
}
