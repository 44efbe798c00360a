//! Which gate or prefix provides a name, compared with a model that searches through all of them.

use std::collections::BTreeSet;

use callgate_layout::schema::Head;
use callgate_layout::{Encodings, Fingerprint};
use proptest::prelude::*;

use super::*;
use crate::schemas::Held;
use callgate_layout::control::Shape;

/// Names under other names, and some that only begin with the same letters.
const NAMES: [&str; 8] = ["a", "a.b", "a.b.c", "a.b.d", "ab.c", "b", ".x", "a..b"];
const PREFIXES: [&str; 6] = ["a.", "a.b.", "b.", ".", "a..", "ab."];

#[derive(Clone, Debug)]
enum Act {
    Provide(u64, &'static str, CallKind),
    Withdraw(u64, &'static str, CallKind),
    Open(u64, u32, &'static str),
    Close(u64, u32),
    Deny(u64, u32),
    Remove(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let provided: Vec<&'static str> = NAMES.into_iter().chain(PREFIXES).collect();
    let kind = || prop_oneof![Just(CallKind::Function), Just(CallKind::Action)];
    let name = || proptest::sample::select(provided.clone());
    let plugin = || 1..4_u64;
    prop_oneof![
        4 => (plugin(), name(), kind()).prop_map(|(plugin, name, kind)| Act::Provide(plugin, name, kind)),
        3 => (plugin(), name(), kind()).prop_map(|(plugin, name, kind)| Act::Withdraw(plugin, name, kind)),
        4 => (plugin(), 0..6_u32, proptest::sample::select(NAMES.to_vec()))
            .prop_map(|(plugin, open, name)| Act::Open(plugin, open, name)),
        2 => (plugin(), 0..6_u32).prop_map(|(plugin, open)| Act::Close(plugin, open)),
        1 => (plugin(), 0..6_u32).prop_map(|(plugin, open)| Act::Deny(plugin, open)),
        1 => plugin().prop_map(Act::Remove),
    ]
}

fn offer(kind: CallKind) -> Offer {
    let head = Head {
        params: Some(1),
        has_result: true,
        fingerprint: Fingerprint(1),
    };
    Offer {
        kind,
        provided: Provided {
            held: Held::of(head, 1),
            encodings: Encodings::BOTH,
            signature: String::new(),
        },
        record: None,
    }
}

fn wanted() -> Shape {
    Shape {
        params: Some(1),
        fingerprint: 1,
        encodings: Encodings::BOTH,
        signature: String::new(),
    }
}

/// What is provided, and by which plugin; searched as a whole.
#[derive(Default)]
struct Model {
    gates: BTreeMap<&'static str, (u64, BTreeSet<u8>)>,
    opens: BTreeMap<(u64, u32), (&'static str, bool)>,
}

fn covers(one: &str, other: &str) -> bool {
    one == other || one.ends_with('.') && other.starts_with(one)
}

impl Model {
    fn by(&self, name: &str) -> Option<(&'static str, u64)> {
        let covering = self.gates.iter().filter(|(gate, _)| covers(gate, name));
        let longest = covering.max_by_key(|(gate, _)| gate.len());
        longest.map(|(gate, (owner, _))| (*gate, *owner))
    }

    fn may(&self, plugin: u64, name: &str) -> bool {
        let mut others = self.gates.iter().filter(|(_, (owner, _))| *owner != plugin);
        !others.any(|(gate, _)| covers(gate, name) || covers(name, gate))
    }

    /// Something begins or ceases to provide a name: its denials are forgotten.
    fn renew(&mut self, gate: &str) {
        for at in self.opens.keys().copied().collect::<Vec<_>>() {
            let name = self.opens[&at].0;
            if self.by(name).is_some_and(|(by, _)| by == gate) {
                self.opens.insert(at, (name, false));
            }
        }
    }

    fn open(&mut self, plugin: u64, open: u32, name: &'static str) {
        for ((other, _), (opened, denied)) in &mut self.opens {
            if *other == plugin && *opened == name {
                *denied = false;
            }
        }
        self.opens.insert((plugin, open), (name, false));
    }

    fn drop_half(&mut self, plugin: u64, name: &'static str, kind: CallKind) -> bool {
        let before = self.gates.clone();
        let Some((_, halves)) = self
            .gates
            .get_mut(name)
            .filter(|(owner, _)| *owner == plugin)
        else {
            return false;
        };
        let had = halves.remove(&(kind as u8));
        if halves.is_empty() {
            self.gates.remove(name);
            let after = std::mem::replace(&mut self.gates, before);
            self.renew(name);
            self.gates = after;
        }
        had
    }
}

proptest! {
    #[test]
    fn a_name_is_provided_by_what_covers_it_most_closely(
        acts in proptest::collection::vec(act(), 1..150),
    ) {
        let (mut registry, mut model) = (Registry::new(1), Model::default());
        let quota = Quota::new(1000);
        for act in acts {
            match act {
                Act::Provide(plugin, name, kind) => {
                    let offered = registry.provide(PluginId(plugin), name, (&offer(kind), None), &quota);
                    let may = model.may(plugin, name);
                    let known = model.gates.get(name);
                    let has = known.is_some_and(|(_, halves)| halves.contains(&(kind as u8)));
                    prop_assert_eq!(offered.is_ok(), may && !has);
                    prop_assert_eq!(matches!(offered, Err(Refused::Owned(..))), !may);
                    if may && !has {
                        let gate = model.gates.entry(name).or_insert((plugin, BTreeSet::new()));
                        gate.1.insert(kind as u8);
                        model.renew(name);
                    }
                }
                Act::Withdraw(plugin, name, kind) => {
                    let withdrawn = registry.withdraw(PluginId(plugin), name, kind);
                    prop_assert_eq!(withdrawn.is_ok(), model.drop_half(plugin, name, kind));
                }
                Act::Open(plugin, open, name) => {
                    let wanted = [wanted(), wanted()];
                    let opened = registry.open(PluginId(plugin), open, name, wanted, &quota);
                    let is_free = !model.opens.contains_key(&(plugin, open));
                    prop_assert_eq!(opened.is_ok(), is_free);
                    if is_free {
                        model.open(plugin, open, name);
                    }
                }
                Act::Close(plugin, open) => {
                    let closed = registry.close(PluginId(plugin), open);
                    let name = model.opens.remove(&(plugin, open)).map(|(name, _)| name);
                    let mut others = model.opens.iter();
                    let last = name.filter(|name| {
                        !others.any(|((other, _), (opened, _))| *other == plugin && opened == name)
                    });
                    prop_assert_eq!(closed.as_deref(), last);
                }
                Act::Deny(plugin, open) => {
                    if let Some((name, _)) = model.opens.get(&(plugin, open)).copied() {
                        registry.deny(PluginId(plugin), name);
                        let opens = model.opens.iter_mut();
                        let same = opens.filter(|((by, _), (other, _))| *by == plugin && *other == name);
                        same.for_each(|(_, (_, denied))| *denied = true);
                    }
                }
                Act::Remove(plugin) => {
                    registry.remove(PluginId(plugin));
                    let owned = model.gates.iter().filter(|(_, (owner, _))| *owner == plugin);
                    let owned: Vec<_> = owned.map(|(name, _)| *name).collect();
                    owned.into_iter().for_each(|name| model.renew(name));
                    model.gates.retain(|_, (owner, _)| *owner != plugin);
                    model.opens.retain(|(opener, _), _| *opener != plugin);
                }
            }
            for ((plugin, open), (name, denied)) in &model.opens {
                let standing = registry.standing(PluginId(*plugin), *open).unwrap();
                let by = model.by(name).filter(|_| !denied);
                prop_assert_eq!(standing.by.as_deref(), by.map(|(gate, _)| gate), "{}", name);
                prop_assert_eq!(standing.owner.map(|owner| owner.0), by.map(|(_, owner)| owner));
            }
            let absent: BTreeSet<(u64, u32)> = registry
                .absent_opens()
                .into_iter()
                .map(|(plugin, open, _)| (plugin.0, open))
                .collect();
            let expected = model.opens.iter().filter(|(_, (name, _))| model.by(name).is_none());
            prop_assert_eq!(absent, expected.map(|(at, _)| *at).collect());
        }
    }
}
