//! The beginning and end of lives: the worker begins them, the loop takes them over and ends them.

use std::sync::Arc;
use std::time::Instant;

use callgate::Progress;
use callgate::supervision::{Event, Exit, Fault};

use super::Name;
use super::beginning::Beginning;
use super::last_words::{MOST_LINES, last_words};
use super::life::{Life, Process};
use super::message::Message;
use super::plugin::Present;
use super::supervisor::Supervisor;
use super::way_back::WayBack;
use crate::bridge::{Bridge, Busy, LastWords};

impl Supervisor {
    /// Has the worker begin a life of a plugin.
    pub(super) fn launch(&mut self, name: &Name) {
        let number = self.next_life;
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        self.next_life += 1;
        plugin.present = Present::Launching(number);
        plugin.before_life = plugin.journal.log().before_last(0);
        let mailbox = self.mailbox.clone();
        let tell = move |notice| {
            mailbox.tell(Message::Notice {
                life: number,
                notice,
            });
        };
        let beginning = Beginning {
            number,
            plan: plugin.plan.clone(),
            limits: self.settings.limits.clone(),
            surroundings: self.surroundings.clone(),
            way_back: Arc::new(WayBack::new(tell, self.asks.jobs().clone())),
        };
        let (name, mailbox) = (name.clone(), self.mailbox.clone());
        let begin = Box::new(move || {
            let outcome = beginning.begin();
            mailbox.tell(Message::Begun {
                name,
                life: number,
                outcome,
            });
        });
        match plugin.is_closing {
            // The last session is still being closed, and the name is not free before.
            true => plugin.next_life = Some(begin),
            false => self.worker.jobs().run(begin),
        }
    }

    /// The session of the last life was closed: begins the next life if one waits for that.
    pub(super) fn closed(&mut self, name: &Name) {
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        plugin.is_closing = false;
        if let Some(begin) = plugin.next_life.take() {
            self.worker.jobs().run(begin);
        }
    }

    /// Takes over a life that the worker has begun, or the reason why it failed.
    pub(super) fn begun(&mut self, name: &Name, number: u64, outcome: Result<Box<Life>, String>) {
        let now = Instant::now();
        let is_expected = self.plugins.get(name).is_some_and(
            |plugin| matches!(plugin.present, Present::Launching(expected) if expected == number),
        );
        let watched = outcome.and_then(|life| match life.watch(self.poll.registry()) {
            Ok(()) => Ok(life),
            Err(error) => {
                self.put_down(life);
                Err(format!("its pipes cannot be watched: {error}"))
            }
        });
        match (watched, self.plugins.get_mut(name)) {
            (Ok(life), Some(plugin)) if is_expected => {
                let pid = life.process.pid();
                plugin.journal.say(&format!("started as process {pid}"));
                plugin.unhealthy = None;
                plugin.present = Present::Alive(life);
                self.lives.insert(number, name.clone());
                self.feed(name, Event::Started { pid }, now);
                self.look_at_process(number);
            }
            (Ok(life), _) => self.put_down(life),
            (Err(why), Some(plugin)) if is_expected => {
                plugin.present = Present::Nobody;
                plugin.journal.say(&format!("cannot be started: {why}"));
                self.feed(name, Event::NotStarted { why }, now);
            }
            (Err(_), _) => {}
        }
    }

    /// Ends a process that is not supervised any more.
    fn put_down(&self, life: Box<Life>) {
        self.worker.run(move || {
            let Life {
                process, speech, ..
            } = *life;
            drop(process);
            if let Some(speech) = speech {
                speech
                    .bridge
                    .close(&last_words("", (Exit::Unknown, None), &[]));
            }
        });
    }

    /// Has the worker provide the gates of a child that has reported that it serves.
    pub(super) fn offer(&mut self, name: &Name, number: u64) {
        let plugin = self.plugins.get_mut(name);
        let life = plugin.and_then(|plugin| plugin.life_of(number));
        let Some(speech) = life.and_then(|life| life.speech.as_ref()) else {
            return;
        };
        let (bridge, mailbox) = (speech.bridge.clone(), self.mailbox.clone());
        let asks = self.asks.jobs().clone();
        let tell = move |outcome: callgate_client::Result<()>| {
            let outcome = outcome.map_err(|error| error.to_string());
            mailbox.tell(Message::Offered {
                life: number,
                outcome,
            });
        };
        self.worker.run(move || match bridge.offer_now() {
            Ok(outcome) => tell(outcome),
            Err(Busy) => asks.run(Box::new(move || tell(bridge.offer()))),
        });
    }

