//! What a course says, and what time brings.

use std::time::Instant;

use callgate::supervision::{Effect, Event, State};

use super::Name;
use super::supervisor::Supervisor;
use crate::frame::Outgoing;

impl Supervisor {
    /// Tells a plugin's course what has happened, and does what follows.
    pub(super) fn feed(&mut self, name: &Name, event: Event, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let effects = plugin.course.on(event, now);
        self.carry_out(name, effects, now);
    }

    pub(super) fn carry_out(&mut self, name: &Name, effects: Vec<Effect>, now: Instant) {
        for effect in effects {
            match effect {
                Effect::Start => self.launch(name),
                Effect::Ask => self.ask(name, now),
                Effect::Terminate => self.with_child(name, |child| child.terminate()),
                Effect::Kill => self.with_child(name, |child| child.kill()),
                Effect::Became(state) => self.became(name, state, now),
                other => tracing::error!("plugin `{name}`: the runtime does not know {other:?}"),
            }
        }
        self.set_timer(name);
    }

    fn with_child(&mut self, name: &Name, act: impl FnOnce(&crate::process::Child)) {
        if let Some(life) = self.plugins.get_mut(name).and_then(|plugin| plugin.life()) {
            act(&life.child);
        }
    }

    /// Sends a ping. Who is not heard because of what it asked for could not answer, and is not asked.
    fn ask(&mut self, name: &Name, now: Instant) {
        let Some(life) = self.plugins.get_mut(name).and_then(|plugin| plugin.life()) else {
            return;
        };
        if life.member.is_busy() {
            return self.feed(name, Event::Answered, now);
        }
        life.pings += 1;
        let nonce = life.pings;
        if let Ok(line) = (Outgoing::Ping { nonce }).to_line(self.settings.limits.frame_bytes) {
            // One that is not taken is not answered, which counts.
            let _ = life.stdin.write(line);
        }
    }

    fn became(&mut self, name: &Name, state: State, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let status = plugin.supervision(now);
        match (state, &status.last_fault) {
            (State::Waiting | State::Quarantined, fault) => {
                let why = fault.as_ref().map(|fault| format!("{}: {}", fault.code, fault.why));
                let exit = status.last_exit.map(|exit| exit.to_string());
                tracing::warn!("plugin `{name}` is {state} after {exit:?} {why:?}");
            }
            _ => tracing::debug!("plugin `{name}` is {state}"),
        }
        self.outside.publish(name, status);
        plugin.tell_awaiting(now);
    }

    /// A plugin's time has come.
    pub(super) fn look_at(&mut self, name: &Name, now: Instant) {
        let full_for = self.settings.limits.full_for;
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let mut wrong = None;
        if let Some(life) = plugin.life() {
            if life.sweep_at.is_some_and(|at| at <= now) {
                life.sweep_at = life.member.sweep(now);
            }
            if let Some(closed) = life.closed.take_if(|closed| closed.at <= now) {
                wrong = Some(Event::Unreachable {
                    code: "PROVIDER_GONE",
                    why: closed.why.to_owned(),
                });
            }
            let full_since = life.stdin.full_since();
            if full_since.is_some_and(|since| now.saturating_duration_since(since) >= full_for) {
                wrong = Some(Event::Fatal {
                    code: "HUNG",
                    why: format!("it has left its stdin full for {full_for:?}"),
                });
            }
        }
        if let Some(event) = wrong {
            self.feed(name, event, now);
        }
        if let Some(plugin) = self.plugins.get_mut(name) {
            let effects = plugin.course.tick(now);
            self.carry_out(name, effects, now);
        }
    }
}
