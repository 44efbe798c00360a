//! The bus as a state machine without I/O: plugins, gates and links. Records and deadlines go
//! in, [`Effect`]s come out.

mod charges;
mod extents;
mod gates;
mod late;
mod links;
mod rights;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, Identity, LinkEnd, PluginLimits, ToBroker, ToPlugin};

use crate::clocks::SeenClock;
use crate::deadlines::Deadlines;
use crate::effect::Effect;
use crate::link::Link;
use crate::policy::Policies;
use crate::quota::Quota;
use crate::registry::{PluginId, Registry};
use charges::Charges;
use extents::Extent;

pub(crate) use extents::ExtentId;

/// A plugin that said hello.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) identity: Identity,
    pub(crate) pid: u32,
    /// By which its calls have their deadlines.
    clock: SeenClock,
    /// Whether its status page is in order; only then may it ask for anything.
    pub(crate) ready: bool,
    gates: Quota,
    opens: Quota,
    links: Quota,
    extents: Quota,
    /// Whether it came only for listings.
    pub(crate) inspects: bool,
    /// Records that it was or will be sent and has to acknowledge.
    owed: u32,
}

impl Member {
    /// The plugin in a sentence.
    pub(crate) fn label(&self) -> String {
        format!("plugin `{}` (pid {})", self.identity.name, self.pid)
    }
}

/// What a record counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// An acknowledgement that was asked for: nobody can send more of these than there are.
    Expected,
    /// A request.
    Charged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Awaited {
    Status(PluginId),
    Link(u64),
    Extent(LinkEnd, u8),
    /// The next writer may allocate.
    Turn,
    /// The kernel may have memory again for a link between these two.
    Memory(PluginId, PluginId),
}

/// Plugins, gates and links.
#[derive(Debug)]
pub(crate) struct Bus {
    limits: PluginLimits,
    step: Duration,
    members: BTreeMap<PluginId, Member>,
    names: HashMap<String, PluginId>,
    registry: Registry,
    links: BTreeMap<u64, Link>,
    extents: BTreeMap<ExtentId, Extent>,
    charges: Charges,
    /// Extents for which there is no room yet, in the order in which they were asked for.
    waiting: Vec<ExtentId>,
    /// Extents that their writers allocate, and when it is the next one's turn at the latest.
    allocating: Vec<(ExtentId, Instant)>,
    /// How many of these there may be before others have to wait.
    turns: usize,
    pairs: HashMap<(PluginId, PluginId), u64>,
    of_plugin: HashMap<PluginId, Vec<u64>>,
    next_link: u64,
    /// Plugins that let a deadline of a link pass and gave no sign since, each with the pairs of
    /// plugins that are to be linked when it does.
    silent: HashMap<PluginId, BTreeSet<(PluginId, PluginId)>>,
    /// How long the next failure of a link between two plugins puts it off.
    retries: HashMap<(PluginId, PluginId), Duration>,
    policies: Policies,
    deadlines: Deadlines<Awaited>,
    effects: VecDeque<Effect>,
}

impl Bus {
    pub(crate) fn new(limits: PluginLimits, step: Duration) -> Bus {
        Bus {
            limits,
            step,
            members: BTreeMap::new(),
            names: HashMap::new(),
            registry: Registry::default(),
            links: BTreeMap::new(),
            extents: BTreeMap::new(),
            charges: Charges::new(),
            waiting: Vec::new(),
            allocating: Vec::new(),
            turns: usize::MAX,
            pairs: HashMap::new(),
            of_plugin: HashMap::new(),
            next_link: 1,
            silent: HashMap::new(),
            retries: HashMap::new(),
            policies: Policies::default(),
            deadlines: Deadlines::new(),
            effects: VecDeque::new(),
        }
    }

    /// Sets how many MiB the extents of all plugins may have together, how many the kernel gives to
    /// each at once, and how many plugins allocate at a time.
    pub(crate) fn limit_extents(&mut self, mib: u32, unit_mib: u32, turns: usize) {
        self.charges.limit(mib, unit_mib);
        self.turns = turns.max(1);
    }

    /// The living plugin that bears a name.
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

    /// Each link with its two plugins.
    pub(crate) fn link_ends(&self) -> impl Iterator<Item = (u64, [PluginId; 2])> {
        self.links
            .iter()
            .map(|(id, link)| (*id, [link.plugin(0), link.plugin(1)]))
    }

    /// How much of everything a plugin may have.
    pub(crate) fn limits_of(&self, plugin: PluginId) -> PluginLimits {
        self.policies.limits(&self.name_of(plugin), self.limits)
    }

    /// Takes in a plugin whose name is free.
    pub(crate) fn admit(
        &mut self,
        plugin: PluginId,
        identity: Identity,
        (pid, clock): (u32, SeenClock),
        now: Instant,
    ) {
        self.names.insert(identity.name.clone(), plugin);
        let limits = self.policies.limits(&identity.name, self.limits);
        let member = Member {
            identity,
            pid,
            clock,
            ready: false,
            gates: Quota::new(limits.gates),
            opens: Quota::new(limits.opens),
            links: Quota::new(limits.links),
            extents: Quota::new(limits.extent_mib),
            inspects: false,
            owed: 0,
        };
        self.members.insert(plugin, member);
        self.deadlines
            .set(Awaited::Status(plugin), Some(now + self.step));
        self.effects.push_back(Effect::Welcome(plugin));
    }

    /// Notes that a plugin which was just admitted came only for listings.
    pub(crate) fn only_inspects(&mut self, plugin: PluginId) {
        if let Some(member) = self.members.get_mut(&plugin) {
            member.inspects = true;
        }
    }

