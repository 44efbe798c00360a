//! Carries out the effects of a plugin's course, and feeds it what time brings.

use std::time::Instant;

use callgate::supervision::{Effect, Event, State};

use super::Name;
use super::life::Life;
use super::life::Process;
use super::settings::Limits;
use super::supervisor::Supervisor;

impl Supervisor {
    /// Tells a plugin's course about an event, and carries out the effects.
    pub(super) fn feed(&mut self, name: &Name, event: Event, now: Instant) {
        if let Some(plugin) = self.plugins.get_mut(name) {
            let effects = plugin.course.on(event, now);
            self.carry_out(name, effects, now);
        }
    }

    pub(super) fn carry_out(&mut self, name: &Name, effects: Vec<Effect>, now: Instant) {
        // The status is published first, so that those who hear of the effects do not find an older status.
        if effects
            .iter()
            .any(|effect| matches!(effect, Effect::Became(_)))
        {
            self.became(name, now);
        }
        for effect in effects {
            match effect {
                Effect::Start => self.launch(name),
                Effect::Ask => self.ask(name),
                Effect::Terminate => self.end(name, Process::terminate),
                Effect::Kill => self.end(name, Process::kill),
                Effect::Became(_) => {}
                other => tracing::error!("plugin `{name}`: the runtime does not know {other:?}"),
            }
        }
        self.set_timer(name);
    }

    /// Ends the present process; its bridge takes no more requests from now on.
    fn end(&mut self, name: &Name, end: fn(&Process)) {
        if let Some(life) = self.plugins.get_mut(name).and_then(|plugin| plugin.life()) {
            if let Some(speech) = &life.speech {
                speech.bridge.stops();
            }
            end(&life.process);
        }
    }

    /// Asks the present process whether it still serves.
    fn ask(&mut self, name: &Name) {
        let broker = self.surroundings.broker();
        let Some(life) = self.plugins.get_mut(name).and_then(|plugin| plugin.life()) else {
            return;
        };
        match (&mut life.process, &mut life.speech) {
            (Process::Linked(linked), _) => linked.ask(broker, name),
            (Process::Own(_), Some(speech)) => speech.ping(),
            (Process::Own(_), None) => {}
        }
    }

    fn became(&mut self, name: &Name, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let status = plugin.status(now);
        let state = status.supervision.state;
        let is_crash = matches!(state, State::Waiting | State::Quarantined);
        match status.supervision.how_it_ended() {
            Some(ended) if is_crash && !self.settings.on_change.is_heard() => {
                let last = status.last_on_stderr.as_ref();
                let last = last.map(|line| format!("; its last line on stderr: {line}"));
                let last = last.unwrap_or_default();
                tracing::warn!("plugin `{name}` is {state}: {ended}{last}");
            }
            _ => tracing::debug!("plugin `{name}` is {state}"),
        }
        if state == State::Quarantined {
            plugin.journal.say(&format!(
                "it has crashed too often, and is not started again until somebody asks for it: `callgate start {name}`"
            ));
        }
        self.surroundings
            .publish(&plugin.plan, status.supervision.clone());
        self.settings.on_change.tell(&status);
        plugin.tell_awaiting(now);
    }

    /// Handles a plugin whose timer is due.
    pub(super) fn look_at(&mut self, name: &Name, now: Instant) {
        self.go_on(name, now);
        let limits = &self.settings.limits;
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        if let Some(event) = plugin.life().and_then(|life| due(life, limits, now)) {
            self.feed(name, event, now);
        }
        if let Some(plugin) = self.plugins.get_mut(name) {
            let effects = plugin.tick(now);
            self.carry_out(name, effects, now);
        }
    }
}

/// Handles what is due in a life. Returns an event if the course must know of it.
fn due(life: &mut Life, limits: &Limits, now: Instant) -> Option<Event> {
    if let Some(closed) = life.closed.take_if(|closed| closed.at <= now) {
        return Some(Event::Unreachable {
            code: "PROVIDER_GONE",
            why: closed.why.to_owned(),
        });
    }
    if let Process::Linked(linked) = &mut life.process {
        return linked.has_answered().then_some(Event::Answered);
    }
    let speech = life.speech.as_mut()?;
    if speech.turn_at.is_some_and(|at| at <= now) {
        speech.take_turn(now);
    }
    let stuck_for = limits.stuck_for;
    let since = speech.stdin.stuck_since()?;
    let is_hung = now.saturating_duration_since(since) >= stuck_for;
    is_hung.then(|| Event::Fatal {
        code: "HUNG",
        why: format!("it has left its stdin full for {stuck_for:?}"),
    })
}
