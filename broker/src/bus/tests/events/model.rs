//! Plugins that offer, subscribe, leave and die at random, and whose records cross with those of the bus.
//!
//! Each plugin here keeps to the protocol: it reads what it is sent in order, now or later, and answers it. In whatever order records
//! arrive, no plugin loses its session, and when everything is read, each plugin hears what it has subscribed to.

mod answers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::policy::Policy;

const PLUGINS: [PluginId; 3] = [A, B, C];
const NAMES: [&str; 3] = ["p.x", "p.y", "z"];
const WANTED: [&str; 3] = ["p.x", "p.", "z"];

/// What may happen next.
#[derive(Clone, Debug)]
enum Act {
    /// A plugin offers a topic, owned or open, with or without a history.
    Offer(usize, usize, bool, bool),
    Close(usize, usize),
    Subscribe(usize, usize, bool),
    Unsubscribe(usize, usize),
    /// A plugin leaves the first feed that it knows.
    Leave(usize),
    Dies(usize),
    /// A plugin cannot map the next so many things that it is asked to map.
    Fails(usize, u32),
    /// A plugin reads so many records.
    Reads(usize, usize),
    /// The shell has sealed everything that is to be sealed.
    Sealed,
    /// A plugin's right to hear or to send is taken or given.
    Policy(usize, usize),
    Passes,
}

fn act() -> impl Strategy<Value = Act> {
    let plugin = || 0..PLUGINS.len();
    prop_oneof![
        4 => (plugin(), 0..3usize, any::<bool>(), any::<bool>())
            .prop_map(|(who, name, open, history)| Act::Offer(who, name, open, history)),
        3 => (plugin(), 0..3usize).prop_map(|(who, name)| Act::Close(who, name)),
        4 => (plugin(), 0..3usize, any::<bool>())
            .prop_map(|(who, name, json)| Act::Subscribe(who, name, json)),
        2 => (plugin(), 0..3usize).prop_map(|(who, name)| Act::Unsubscribe(who, name)),
        1 => plugin().prop_map(Act::Leave),
        1 => plugin().prop_map(Act::Dies),
        12 => (plugin(), 1..6usize).prop_map(|(who, count)| Act::Reads(who, count)),
        1 => (plugin(), 1..4u32).prop_map(|(who, count)| Act::Fails(who, count)),
        4 => Just(Act::Sealed),
        1 => (plugin(), 0..3usize).prop_map(|(who, what)| Act::Policy(who, what)),
        1 => Just(Act::Passes),
    ]
}

/// What a plugin knows from what it has read.
#[derive(Default)]
struct Plugin {
    unread: VecDeque<ToPlugin>,
    /// Its subscriptions by the positions of their names, each with whether it takes only JSON.
    wants: BTreeMap<usize, bool>,
    /// The numbers of the subscriptions for which it was told `Subscribed`.
    subscribed: BTreeSet<u32>,
    /// Feeds that have started and not ended, each with its subscription and the incarnation of its source.
    hears: BTreeMap<u64, (u32, u64)>,
    found: BTreeMap<u64, (u32, u64)>,
    left: BTreeSet<(u32, u64)>,
    /// The feeds that listen to each of its rings.
    listeners: BTreeMap<u64, BTreeSet<u64>>,
    /// Feeds that it was told of and could not listen to.
    unheard: BTreeSet<u64>,
    next_request: u32,
    /// How many of the next things that it is asked to map it cannot map.
    fails: u32,
}

impl Plugin {
    /// Whether it cannot map what it is asked to map now.
    fn cannot(&mut self) -> bool {
        let cannot = self.fails > 0;
        self.fails = self.fails.saturating_sub(1);
        cannot
    }
}

struct Model {
    world: World,
    plugins: BTreeMap<PluginId, Plugin>,
    /// Counts the incarnations of sources.
    incarnations: u64,
    sealing: Vec<AnyMemory>,
}

impl Model {
    fn new() -> Model {
        let plugins = PLUGINS.map(|plugin| (plugin, Plugin::default()));
        Model {
            world: World::events(),
            plugins: plugins.into(),
            incarnations: 0,
            sealing: Vec::new(),
        }
    }

    /// Sends a record to the bus, and passes on the effects.
    fn say(&mut self, from: PluginId, record: impl Into<ToBroker>) {
        self.world.ok(from, record);
        self.sort();
    }

