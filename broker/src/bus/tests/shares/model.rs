//! Plugins that want, make, publish, fetch, let go and die at random, and whose records cross with those of the bus.
//!
//! Each plugin here keeps to the protocol: it reads what it is sent in order, now or later, and answers it. In whatever order records
//! arrive, no plugin loses its session, each request is answered once, and each plugin has, and is charged for, exactly what it knows of.

mod plugin;
mod shell;

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::policy::Policy;
use plugin::{Ask, Plugin};
use shell::Shell;

const PLUGINS: [PluginId; 3] = [A, B, C];
/// Shares of the last tag are made persistent.
const TAGS: [&str; 3] = ["p.x", "y", "z"];

/// What may happen next. The first number is the plugin, the second one the tag.
#[derive(Clone, Debug)]
enum Act {
    /// Whether the plugin offers to make the share, and of which of two types.
    Want(usize, usize, bool, bool),
    Forgo(usize),
    /// Whether the bytes are in the record.
    Publish(usize, usize, bool),
    Return(usize, usize),
    Remove(usize, usize),
    /// A maker takes the next step of its first making, or gives it up.
    Goes(usize, bool),
    Fetch(usize, bool),
    Done(usize),
    Relinquish(usize),
    Watch(usize, usize),
    Unwatch(usize),
    Dies(usize),
    Reads(usize, usize),
    /// The shell does its tasks; sealing succeeds or fails.
    Sealed(bool),
    Policy(usize, usize),
    /// So many seconds pass.
    Passes(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 0..PLUGINS.len();
    let tag = || 0..TAGS.len();
    let yes = any::<bool>;
    prop_oneof![
        6 => (who(), tag(), yes(), yes()).prop_map(|(who, tag, makes, other)| Act::Want(who, tag, makes, other)),
        1 => who().prop_map(Act::Forgo),
        4 => (who(), tag(), yes()).prop_map(|(who, tag, short)| Act::Publish(who, tag, short)),
        1 => (who(), tag()).prop_map(|(who, tag)| Act::Return(who, tag)),
        1 => (who(), tag()).prop_map(|(who, tag)| Act::Remove(who, tag)),
        10 => (who(), prop::bool::weighted(0.8)).prop_map(|(who, goes)| Act::Goes(who, goes)),
        4 => (who(), yes()).prop_map(|(who, json)| Act::Fetch(who, json)),
        3 => who().prop_map(Act::Done),
        2 => who().prop_map(Act::Relinquish),
        2 => (who(), tag()).prop_map(|(who, tag)| Act::Watch(who, tag)),
        1 => who().prop_map(Act::Unwatch),
        1 => who().prop_map(Act::Dies),
        14 => (who(), 1..6usize).prop_map(|(who, count)| Act::Reads(who, count)),
        5 => prop::bool::weighted(0.85).prop_map(Act::Sealed),
        1 => (who(), 0..3usize).prop_map(|(who, what)| Act::Policy(who, what)),
        1 => (1..12u64).prop_map(Act::Passes),
    ]
}

struct Model {
    world: World,
    plugins: BTreeMap<PluginId, Plugin>,
    shell: Shell,
}

impl Model {
    fn new() -> Model {
        let mut world = World::shares();
        world.bus.keep_files(Ok(()));
        world.bus.limit_shares(20);
        let plugins = PLUGINS.map(|plugin| (plugin, Plugin::default()));
        Model {
            world,
            plugins: plugins.into(),
            shell: Shell::default(),
        }
    }

    fn plugin(&mut self, who: PluginId) -> &mut Plugin {
        self.plugins.get_mut(&who).expect("it is there")
    }

    /// Sends a record to the bus, and passes on the effects.
    fn say(&mut self, from: PluginId, record: ShareToBroker) {
        self.world.ok(from, record);
        self.sort();
    }

    fn sort(&mut self) {
        while let Some(effect) = self.world.bus.next_effect() {
            if let Some((to, record)) = self.shell.take(effect) {
                let Some(plugin) = self.plugins.get_mut(&to) else {
                    panic!("{to:?} is gone: {record:?}");
                };
                plugin.unread.push_back(record);
            }
            // Nobody keeps memory in this model.
            let freed = std::mem::take(&mut self.shell.freed);
            self.world.bus.extents_freed(&freed, self.world.now);
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Want(who, tag, makes, other) => self.want(PLUGINS[who], (tag, makes, other)),
            Act::Publish(who, tag, short) => self.publish(PLUGINS[who], (tag, short)),
            Act::Return(who, tag) => self.returns(PLUGINS[who], tag),
            Act::Goes(who, goes) => self.goes(PLUGINS[who], goes),
            Act::Reads(who, count) => (0..count).for_each(|_| self.read(PLUGINS[who])),
            Act::Dies(who) => self.dies(PLUGINS[who]),
            Act::Sealed(succeeds) => self.shell_works(succeeds),
            Act::Policy(who, what) => self.policy(who, what),
            Act::Passes(seconds) => {
                self.world.now += Duration::from_secs(seconds);
                // Sealing has a deadline, which must not pass here.
                self.shell_works(true);
                self.world.bus.expire(self.world.now);
                self.sort();
            }
            Act::Remove(who, tag) => {
                let request = self.plugin(PLUGINS[who]).ask(Ask::Remove);
                let tag = TAGS[tag].into();
                self.say(PLUGINS[who], ShareToBroker::Remove { request, tag });
            }
            Act::Watch(who, tag) => {
                let request = self.plugin(PLUGINS[who]).ask(Ask::Watch);
                let (tag, seen) = (TAGS[tag].into(), None);
                self.say(PLUGINS[who], ShareToBroker::Watch { request, tag, seen });
            }
            Act::Forgo(_)
            | Act::Fetch(..)
            | Act::Done(_)
            | Act::Relinquish(_)
            | Act::Unwatch(_) => {
                self.lets_go(act);
            }
        }
    }

