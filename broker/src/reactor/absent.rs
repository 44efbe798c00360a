//! Answers why nobody provides a gate: names the programs that may be meant to provide it, with the state of each.

use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, GateToPlugin, SessionToPlugin};
use serde_json::{Value, json};

use super::Reactor;
use super::listed_plugins::BROKEN;
use crate::child::Tracked;
use crate::id::PluginId;
use crate::listing::PluginState;
use crate::supervision::{State, short};

/// How many programs one answer names.
const NAMED: usize = 4;

/// A program whose absence may be the reason why nobody provides a gate.
struct Suspect<'a> {
    name: &'a str,
    /// Its state, in a sentence.
    text: String,
    /// The same as JSON, if the program is supervised.
    context: Option<Value>,
}

impl<'a> Suspect<'a> {
    /// A plugin whose folder cannot be used.
    fn broken(name: &'a str, why: &str) -> Suspect<'a> {
        let fault = json!({"code": BROKEN, "message": short(why)});
        Suspect {
            text: format!("plugin `{name}` is left out: {why}"),
            context: Some(
                json!({"plugin": name, "state": PluginState::Broken, "last_fault": fault}),
            ),
            name,
        }
    }
}

/// Whether a gate belongs to a plugin by the convention `Owner.Name`, in upper or lower case.
fn is_by_name(gate: &str, plugin: &str) -> bool {
    let owner = gate.get(..plugin.len());
    owner.is_some_and(|owner| owner.eq_ignore_ascii_case(plugin))
        && gate.as_bytes().get(plugin.len()) == Some(&b'.')
}

impl Reactor {
    /// Tells a plugin that has a gate open if no program is left that could provide it.
    pub(super) fn tell_failed(&mut self, plugin: PluginId, open: u32, gate: &str, now: Instant) {
        if self.nobody_left(gate).is_some() {
            let record = GateToPlugin::StartFailed { open };
            self.send(plugin, record, Vec::new(), now);
        }
    }

    pub(super) fn explain_absence(&mut self, to: PluginId, request: u32, gate: &str, now: Instant) {
        let failure = self.why_absent(gate);
        let record = SessionToPlugin::Answer { request, failure };
        self.send(to, record, Vec::new(), now);
    }

    /// Why no program is left that could provide a gate: the reason why a program that the gate is named after failed to start; or else, if
    /// no program can come any more, why the last one failed. A supervised program does not count, because it may be started again.
    fn nobody_left(&self, gate: &str) -> Option<&str> {
        let ended = self.starts.ended();
        let is_over = |name: &str| !self.supervised.contains_key(name);
        let mut failed = ended.filter(|ended| !ended.had_connected).rev();
        let last = failed.clone().next();
        let by_name = failed.find(|ended| is_by_name(gate, &ended.name));
        let mut sessions = self.sessions.values();
        let mut supervised = self.supervised.values();
        let anybody = self.listener.is_some()
            || !self.execs.is_empty()
            || self.children.values().any(Tracked::is_starting)
            || supervised.any(|supervised| supervised.is_coming())
            || sessions.any(|session| session.expected.name.is_some());
        let by_name = by_name.filter(|ended| is_over(&ended.name));
        Some(by_name.or(last.filter(|_| !anybody))?.why.as_str())
    }

    /// The answer why nobody provides a gate; `None` if no program is known that may be the reason.
    fn why_absent(&self, gate: &str) -> Option<Failure> {
        let left = self.nobody_left(gate);
        let code = match left {
            Some(_) => Code::ProviderGone,
            None => Code::NotReady,
        };
        let mut all = self.suspects(gate);
        // If the gate is named after some of these programs, the answer names only these.
        let is_its = |suspect: &Suspect<'_>| is_by_name(gate, suspect.name);
        if all.iter().any(is_its) {
            all.retain(is_its);
        } else if let Some(why) = left {
            return Some(Failure::new(code, why));
        }
        let mut contexts = all.iter().filter_map(|suspect| suspect.context.clone());
        let context = contexts.next().filter(|_| contexts.next().is_none());
        let more = all.len().saturating_sub(NAMED);
        let texts = all.into_iter().map(|suspect| suspect.text);
        let mut texts: Vec<String> = texts.take(NAMED).collect();
        if more > 0 {
            texts.push(format!("and {more} others are not there"));
        }
        let failure = Failure::new(code, texts.join("; "));
        let failure = match context {
            Some(context) => failure.with_context(context.to_string()),
            None => failure,
        };
        (!texts.is_empty()).then_some(failure)
    }

    /// The programs that may provide a gate and do not run, or run without providing it.
    fn suspects(&self, gate: &str) -> Vec<Suspect<'_>> {
        // Filtered by name before any text is made: there may be hundreds of programs, and plugins ask often.
        let may_provide = |name: &str| self.bus.may_provide(name, gate);
        let supervised = self.supervised.iter();
        let supervised = supervised.filter(|(name, supervised)| {
            // A program that runs is to blame only for gates with its own name. So is a runtime's plugin that has no process yet: its
            // policy is set right before that, and until then it could provide anything.
            let is_others = supervised.state() == State::Ready || supervised.is_being_launched();
            (!is_others || is_by_name(gate, name)) && may_provide(name)
        });
        let supervised = supervised.map(|(name, supervised)| Suspect {
            name,
            text: supervised.absence(name),
            context: Some(supervised.context(name)),
        });
        let is_other = |name: &str| !self.supervised.contains_key(name) && may_provide(name);
        let starting = self.children.values();
        let starting = starting.filter(|child| child.is_starting() && is_other(child.name()));
        let starting = starting.map(|child| (child.name(), child.still_starting()));
        let ended = self.starts.ended().filter(|ended| is_other(&ended.name));
        let ended = ended.map(|ended| (ended.name.as_str(), ended.why.clone()));
        let others = starting.chain(ended).map(|(name, text)| Suspect {
            name,
            text,
            context: None,
        });
        // What these would provide is not known; it is guessed by their names.
        let broken = self.broken.values();
        let broken = broken.filter(|unusable| is_by_name(gate, &unusable.name));
        let broken = broken.map(|unusable| Suspect::broken(&unusable.name, &unusable.why));
        supervised.chain(others).chain(broken).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A context that is too long for a record was left out, and with it the state of the plugin.
    #[test]
    fn a_long_reason_leaves_a_context_that_fits() {
        let suspect = Suspect::broken("x", &"\u{1}".repeat(100_000));
        let context = suspect.context.unwrap().to_string();
        let failure = Failure::new(Code::NotReady, suspect.text).with_context(context);
        assert!(failure.context.unwrap().contains("broken"));
    }

    /// A gate of another plugin whose name only begins with the same letters would fail for no reason.
    #[test]
    fn gates_belong_to_plugins_by_name_and_dot() {
        assert!(is_by_name("Gain.Apply", "gain"));
        assert!(is_by_name("gain.Apply.Fast", "Gain"));
        assert!(!is_by_name("Gainer.Apply", "gain"));
        assert!(!is_by_name("Gain", "gain"));
        assert!(!is_by_name("Gäin.Apply", "gain"));
        assert!(!is_by_name("G\u{e4}.x", "G\u{c3}"));
    }
}
