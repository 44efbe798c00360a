//! Lives: begun by the worker, taken over by the loop, and their ends.

use std::fs;
use std::sync::Arc;
use std::time::Instant;

use callgate::supervision::{Event, Exit};

use super::Name;
use super::hearing::Manners;
use super::last_words::{LastWords, MOST_LINES};
use super::life::Life;
use super::message::Message;
use super::outside::{Outside, WayBack};
use super::plan::Plan;
use super::plugin::Present;
use super::settings::Limits;
use super::source::Source;
use super::supervisor::Supervisor;
use crate::frame::{self, Stream};
use crate::process::{End, Started, Stdin};

/// All that the worker needs to begin a life.
struct Beginning {
    number: u64,
    plan: Arc<Plan>,
    limits: Limits,
    outside: Arc<dyn Outside>,
    way_back: WayBack,
}

impl Beginning {
    /// Starts the child and makes it a member of the bus. On the worker.
    fn begin(self) -> Result<Box<Life>, String> {
        let data_dir = &self.plan.data_dir;
        fs::create_dir_all(data_dir)
            .map_err(|error| format!("cannot make its data folder {}: {error}", data_dir.display()))?;
        let started = self.plan.launch.start().map_err(|error| error.to_string())?;
        let Started {
            child,
            stdin,
            stdout,
            stderr,
        } = started;
        let way_back = self.way_back.clone();
        let stdin = Stdin::new(stdin, self.limits.queued_bytes, move || way_back.stdin_changed());
        let connected = self.outside.connect(&self.plan, stdin.clone(), self.way_back);
        let member = match connected {
            Ok(member) => member,
            Err(why) => {
                child.end_now();
                return Err(why);
            }
        };
        let lines = frame::Limits {
            frame: self.limits.frame_bytes,
            log_line: self.limits.log_line_bytes,
        };
        let has_serve_ready = self.plan.manifest.has_serve_ready_handshake();
        Ok(Box::new(Life {
            number: self.number,
            child,
            stdin,
            stdout: Source::new(stdout, Stream::Stdout, lines),
            stderr: Source::new(stderr, Stream::Stderr, lines),
            member,
            manners: Manners::new(has_serve_ready, self.limits.malformed_frames),
            closed: None,
            is_in_line: false,
            sweep_at: None,
            pings: 0,
        }))
    }
}

impl Supervisor {
    /// Has the worker begin a life.
    pub(super) fn launch(&mut self, name: &Name) {
        let number = self.next_life;
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        self.next_life += 1;
        plugin.present = Present::Launching(number);
        let jobs = self.worker.jobs().clone();
        let beginning = Beginning {
            number,
            plan: plugin.plan.clone(),
            limits: self.settings.limits.clone(),
            outside: self.outside.clone(),
            way_back: WayBack::new(number, self.mailbox.clone(), jobs),
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
        let is_expected = self.plugins.get(name).is_some_and(|plugin| {
            matches!(plugin.present, Present::Launching(expected) if expected == number)
        });
        let watched = outcome.and_then(|life| match life.watch(self.poll.registry()) {
            Ok(()) => Ok(life),
            Err(error) => {
                self.put_down(life, name);
                Err(format!("its pipes cannot be watched: {error}"))
            }
        });
        match (watched, self.plugins.get_mut(name)) {
            (Ok(life), Some(plugin)) if is_expected => {
                let pid = life.child.pid();
                plugin.present = Present::Alive(life);
                self.lives.insert(number, name.clone());
                self.feed(name, Event::Started { pid }, now);
            }
            (Ok(life), _) => self.put_down(life, name),
            (Err(why), Some(plugin)) if is_expected => {
                plugin.present = Present::Nobody;
                tracing::warn!("plugin `{name}` cannot be started: {why}");
                self.feed(name, Event::NotStarted { why }, now);
            }
            (Err(_), _) => {}
        }
    }

    /// Ends a child that nobody supervises.
    fn put_down(&self, life: Box<Life>, name: &Name) {
        tracing::warn!("plugin `{name}` was started and is not wanted any more");
        self.worker.run(move || {
            let Life { child, member, .. } = *life;
            child.end_now();
            member.close(&LastWords::new(Exit::Unknown, None, Vec::new()));
        });
    }

    /// Has the worker let others call a child that has said that it serves.
    pub(super) fn offer(&mut self, name: &Name, number: u64) {
        let plugin = self.plugins.get_mut(name);
        let Some(life) = plugin.and_then(|plugin| plugin.life_of(number)) else {
            return;
        };
        let (member, mailbox) = (life.member.clone(), self.mailbox.clone());
        self.worker.run(move || {
            let outcome = member.offer();
            drop(member);
            mailbox.tell(Message::Offered {
                life: number,
                outcome,
            });
        });
    }

    /// Others can call the child, or cannot.
    pub(super) fn offered(&mut self, number: u64, outcome: Result<(), String>) {
        let Some(name) = self.lives.get(&number).cloned() else {
            return;
        };
        let event = match outcome {
            Ok(()) => Event::Ready,
            Err(why) => Event::Fatal {
                code: "NOT_PROVIDED",
                why,
            },
        };
        self.feed(&name, event, Instant::now());
    }

    /// A child has ended, if that is true.
    pub(super) fn take_end(&mut self, name: &Name, number: u64) {
        let plugin = self.plugins.get_mut(name);
        let Some(life) = plugin.and_then(|plugin| plugin.life_of(number)) else {
            return;
        };
        // What is left of its group is killed by this.
        let Some(end) = life.child.look() else {
            return;
        };
        life.stdin.close();
        self.read_last(name);
        self.lives.remove(&number);
        let Some(plugin) = self.plugins.get_mut(name) else {
            return;
        };
        let Present::Alive(life) = std::mem::replace(&mut plugin.present, Present::Nobody) else {
            return;
        };
        let exit = match end {
            End::Known(status) => Exit::from(status),
            End::Unknown => Exit::Unknown,
        };
        let now = Instant::now();
        let effects = plugin.course.on(Event::Exited(exit), now);
        let fault = plugin.course.status(now).last_fault;
        let words = LastWords::new(exit, fault, plugin.log.last_of_stderr(MOST_LINES));
        tracing::info!("{}", words.message(name));
        // Before the next life begins, which needs the name.
        let member = life.member;
        self.worker.run(move || member.close(&words));
        self.carry_out(name, effects, now);
    }
}