    fn lets_go(&mut self, act: &Act) {
        let (who, record) = match *act {
            Act::Forgo(who) => (who, self.plugin(PLUGINS[who]).forgo()),
            Act::Fetch(who, json) => (who, self.plugin(PLUGINS[who]).fetches(json)),
            Act::Done(who) => (who, self.plugin(PLUGINS[who]).done()),
            Act::Unwatch(who) => (who, self.plugin(PLUGINS[who]).unwatch()),
            Act::Relinquish(who) => (who, self.plugin(PLUGINS[who]).relinquish()),
            _ => return,
        };
        if let Some(record) = record {
            self.say(PLUGINS[who], record);
        }
    }

    fn policy(&mut self, who: usize, what: usize) {
        let policy = match what {
            0 => None,
            1 => Some(Policy::new().read_shares("*").create_shares("p.*")),
            _ => Some(Policy::new().create_shares("y")),
        };
        let name = ["a", "b", "c"][who];
        self.world.bus.set_policy(name, policy, self.world.now);
        self.sort();
    }

    /// A plugin is killed, and started again.
    fn dies(&mut self, who: PluginId) {
        self.plugins.remove(&who);
        // The next plugin gets the same number here, which never happens outside of tests.
        self.shell.forget(who);
        let name = ["a", "b", "c"][(who.0 - 1) as usize];
        self.world.bus.remove(who, &gone(), self.world.now);
        self.sort();
        self.plugins.insert(who, Plugin::default());
        self.world.join(who, name);
    }

    /// All plugins read, answer and go on until nothing is left to do.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.shell_works(true);
            for who in PLUGINS {
                self.read(who);
                self.goes(who, true);
            }
            let is_idle = |plugin: &Plugin| plugin.unread.is_empty() && plugin.makings.is_empty();
            if self.plugins.values().all(is_idle) && self.shell.is_idle() {
                // Makers rest before they write the same version as JSON again.
                let Some(due) = self.world.bus.next_deadline() else {
                    return;
                };
                self.world.now = due;
                self.world.bus.expire(due);
                self.sort();
            }
        }
        panic!("it never comes to rest");
    }

    /// Each plugin has what it knows of, and is charged for exactly that.
    fn check_rest(&self) {
        let shares = &self.world.bus.shares;
        for (who, plugin) in &self.plugins {
            let asked = plugin.asked.values();
            let asked: Vec<_> = asked.filter(|ask| **ask != Ask::Forgone).collect();
            let open = asked.iter().filter(|ask| ***ask != Ask::Watch);
            let open: Vec<_> = open.collect();
            assert!(open.is_empty(), "{who:?} was not answered: {open:?}");
            let mut had = BTreeMap::new();
            let mut charged = 0;
            for (number, share) in shares.all() {
                if share.users.contains_key(who) {
                    had.insert(number, Vec::new());
                }
                for version in share.versions() {
                    let of = shares.version(version).expect("it is there");
                    let holds = of.holders.contains_key(who);
                    if holds {
                        had.get_mut(&number).expect("a user").push(version);
                    }
                    let pays = match of.is_charged_to_holders() {
                        true => holds,
                        false => of.charged.maker.is_some() && of.maker.plugin == Some(*who),
                    };
                    charged += if pays { of.charged.mib } else { 0 };
                }
            }
            let known = plugin.has.iter();
            let known = known.map(|(share, versions)| (*share, Vec::from_iter(versions.clone())));
            had.values_mut()
                .for_each(|versions| versions.sort_unstable());
            assert_eq!(BTreeMap::from_iter(known), had, "{who:?}");
            let member = &self.world.bus.members[who];
            assert_eq!(member.share_mib.used(), charged, "{who:?}");
            let places = plugin.has.len() + asked.len();
            assert_eq!(member.shares.used() as usize, places, "{who:?}");
        }
    }

    /// Ends all plugins; nothing may be left.
    fn check_end(&mut self) {
        for who in PLUGINS {
            self.plugins.remove(&who);
            self.world.bus.remove(who, &gone(), self.world.now);
            self.sort();
        }
        assert!(
            self.world.bus.shares.is_empty(),
            "{:?}",
            self.world.bus.shares
        );
        assert_eq!(self.world.bus.next_deadline(), None);
        self.shell.check_end();
    }
}

fn gone() -> Failure {
    Failure::new(Code::ProviderGone, "killed")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn each_has_what_it_knows_of(acts in proptest::collection::vec(act(), 1..120)) {
        let mut model = Model::new();
        for act in &acts {
            model.act(act);
        }
        model.settle();
        model.check_rest();
        model.check_end();
    }
}