    fn sort(&mut self) {
        for effect in self.world.effects() {
            let (to, record) = match effect {
                Effect::Send(to, record) => (to, record),
                Effect::MakeRing { to, record, .. } | Effect::Listen { to, record, .. } => {
                    (to, record.into())
                }
                Effect::Follow { to, record, .. } => (to, record.into()),
                Effect::Seal(_, memory) => {
                    self.sealing.push(memory);
                    continue;
                }
                Effect::LetGo { serial, .. } => {
                    // Nobody keeps memory in this model.
                    let serials = Vec::from_iter(serial);
                    self.world.bus.extents_freed(&serials, self.world.now);
                    continue;
                }
                Effect::End(plugin, failure) => panic!("{plugin:?} is sent away: {failure:?}"),
                _ => continue,
            };
            let Some(plugin) = self.plugins.get_mut(&to) else {
                panic!("{to:?} is gone: {record:?}");
            };
            plugin.unread.push_back(record);
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Offer(who, name, open, history) => {
                self.incarnations += 1;
                let mut offer = offer_topic(NAMES[name]);
                if let SourceToBroker::Offer {
                    open: is_open,
                    history: events,
                    incarnation,
                    ..
                } = &mut offer
                {
                    (*is_open, *events) = (open, u32::from(history));
                    *incarnation = self.incarnations;
                }
                self.say(PLUGINS[who], offer);
            }
            Act::Close(who, name) => self.say(PLUGINS[who], close(NAMES[name])),
            Act::Subscribe(who, name, json) => self.subscribe(PLUGINS[who], name, json),
            Act::Unsubscribe(who, name) => {
                self.unsubscribe(PLUGINS[who], name);
            }
            Act::Leave(who) => {
                let plugin = self.plugins.get_mut(&PLUGINS[who]).expect("it is there");
                if let Some((feed, what)) = plugin.hears.pop_first() {
                    plugin.left.insert(what);
                    self.say(PLUGINS[who], FeedToBroker::Leave { feed });
                }
            }
            Act::Dies(who) => self.dies(PLUGINS[who]),
            Act::Fails(who, count) => {
                self.plugins
                    .get_mut(&PLUGINS[who])
                    .expect("it is there")
                    .fails = count;
            }
            Act::Reads(who, count) => {
                for _ in 0..count {
                    self.read(PLUGINS[who]);
                }
            }
            Act::Sealed => {
                for memory in std::mem::take(&mut self.sealing) {
                    self.world.bus.memory_sealed(memory, self.world.now);
                    self.sort();
                }
            }
            Act::Policy(who, what) => {
                let all = Policy::new()
                    .provide("*")
                    .send("*")
                    .subscribe("*")
                    .call("*");
                let policy = match what {
                    0 => None,
                    1 => Some(Policy::new().provide("p.*").send("z").subscribe("z")),
                    _ => Some(all),
                };
                let name = ["a", "b", "c"][who];
                self.world.bus.set_policy(name, policy, self.world.now);
                self.sort();
            }
            Act::Passes => {
                self.world.now += STEP;
                // Sealing has a deadline, which must not pass here.
                self.act(&Act::Sealed);
                self.world.bus.expire(self.world.now);
                self.sort();
            }
        }
    }

    fn unsubscribe(&mut self, who: PluginId, name: usize) {
        let Some(subscription) = self.number_of(who, name) else {
            return;
        };
        let plugin = self.plugins.get_mut(&who).expect("it is there");
        plugin.wants.remove(&name);
        plugin.hears.retain(|_, (own, _)| *own != subscription);
        plugin.found.retain(|_, (own, _)| *own != subscription);
        self.say(who, FeedToBroker::Unsubscribe { subscription });
    }

    /// The number under which a plugin has subscribed to this name.
    fn number_of(&self, plugin: PluginId, name: usize) -> Option<u32> {
        let numbers = self.world.bus.topics.subscriptions_of(plugin).into_iter();
        let mut own = numbers.filter(|number| number % 3 == name as u32);
        own.next()
    }

