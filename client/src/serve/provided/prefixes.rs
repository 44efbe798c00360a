//! Prefixes: a prefix provides all names under it, except those that the plugin also provides as gates of their
//! own.
//!
//! A prefix ends in `.`, and no gate's name does, so both are keys of one map. The gate for a name is that of the
//! longest prefix, under the name that is called; its calls are counted, limited and run as calls of the prefix.

use std::collections::HashMap;
use std::sync::Arc;

use callgate_layout::envelope::CallKind;

use super::ProvidedGates;
use crate::serve::gate::{Gate, Names};
use crate::serve::grants::Grant;
use crate::serve::guard::guarded;

/// Whether this name is that of a prefix.
pub(crate) fn is_prefix(name: &str) -> bool {
    name.ends_with('.')
}

/// The gate of this name, or otherwise that of the longest prefix over it.
fn resolve<'g>(gates: &'g HashMap<Arc<str>, Gate>, name: &str) -> Option<&'g Gate> {
    let prefixes = name.rmatch_indices('.').map(|(at, _)| &name[..=at]);
    let mut all = std::iter::once(name).chain(prefixes);
    all.find_map(|name| gates.get(name))
}

impl ProvidedGates {
    /// The gate for a name, which may be that of a prefix.
    pub(crate) fn look_up(&self, name: &Arc<str>) -> Option<Gate> {
        let gates = self.gates.lock();
        resolve(&gates, name).map(|gate| gate.named(name))
    }

    /// Whether the gate for this name is re-entrant.
    pub(crate) fn is_reentrant(&self, name: &str) -> bool {
        let gates = self.gates.lock();
        resolve(&gates, name).is_some_and(|gate| gate.options().is_reentrant())
    }

    /// Whether this plugin lets others call one half of the gate for a name; `None` if a predicate decides that,
    /// which has told the broker.
    pub(crate) fn offers(&self, name: &str, kind: CallKind) -> Option<bool> {
        let gates = self.gates.lock();
        let Some(gate) = resolve(&gates, name) else {
            return Some(false);
        };
        let half = gate.half_of(kind);
        match half.filter(|half| half.is_offered && !half.is_lost) {
            Some(half) if half.names.is_some() && gate.name() != name => None,
            half => Some(half.is_some()),
        }
    }

    /// Removes from a grant the halves of a prefix that have no such name; `None` if neither has it. Runs code of
    /// the program, without a lock.
    pub(crate) fn named(&self, grant: Grant) -> Option<Grant> {
        let names = {
            let gates = self.gates.lock();
            let gate = resolve(&gates, &grant.gate).filter(|gate| *gate.name() != *grant.gate);
            let of = |kind| {
                let half = gate?.half_of(kind)?;
                Some((half.registration, half.names.clone()?))
            };
            [of(CallKind::Function), of(CallKind::Action)]
        };
        let has = |half: &Option<(u64, Names)>| {
            let half = half.as_ref();
            // A predicate that panics counts as `false`.
            half.is_none_or(|(_, names)| {
                guarded(&grant.gate, || Ok(names(&grant.gate))).unwrap_or(false)
            })
        };
        let [function, action] = names.each_ref().map(has);
        let [of_function, of_action] = names.map(|half| Some(half?.0));
        let grant = Grant {
            function: grant.function.filter(|_| function),
            action: grant.action.filter(|_| action),
            said: [
                of_function.filter(|_| function),
                of_action.filter(|_| action),
            ],
            ..grant
        };
        (grant.function.is_some() || grant.action.is_some()).then_some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::options::GateOptions;

    #[test]
    fn the_exact_name_comes_first_and_then_the_longest_prefix() {
        let gate = |name: &str| {
            let name: Arc<str> = name.into();
            let gate = Gate::new(name.clone(), None, (GateOptions::new(), None));
            (name, gate)
        };
        let gates = ["a.", "a.b", "a.b.", ".", "Größe."].map(gate);
        let gates = HashMap::from(gates);
        let found = |name| resolve(&gates, name).map(|gate| gate.name().to_owned());
        for (name, expected) in [
            ("a.b", "a.b"),
            ("a.b.c", "a.b."),
            ("a.b.c.d", "a.b."),
            ("a.c", "a."),
            ("a.bc", "a."),
            (".x", "."),
            ("Größe.ü", "Größe."),
        ] {
            assert_eq!(found(name).as_deref(), Some(expected), "{name}");
        }
        assert_eq!([found("a"), found("b.a"), found("")], [None, None, None]);
        let name: Arc<str> = "a.c".into();
        let named = resolve(&gates, &name).map(|gate| gate.named(&name));
        assert_eq!(named.as_ref().map(Gate::name), Some("a.c"));
    }
}
