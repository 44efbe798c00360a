//! Handles the messages from other threads.

use std::collections::btree_map::Entry;
use std::time::{Duration, Instant};

use callgate::supervision::{Event, State};

use super::Name;
use super::message::{Found, Message, Refusal, Request};
use super::plan::Plan;
use super::plugin::{Awaited, Plugin};
use super::supervisor::Supervisor;
use super::way_back::Notice;
use crate::manifest::Transport;

/// How long a runtime that stops waits for killed children to end, after the longest grace has passed.
const AFTER_KILL: Duration = Duration::from_secs(2);
/// The most callers that wait for the state of one plugin. Callers do not report that they have given up, so beyond this the oldest are
/// dropped.
const MOST_AWAITED: usize = 1024;

impl Supervisor {
    pub(super) fn take(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Begun {
                name,
                life,
                outcome,
            } => self.begun(&name, life, outcome),
            Message::Offered { life, outcome } => self.offered(life, outcome),
            Message::TakenIn { life, taken, spent } => self.taken_in(life, taken, spent),
            Message::Closed { name } => self.closed(&name),
            Message::Notice { life, notice } => self.notice(life, notice, now),
            Message::JobsWait => {}
            Message::Request {
                name,
                request,
                answer,
            } => {
                // Fails only if the asking thread no longer waits.
                let _ = answer.send(self.request(&name, request, now));
            }
            Message::Add { plan, answer } => {
                let _ = answer.send(self.add(*plan, now));
            }
            Message::List { answer } => {
                let all = self.plugins.values().map(|plugin| plugin.status(now));
                let _ = answer.send(all.collect());
            }
            Message::Find { name, answer } => {
                let _ = answer.send(self.find(&name));
            }
            Message::Await {
                name,
                states,
                answer,
            } => self.wait_for(&name, Awaited { states, answer }, now),
            Message::Stop => self.stop(now),
        }
    }

    fn notice(&mut self, life: u64, notice: Notice, now: Instant) {
        match notice {
            Notice::Stdin => self.stdin_changed(life, now),
            Notice::Process => self.look_at_process(life),
            Notice::Wake => self.woken(life, now),
            Notice::Unhealthy(subscription) => self.unhealthy(life, subscription),
            Notice::Complaint(text) => {
                let name = self.lives.get(&life);
                if let Some(plugin) = name.and_then(|name| self.plugins.get(name)) {
                    plugin.journal.say(&text);
                }
            }
            Notice::Left(why) => self.left(life, &why, now),
        }
    }

    /// The session of a life has ended: ends the child too, because it is useless without one. The next life gets a new session.
    fn left(&mut self, number: u64, why: &str, now: Instant) {
        if let Some(name) = self.lives.get(&number).cloned() {
            let event = Event::Unreachable {
                code: "NOT_ON_BUS",
                why: format!("its session on the bus has ended: {why}"),
            };
            self.feed(&name, event, now);
        }
    }

    fn add(&mut self, plan: Plan, now: Instant) -> Result<(), Refusal> {
        if self.stops_at.is_some() {
            return Err(Refusal::Stopping);
        }
        let name = plan.name.clone();
        match self.plugins.entry(name.clone()) {
            Entry::Occupied(_) => return Err(Refusal::Taken),
            Entry::Vacant(place) => {
                place.insert(Plugin::new(plan, self.surroundings.topic()));
            }
        }
        self.feed(&name, Event::Start, now);
        Ok(())
    }

    fn request(&mut self, name: &Name, request: Request, now: Instant) -> Result<(), Refusal> {
        if self.stops_at.is_some() {
            return Err(Refusal::Stopping);
        }
        let plugin = self.plugins.get_mut(name).ok_or(Refusal::Unknown)?;
        let event = match request {
            Request::Start => Event::Start,
            Request::Stop => {
                plugin.say_asked("it is stopped on request");
                Event::Stop
            }
            Request::Restart => {
                plugin.say_asked("it is restarted on request");
                Event::Restart
            }
            Request::Reload(plan) => {
                plugin.set_plan(*plan);
                match plugin.course.state() {
                    State::Stopped | State::Stopping => return Ok(()),
                    _ => {
                        plugin.say_asked("it is restarted, with its manifest read again");
                        Event::Restart
                    }
                }
            }
        };
        self.feed(name, event, now);
        Ok(())
    }

    fn find(&mut self, name: &Name) -> Option<Found> {
        let plugin = self.plugins.get_mut(name)?;
        let log = plugin.journal.log().clone();
        let speech = plugin.life().and_then(|life| life.speech.as_ref());
        let alive = speech.map(|speech| (speech.bridge.clone(), speech.stdin.clone()));
        let is_linked = plugin.plan.manifest.backend().transport == Transport::Shm;
        Some(Found {
            log,
            is_linked,
            alive,
        })
    }

    fn wait_for(&mut self, name: &Name, awaited: Awaited, now: Instant) {
        if let Some(plugin) = self.plugins.get_mut(name) {
            if plugin.awaited.len() >= MOST_AWAITED {
                plugin.awaited.pop_front();
            }
            plugin.awaited.push_back(awaited);
            plugin.tell_awaiting(now);
        }
    }

    fn unhealthy(&mut self, number: u64, subscription: String) {
        let name = self.lives.get(&number);
        if let Some(plugin) = name.and_then(|name| self.plugins.get_mut(name)) {
            plugin.journal.say(&format!(
                "it is too slow for what it hears of {subscription}"
            ));
            plugin.unhealthy = Some(subscription);
        }
    }

    fn stdin_changed(&mut self, number: u64, now: Instant) {
        let Some(name) = self.lives.get(&number).cloned() else {
            return;
        };
        let plugin = self.plugins.get_mut(&name);
        if let Some(life) = plugin.and_then(|plugin| plugin.life_of(number))
            && life
                .speech
                .as_ref()
                .is_some_and(|speech| speech.stdin.is_gone())
        {
            life.has_closed("it has closed its stdin", now);
        }
        self.set_timer(&name);
    }

    fn woken(&mut self, number: u64, now: Instant) {
        let Some(name) = self.lives.get(&number).cloned() else {
            return;
        };
        let plugin = self.plugins.get_mut(&name);
        let life = plugin.and_then(|plugin| plugin.life_of(number));
        if let Some(speech) = life.and_then(|life| life.speech.as_mut()) {
            speech.take_turn(now);
        }
        self.queue_up(number);
        self.set_timer(&name);
    }

    /// Stops all plugins, and then the loop.
    fn stop(&mut self, now: Instant) {
        if self.stops_at.is_some() {
            return;
        }
        let graces = self
            .plugins
            .values()
            .map(|plugin| plugin.plan.restart.stop_grace);
        let grace = graces.max().unwrap_or_default();
        self.stops_at = now
            .checked_add(grace.saturating_add(AFTER_KILL))
            .or(Some(now + AFTER_KILL));
        let names: Vec<Name> = self.plugins.keys().cloned().collect();
        for name in names {
            self.feed(&name, Event::Stop, now);
        }
    }
}
