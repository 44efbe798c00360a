//! The loop: one thread that serves the pipes, process ends and timers of all plugins.
//!
//! In each turn it first handles the events from the kernel, then the messages from other threads; then it reads a share of each child's
//! output, and only then handles timers. So an answer that still lies in a pipe does not count as missing.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use callgate::supervision::Exit;
use crossbeam_channel::Receiver;
use mio::event::Event;
use mio::{Events, Poll};

use super::Name;
use super::asks::Asks;
use super::last_words::last_words;
use super::mailbox::Mailbox;
use super::message::Message;
use super::plugin::Plugin;
use super::settings::Settings;
use super::surroundings::Surroundings;
use super::timers::Timers;
use super::tokens::{Part, about};
use super::worker::Worker;

/// The most messages that are handled before the loop reads from children again.
const MESSAGES: usize = 256;
/// The amount that is read from a stream before it is another child's turn: its bytes, and a fixed weight for each line. Reading it takes
/// about as long as one call, so a child that floods the loop hardly delays the others.
pub(super) const SHARE: usize = 16 << 10;
/// The most bytes of one read.
const BUFFER: usize = SHARE;

pub(super) struct Supervisor {
    pub(super) poll: Poll,
    pub(super) messages: Receiver<Message>,
    pub(super) mailbox: Mailbox<Message>,
    /// Starts programs, and creates and closes the sessions of children.
    pub(super) worker: Worker,
    /// Does what children ask of other plugins.
    pub(super) asks: Asks,
    /// Parses long frames; started when the first one arrives.
    pub(super) long: Option<Worker>,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) settings: Arc<Settings>,
    pub(super) plugins: BTreeMap<Name, Plugin>,
    /// The plugin that each life belongs to.
    pub(super) lives: HashMap<u64, Name>,
    pub(super) next_life: u64,
    pub(super) timers: Timers,
    /// Lives that have output to be read, in the order of their turns.
    pub(super) line: VecDeque<u64>,
    /// Lives whose processes have ended, as the kernel reported.
    pub(super) ended: Vec<u64>,
    pub(super) buffer: Vec<u8>,
    /// The time at which the loop ends at the latest; set once the runtime is being stopped.
    pub(super) stops_at: Option<Instant>,
}

impl Supervisor {
    pub(super) fn buffer() -> Vec<u8> {
        vec![0; BUFFER]
    }

    /// Runs the loop until all plugins have ended after [`Message::Stop`].
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        while !self.is_over(Instant::now()) {
            let patience = self.patience(Instant::now());
            match self.poll.poll(&mut events, patience) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!("the runtime cannot wait for its plugins any more: {error}");
                    break;
                }
            }
            for event in &events {
                self.note(event);
            }
            self.take_messages();
            let has_read = !self.line.is_empty();
            self.read_in_turn();
            self.take_ends();
            self.tick();
            self.asks.look(Instant::now());
            if has_read {
                // A thread that was just answered may make its next call on this core; letting it run first can save this thread from
                // sleeping.
                thread::yield_now();
            }
        }
        self.give_up();
    }

    fn patience(&self, now: Instant) -> Option<Duration> {
        if !self.line.is_empty() || !self.messages.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.timers.next(), self.stops_at, self.asks.next()]
            .into_iter()
            .flatten()
            .min();
        next.map(|at| at.saturating_duration_since(now))
    }

    /// Handles one event from the kernel.
    fn note(&mut self, event: &Event) {
        let Some((number, part)) = about(event.token()) else {
            return;
        };
        let name = self.lives.get(&number);
        let Some(life) = name.and_then(|name| self.plugins.get_mut(name)?.life_of(number)) else {
            return;
        };
        match part {
            Part::Process => return self.ended.push(number),
            Part::Stdout => life.stdout.has_news(event.is_read_closed()),
            Part::Stderr => life.stderr.has_news(event.is_read_closed()),
            Part::Stdin => {
                let Some(speech) = &mut life.speech else {
                    return;
                };
                speech.stdin.flush();
                if event.is_error() || event.is_write_closed() {
                    speech.stdin.close();
                }
                // The pipe has room again, and the bridge may have events that wait for it.
                speech.take_turn(Instant::now());
                if speech.stdin.is_gone() {
                    life.has_closed("it has closed its stdin", Instant::now());
                }
                let name = self.lives.get(&number).cloned();
                name.into_iter().for_each(|name| self.set_timer(&name));
            }
        }
        self.queue_up(number);
    }

    /// Puts a life in line to be read, if it has output and is not in line yet.
    pub(super) fn queue_up(&mut self, number: u64) {
        let name = self.lives.get(&number);
        let Some(life) = name.and_then(|name| self.plugins.get_mut(name)?.life_of(number)) else {
            return;
        };
        if !life.is_in_line && life.has_something() {
            life.is_in_line = true;
            self.line.push_back(number);
        }
    }

    fn take_messages(&mut self) {
        for _ in 0..MESSAGES {
            match self.messages.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => return,
            }
        }
    }

    /// Reads one share of the output of each child in line.
    fn read_in_turn(&mut self) {
        for _ in 0..self.line.len() {
            let Some(number) = self.line.pop_front() else {
                return;
            };
            if let Some(name) = self.lives.get(&number).cloned() {
                self.read_share(&name, number);
                self.queue_up(number);
            }
        }
    }

    fn take_ends(&mut self) {
        for number in std::mem::take(&mut self.ended) {
            if let Some(name) = self.lives.get(&number).cloned() {
                self.take_end(&name, number);
            }
        }
    }

    /// Handles all plugins whose timers are due.
    fn tick(&mut self) {
        let now = Instant::now();
        // All due plugins are collected first: one that is due again at once is handled in the next turn.
        let due: Vec<Name> = std::iter::from_fn(|| self.timers.due(now)).collect();
        for name in due {
            self.look_at(&name, now);
            self.set_timer(&name);
        }
    }

    /// Sets the timer of a plugin to the time at which it is due next.
    pub(super) fn set_timer(&mut self, name: &Name) {
        let plugin = self.plugins.get(name);
        let at = plugin.and_then(|plugin| plugin.next(&self.settings.limits));
        self.timers.set(name, at);
    }

    fn is_over(&self, now: Instant) -> bool {
        self.stops_at
            .is_some_and(|at| now >= at || self.plugins.values().all(Plugin::is_at_rest))
    }

    /// Kills the processes that still run, fails the calls that wait for them, and removes all plugins from listings.
    fn give_up(&mut self) {
        for (name, plugin) in &mut self.plugins {
            self.surroundings.forget(&plugin.plan);
            plugin.journal.log().close();
            if let Some(life) = plugin.life() {
                life.process.kill();
                if let Some(speech) = &life.speech {
                    let words = last_words(name, (Exit::Unknown, None), &[]);
                    speech.bridge.end(&words);
                }
            }
        }
    }
}
