//! Lives: begun by the worker, taken over by the loop, and their ends.

use std::sync::Arc;
use std::time::Instant;

use callgate::Progress;
use callgate::supervision::{Event, Exit};

use super::Name;
use super::beginning::Beginning;
use super::last_words::{MOST_LINES, last_words};
use super::life::{Life, Process};
use super::message::Message;
use super::plugin::Present;
use super::supervisor::Supervisor;
use super::way_back::WayBack;

impl Supervisor {
    /// Has the worker begin a life.
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
            way_back: Arc::new(WayBack::new(tell, self.worker.jobs().clone())),
        };
        let (name, mailbox) = (name.clone(), self.mailbox.clone());
        self.worker.run(move || {
            let outcome = beginning.begin();
            mailbox.tell(Message::Begun {
                name,
                life: number,
                outcome,
            });
        });
    }

    /// Takes over what the worker has begun.
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
                tracing::warn!("plugin `{name}` cannot be started: {why}");
                self.feed(name, Event::NotStarted { why }, now);
            }
            (Err(_), _) => {}
        }
    }

    /// Ends a process that nobody supervises.
    fn put_down(&self, life: Box<Life>) {
        self.worker.run(move || {
            let Life {
                process, speech, ..
            } = *life;
            match process {
                Process::Own(child) => child.end_now(),
                Process::Linked(linked) => drop(linked.child.kill()),
            }
            if let Some(speech) = speech {
                speech
                    .bridge
                    .close(&last_words("", (Exit::Unknown, None), &[]));
            }
        });
    }

    /// Has the worker let others call a child that has said that it serves.
    pub(super) fn offer(&mut self, name: &Name, number: u64) {
        let plugin = self.plugins.get_mut(name);
        let life = plugin.and_then(|plugin| plugin.life_of(number));
        let Some(speech) = life.and_then(|life| life.speech.as_ref()) else {
            return;
        };
        let (bridge, mailbox) = (speech.bridge.clone(), self.mailbox.clone());
        self.worker.run(move || {
            let outcome = bridge.offer().map_err(|error| error.to_string());
            mailbox.tell(Message::Offered {
                life: number,
                outcome,
            });
        });
    }

    /// Others can call the child, or cannot.
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

    /// Looks what has become of a process that the broker started.
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
        // Where it has ended, that is all that counts.
        self.take_end(&name, number);
        if self.lives.contains_key(&number) {
            self.feed(&name, event, Instant::now());
        }
    }

    /// A process has ended, if that is true.
    pub(super) fn take_end(&mut self, name: &Name, number: u64) {
        let plugin = self.plugins.get_mut(name);
        let Some(life) = plugin.and_then(|plugin| plugin.life_of(number)) else {
            return;
        };
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
        let fault = plugin.course.status(now).last_fault;
        let lines = plugin.last_on_stderr(MOST_LINES);
        let words = last_words(name, (exit, fault.as_ref()), &lines);
        plugin.journal.say(&words.message);
        if fault.is_some_and(|fault| fault.code == "HANDSHAKE_TIMEOUT")
            && let Some(awaited) = life.speech.as_ref().and_then(|it| it.manners.awaited())
        {
            plugin.journal.say(&format!(
                "no line `IPC:{{\"type\":\"{awaited}\"}}` came on its stdout; does it flush what it writes?"
            ));
        }
        if let Some(speech) = life.speech {
            speech.bridge.end(&words);
            plugin.counts = plugin.counts.with(speech.bridge.counts());
            // Before the next life begins, which needs the name.
            self.worker.run(move || speech.bridge.close(&words));
        }
        self.carry_out(name, effects, now);
    }
}