    fn subscribe(&mut self, who: PluginId, name: usize, json: bool) {
        let plugin = self.plugins.get_mut(&who).expect("it is there");
        if plugin.wants.contains_key(&name) {
            return;
        }
        let encodings = match json {
            true => Encodings::JSON,
            false => Encodings::BOTH,
        };
        plugin.next_request += 1;
        let number = plugin.next_request * 3 + name as u32;
        plugin.wants.insert(name, json);
        self.say(who, subscribe_in(number, WANTED[name], encodings));
        if self.number_of(who, name).is_none() {
            // The plugin may not subscribe.
            let plugin = self.plugins.get_mut(&who).expect("it is there");
            plugin.wants.remove(&name);
        }
    }

    /// A plugin is killed, and started again.
    fn dies(&mut self, who: PluginId) {
        // What is being sealed is sealed first: the next plugin gets the same number here, which never happens outside of tests.
        self.act(&Act::Sealed);
        self.plugins.remove(&who);
        let name = ["a", "b", "c"][(who.0 - 1) as usize];
        self.world.bus.remove(who, &gone(), self.world.now);
        self.plugins.insert(who, Plugin::default());
        self.sort();
        self.world.join(who, name);
    }

    /// All plugins read and answer, and what could not be set up is tried again, until nothing is left to do.
    fn settle(&mut self) {
        self.come_to_rest();
        for plugin in self.plugins.values_mut() {
            plugin.fails = 0;
        }
        while let Some(due) = self.world.bus.next_deadline() {
            self.world.now = self.world.now.max(due);
            self.world.bus.expire(self.world.now);
            self.sort();
            self.come_to_rest();
        }
    }

    /// All plugins read and answer until nothing is left to do.
    fn come_to_rest(&mut self) {
        for _ in 0..10_000 {
            self.act(&Act::Sealed);
            for who in PLUGINS {
                self.read(who);
            }
            if self.plugins.values().all(|plugin| plugin.unread.is_empty())
                && self.sealing.is_empty()
            {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    /// The incarnations of the sources that a subscription matches and may hear.
    fn expected(&self, who: PluginId, name: usize) -> BTreeSet<u64> {
        let bus = &self.world.bus;
        if bus.check_subscribe(who, WANTED[name]).is_err() {
            return BTreeSet::new();
        }
        let sources = PLUGINS
            .into_iter()
            .flat_map(|sender| bus.topics.sources_of(sender));
        let sources = sources.filter_map(|source| bus.topics.source(source));
        let matches = |topic: &str| match WANTED[name].ends_with('.') {
            true => topic.starts_with(WANTED[name]),
            false => topic == WANTED[name],
        };
        let matching = sources.filter(|source| matches(&source.topic));
        matching.map(|source| source.wanted.incarnation).collect()
    }

    /// Each subscription hears each source that it matches exactly once, except those that it has left.
    fn check_feeds(&self) {
        for (who, plugin) in &self.plugins {
            for name in plugin.wants.keys() {
                let number = self.number_of(*who, *name).expect("it has subscribed");
                let own = plugin.hears.values();
                let own = own.filter(|(subscription, _)| *subscription == number);
                let heard: Vec<u64> = own.map(|(_, incarnation)| *incarnation).collect();
                let once: BTreeSet<u64> = heard.iter().copied().collect();
                assert_eq!(heard.len(), once.len(), "{heard:?}");
                let left = |one: &u64| plugin.left.contains(&(number, *one));
                let expected = self.expected(*who, *name);
                let missing: Vec<_> = expected
                    .difference(&once)
                    .filter(|one| !left(one))
                    .collect();
                assert!(missing.is_empty(), "{who:?} misses {missing:?} of {number}");
                assert!(once.is_subset(&expected), "{once:?} of {expected:?}");
                assert!(plugin.subscribed.contains(&(100 + number)));
            }
        }
    }

    /// Ends all plugins; nothing may be left.
    fn check_end(&mut self) {
        for who in PLUGINS {
            self.plugins.remove(&who);
            self.world.bus.remove(who, &gone(), self.world.now);
            self.sort();
        }
        assert!(self.world.bus.topics.is_empty());
        assert!(self.world.bus.rings.is_empty());
        assert_eq!(self.world.bus.charges.used(), 0);
        assert_eq!(self.world.bus.next_deadline(), None);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn each_hears_what_it_has_asked_for(acts in proptest::collection::vec(act(), 1..80)) {
        let mut model = Model::new();
        for act in &acts {
            model.act(act);
        }
        model.settle();
        model.check_feeds();
        model.check_end();
    }
}
