//! A supervised plugin, owned by the loop.

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
use crate::log::LogLine;
use crate::manifest::Transport;

/// A supervised plugin.
pub(super) struct Plugin {
    pub(super) plan: Arc<Plan>,
    pub(super) course: Course,
    pub(super) journal: Journal,
    /// The number of the last log line before the present life, or before the last one if there is none.
    pub(super) before_life: u64,
    pub(super) counts: Counts,
    /// The subscription for which the present or last life read too slowly.
    pub(super) unhealthy: Option<String>,
    pub(super) present: Present,
    /// Whether the session of its last life is still being closed.
    pub(super) is_closing: bool,
    /// The job that begins the next life, once the session is closed.
    pub(super) next_life: Option<Job>,
    pub(super) awaited: VecDeque<Awaited>,
    /// The time of the last log line about a pause.
    pub(super) told_of_pause: Option<Instant>,
}

/// The state of a plugin's process.
pub(super) enum Present {
    Nobody,
    /// The worker is starting the life of this number.
    Launching(u64),
    Alive(Box<Life>),
}

/// A caller that waits until the plugin is in one of these states.
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

    /// Replaces the plan; it is used from the next start on.
    pub(super) fn set_plan(&mut self, plan: Plan) {
        self.course.set_restart(plan.restart.clone());
        self.course.set_transport(transport(&plan));
        self.plan = Arc::new(plan);
    }

    /// Says in the log why the process is about to get SIGTERM, if one runs.
    pub(super) fn say_asked(&mut self, text: &str) {
        if self.life().is_some() {
            self.journal.say(text);
        }
    }

    /// Whether no process of the plugin runs, and none is to be started.
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

    /// The present life, if it has this number.
    pub(super) fn life_of(&mut self, number: u64) -> Option<&mut Life> {
        self.life().filter(|life| life.number == number)
    }

    /// The last lines on stderr of the present life, or of the last one if there is none; the oldest first.
    pub(super) fn last_on_stderr(&self, most: usize) -> Vec<LogLine> {
        let mut lines = self.journal.log().last_on_stderr(most);
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

    /// The status of its course.
    pub(super) fn supervision(&self, now: Instant) -> Status {
        let version = self.plan.manifest.version().to_string();
        self.course.status(now).with_version(version).with_orders()
    }

    /// The counts of all its lives together.
    fn counted(&self) -> Counts {
        match &self.present {
            Present::Alive(life) => match &life.speech {
                Some(speech) => self.counts.with(speech.bridge.counts()),
                None => self.counts,
            },
            _ => self.counts,
        }
    }

    /// The next time at which the plugin has something due, if there is one.
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

    /// Whether its course waits for output of the child: for its readiness, or for an answer.
    fn judges(&self) -> bool {
        matches!(self.course.state(), State::Starting | State::Ready)
    }

    /// Tells the course the time, and returns the effects. This waits until everything was read that the child may have written by then:
    /// output that still lies in its pipe does not count as missing, however slowly it is read.
    pub(super) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let is_due = self.course.next().is_some_and(|at| at <= now);
        if is_due && self.judges() && self.life().is_some_and(Life::is_to_be_read_first) {
            return Vec::new();
        }
        self.course.tick(now)
    }

    /// Answers the callers that wait for the present state.
    pub(super) fn tell_awaiting(&mut self, now: Instant) {
        let state = self.course.state();
        let is_met = |awaited: &Awaited| awaited.states.contains(&state);
        let (met, rest) = std::mem::take(&mut self.awaited)
            .into_iter()
            .partition(is_met);
        self.awaited = rest;
        let met: VecDeque<Awaited> = met;
        for awaited in met {
            // Fails only if the caller no longer waits.
            let _ = awaited.answer.send(self.status(now));
        }
    }
}

/// The plugin's transport, as listings show it.
fn transport(plan: &Plan) -> listing::Transport {
    match plan.manifest.backend().transport {
        Transport::Stdio => listing::Transport::Stdio,
        Transport::Shm => listing::Transport::Shm,
    }
}