    /// Takes a record from a plugin that was admitted. `Err` is what its session ends with.
    pub(crate) fn record(
        &mut self,
        from: PluginId,
        record: ToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        let Some(member) = self.members.get_mut(&from) else {
            return Err(protocol("it said nothing of itself yet"));
        };
        if !member.ready {
            if record != ToBroker::StatusMapped {
                return Err(protocol("it has not acknowledged its status page"));
            }
            member.ready = true;
            self.deadlines.set(Awaited::Status(from), None);
            self.effects.push_back(Effect::SealStatus(from));
            return Ok(Weight::Expected);
        }
        let answers = late::is_acknowledgement(&record);
        let weight = self.ready_record(from, record, now)?;
        if answers {
            self.answers(from, now);
        }
        Ok(weight)
    }

    fn ready_record(
        &mut self,
        from: PluginId,
        record: ToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            ToBroker::Hello(_) | ToBroker::Inspect(_) | ToBroker::HelloInGroup { .. } => {
                Err(protocol("it said hello twice"))
            }
            ToBroker::StatusMapped => Err(protocol("it acknowledged its status page twice")),
            ToBroker::Took => Err(protocol("it took a datagram that nobody sent")),
            ToBroker::OutboxMapped { end } => self.outbox_mapped(from, end, now),
            ToBroker::PeerMapped { end } => self.peer_mapped(from, end, now),
            ToBroker::GrantInstalled { end, index } => self.grant_installed(from, end, index, now),
            ToBroker::WantExtent { end, number, len } => {
                self.want_extent(from, (end, number), len, now)
            }
            ToBroker::ExtentMapped { end, number } => self.extent_mapped(from, (end, number), now),
            ToBroker::PeerExtentMapped { end, number } => {
                self.peer_extent_mapped(from, (end, number))
            }
            ToBroker::ReturnExtent { end, number } => self.return_extent(from, (end, number)),
            ToBroker::ExtentFailed {
                end,
                own,
                number,
                failure,
            } => self.extent_unusable(from, (end, own, number), &failure, now),
            ToBroker::LinkFailed { end, failure } => self.link_failed(from, end, &failure, now),
            request => self.request(from, request, now),
        }
    }

    fn request(
        &mut self,
        from: PluginId,
        request: ToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match request {
            ToBroker::Provide {
                request,
                gate,
                kind,
                shape,
                record,
            } => self.provide(from, request, (&gate, kind), (shape, record), now),
            ToBroker::Withdraw {
                request,
                gate,
                kind,
            } => self.withdraw(from, request, (&gate, kind), now),
            ToBroker::Open {
                open,
                gate,
                function,
                action,
            } => self.open(from, open, &gate, [function, action], now)?,
            ToBroker::Close { open } => self.registry.close(from, open),
            ToBroker::List { request } => {
                self.effects.push_back(Effect::Listing(from, request));
            }
            ToBroker::WhyAbsent { request, gate } => {
                self.effects
                    .push_back(Effect::WhyAbsent(from, request, gate));
            }
            _ => return Err(protocol("it sent a record that is no request")),
        }
        Ok(Weight::Charged)
    }

    /// Forgets a plugin whose session has ended, and all that was its own.
    pub(crate) fn remove(&mut self, plugin: PluginId, why: &Failure, now: Instant) {
        let Some(member) = self.members.remove(&plugin) else {
            return;
        };
        self.names.remove(&member.identity.name);
        self.deadlines.set(Awaited::Status(plugin), None);
        self.forget_late(plugin);
        let gone = self.registry.remove(plugin);
        let message = format!("{} is gone: {}", member.label(), why.message);
        let failure = Failure::new(Code::ProviderGone, message);
        for link in self.of_plugin.remove(&plugin).unwrap_or_default() {
            self.drop_link(link, &failure);
        }
        for gate in gone {
            self.refresh_gate(&gate, now);
        }
    }

    /// When [`Bus::expire`] has to be called at the latest.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// Gives up what is not acknowledged in time.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(awaited) = self.deadlines.pop(now) {
            match awaited {
                Awaited::Status(plugin) => self.late(plugin, "map its status page"),
                Awaited::Link(link) => self.link_is_late(link, now),
                Awaited::Extent(end, number) => self.extent_is_late((end, number), now),
                Awaited::Turn => self.begin_waiting(now),
                Awaited::Memory(a, b) => self.refresh_between([a, b], now),
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

    /// The next thing to be done.
    pub(crate) fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Does what a plugin has to acknowledge.
    fn ask(&mut self, plugin: PluginId, effect: Effect) {
        if let Some(member) = self.members.get_mut(&plugin) {
            member.owed = member.owed.saturating_add(1);
        }
        self.effects.push_back(effect);
    }

    /// Counts an acknowledgement, also one for a link that has ended meanwhile: others end links
    /// as often as they like, and must not use up the rate of those who only answer.
    fn acknowledged(&mut self, plugin: PluginId) -> Result<Weight, Failure> {
        let member = self.members.get_mut(&plugin);
        let owed = member.and_then(|member| {
            member.owed = member.owed.checked_sub(1)?;
            Some(Weight::Expected)
        });
        owed.ok_or_else(|| protocol("it acknowledged more than it was sent"))
    }

    fn send(&mut self, to: PluginId, record: ToPlugin) {
        self.effects.push_back(Effect::Send(to, record));
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

/// What a session ends with whose plugin broke the protocol.
pub(crate) fn protocol(what: &str) -> Failure {
    Failure::new(
        Code::Protocol,
        format!("the plugin broke the protocol: {what}"),
    )
}