    /// Has a worker close the session of a life that is over. If that has to wait for a peer, nothing else is delayed.
    fn close(&self, name: &Name, bridge: Arc<Bridge>, words: LastWords) {
        let (name, mailbox) = (name.clone(), self.mailbox.clone());
        let asks = self.asks.jobs().clone();
        let tell = move || {
            mailbox.tell(Message::Closed { name });
        };
        self.worker.run(move || match bridge.close_now(&words) {
            Ok(()) => tell(),
            Err(Busy) => asks.run(Box::new(move || {
                bridge.close(&words);
                tell();
            })),
        });
    }

    /// Handles the worker's result of providing a child's gates.
    pub(super) fn offered(&mut self, number: u64, outcome: Result<(), String>) {
        let event = match outcome {
            Ok(()) => Event::Ready,
            Err(why) => Event::Fatal {
                code: "NOT_PROVIDED",
                why,
            },
        };
        if let Some(name) = self.lives.get(&number).cloned() {
            self.feed(&name, event, Instant::now());
        }
    }

    /// Checks the state of a process that the broker started.
    pub(super) fn look_at_process(&mut self, number: u64) {
        let Some(name) = self.lives.get(&number).cloned() else {
            return;
        };
        let plugin = self.plugins.get_mut(&name);
        let Some(life) = plugin.and_then(|plugin| plugin.life_of(number)) else {
            return;
        };
        let Process::Linked(linked) = &life.process else {
            return;
        };
        let event = match linked.child.progress() {
            Progress::Connected => Event::Ready,
            Progress::Failed(why) => Event::Fatal {
                code: "HANDSHAKE_FAILED",
                why,
            },
            _ => return self.take_end(&name, number),
        };
        // Checked first: if the process has ended, nothing else about it matters.
        self.take_end(&name, number);
        if self.lives.contains_key(&number) {
            self.feed(&name, event, Instant::now());
        }
    }

    /// Ends the life if its process has ended.
    pub(super) fn take_end(&mut self, name: &Name, number: u64) {
        let plugin = self.plugins.get_mut(name);
        let Some(life) = plugin.and_then(|plugin| plugin.life_of(number)) else {
            return;
        };
        if life.is_lent() {
            // Another thread has a frame of this child; the output that follows it is read after that frame.
            life.has_ended = true;
            return;
        }
        let Some(exit) = life.process.look() else {
            return;
        };
        if let Some(speech) = &life.speech {
            speech.stdin.close();
        }
        self.read_last(name);
        self.lives.remove(&number);
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let Present::Alive(life) = std::mem::replace(&mut plugin.present, Present::Nobody) else {
            return;
        };
        let now = Instant::now();
        let effects = plugin.course.on(Event::Exited(exit), now);
        let status = plugin.course.status(now);
        let lines = plugin.last_on_stderr(MOST_LINES);
        let words = last_words(name, (exit, Some(&status)), &lines);
        plugin.journal.say(&words.message);
        let fault = status.last_fault.as_ref();
        if let Some(missing) = fault.and_then(|fault| missing(name, &life, fault)) {
            plugin.journal.say(&missing);
        }
        if let Some(speech) = life.speech {
            speech.bridge.end(&words);
            plugin.counts = plugin.counts.with(speech.bridge.counts());
            plugin.is_closing = true;
            self.close(name, speech.bridge, words);
        }
        self.carry_out(name, effects, now);
    }
}

/// What the child did not do in time, if it was killed for that.
fn missing(name: &str, life: &Life, fault: &Fault) -> Option<String> {
    if fault.code != "HANDSHAKE_TIMEOUT" {
        return None;
    }
    let Some(speech) = &life.speech else {
        return Some(format!(
            "it has not connected: with `\"transport\": \"shm\"` its program links the client and connects as {name:?} \
             (`Plugin::connect`); one that writes frames on its stdout has `\"transport\": \"stdio\"`"
        ));
    };
    let awaited = speech.manners.awaited()?;
    Some(format!(
        "no line `IPC:{{\"type\":\"{awaited}\"}}` came on its stdout; does it flush what it writes?"
    ))
}
