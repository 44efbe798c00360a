//! A supervised plugin, as the loop has it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use callgate::listing;
use callgate::supervision::{Course, Effect, State, Status};
use crossbeam_channel::Sender;

use super::counts::Counts;
use super::journal::{Journal, LogTopic};
use super::last_words::told;
use super::life::Life;
use super::plan::Plan;
use super::settings::Limits;
use super::status::PluginStatus;
use super::worker::Job;
use crate::log::{LogLine, LogStream};
use crate::manifest::Transport;

/// A supervised plugin.
pub(super) struct Plugin {
    pub(super) plan: Arc<Plan>,
    pub(super) course: Course,
    pub(super) journal: Journal,
    /// The number of the last log line before its present or last life.
    pub(super) before_life: u64,
    pub(super) counts: Counts,
    /// A subscription that its present or last life was too slow for.
    pub(super) unhealthy: Option<String>,
    pub(super) present: Present,
    /// Whether the session of its last life is still being closed.
    pub(super) is_closing: bool,
    /// What begins the next life, after that.
    pub(super) next_life: Option<Job>,
    pub(super) awaited: VecDeque<Awaited>,
    /// When its log was told last that it is not read from all the time.
    pub(super) told_of_pause: Option<Instant>,
}

/// What there is of a plugin's process.
pub(super) enum Present {
    Nobody,
    /// The worker starts one, for the life of this number.
    Launching(u64),
    Alive(Box<Life>),
}

/// Somebody waits for the plugin to be in one of these states.
pub(super) struct Awaited {
    pub(super) states: Vec<State>,
    pub(super) answer: Sender<PluginStatus>,
}

impl Plugin {
    pub(super) fn new(plan: Plan, topic: &Arc<LogTopic>) -> Plugin {
        let mut course = Course::new(plan.restart.clone());
        course.set_transport(transport(&plan));
        Plugin {
            course,
            journal: Journal::new(&plan.name, topic),
            before_life: 0,
            plan: Arc::new(plan),
            unhealthy: None,
            counts: Counts::default(),
            present: Present::Nobody,
            is_closing: false,
            next_life: None,
            awaited: VecDeque::new(),
            told_of_pause: None,
        }
    }

    /// Has it run in another way from the next start on.
    pub(super) fn set_plan(&mut self, plan: Plan) {
        self.course.set_restart(plan.restart.clone());
        self.course.set_transport(transport(&plan));
        self.plan = Arc::new(plan);
    }

    /// Whether nothing of it runs, and nothing is to be started.
    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.present, Present::Nobody)
            && matches!(self.course.state(), State::Stopped | State::Quarantined)
    }

    pub(super) fn life(&mut self) -> Option<&mut Life> {
        match &mut self.present {
            Present::Alive(life) => Some(life),
            _ => None,
        }
    }

    /// The present life, where it is this one.
    pub(super) fn life_of(&mut self, number: u64) -> Option<&mut Life> {
        self.life().filter(|life| life.number == number)
    }

    /// What its present or last life has written to stderr last, the oldest line first.
    pub(super) fn last_on_stderr(&self, most: usize) -> Vec<LogLine> {
        let mut lines = self.journal.log().last_of(LogStream::Stderr, most);
        lines.retain(|line| line.number > self.before_life);
        lines
    }

    pub(super) fn status(&self, now: Instant) -> PluginStatus {
        let manifest = &self.plan.manifest;
        PluginStatus {
            name: manifest.name().to_owned(),
            version: manifest.version().to_string(),
            folder: manifest.folder().to_owned(),
            transport: manifest.backend().transport,
            supervision: self.supervision(now),
            counts: self.counted(),
            unhealthy: self.unhealthy.clone(),
            last_on_stderr: self
                .last_on_stderr(1)
                .last()
                .map(|line| told(line).to_owned()),
        }
    }

    /// Where it is on its course.
    pub(super) fn supervision(&self, now: Instant) -> Status {
        let version = self.plan.manifest.version().to_string();
        self.course.status(now).with_version(version).with_orders()
    }

    /// What was counted of all its lives.
    fn counted(&self) -> Counts {
        match &self.present {
            Present::Alive(life) => match &life.speech {
                Some(speech) => self.counts.with(speech.bridge.counts()),
                None => self.counts,
            },
            _ => self.counts,
        }
    }

    /// When it is to be looked at although nothing happens.
    pub(super) fn next(&self, limits: &Limits) -> Option<Instant> {
        let (course, life) = match &self.present {
            Present::Alive(life) if self.judges() && life.is_judged_later() => {
                (None, life.next(limits))
            }
            Present::Alive(life) => (self.course.next(), life.next(limits)),
            _ => (self.course.next(), None),
        };
        [course, life].into_iter().flatten().min()
    }

    /// Whether its course waits for what the child says: that it is ready, or an answer.
    fn judges(&self) -> bool {
        matches!(self.course.state(), State::Starting | State::Ready)
    }

    /// What its course does because of the time. Not before everything was read that the child may have said by then: what lies in its
    /// pipe does not count as missing, however slowly it is read.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let is_due = self.course.next().is_some_and(|at| at <= now);
        if is_due && self.judges() && self.life().is_some_and(Life::is_to_be_read_first) {
            return Vec::new();
        }
        self.course.tick(now)
    }

    /// Tells those who wait for the state that it is in.
    pub(super) fn tell_awaiting(&mut self, now: Instant) {
        let state = self.course.state();
        let is_met = |awaited: &Awaited| awaited.states.contains(&state);
        let (met, rest) = std::mem::take(&mut self.awaited)
            .into_iter()
            .partition(is_met);
        self.awaited = rest;
        let met: VecDeque<Awaited> = met;
        for awaited in met {
            // It may have given up.
            let _ = awaited.answer.send(self.status(now));
        }
    }
}

/// How a plugin takes part in the bus.
fn transport(plan: &Plan) -> listing::Transport {
    match plan.manifest.backend().transport {
        Transport::Stdio => listing::Transport::Stdio,
        Transport::Shm => listing::Transport::Shm,
    }
}
