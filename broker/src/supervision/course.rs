//! The state machine of one supervised program.

use std::collections::VecDeque;
use std::time::Instant;

use super::event::{Effect, Event};
use super::exit::Exit;
use super::phase::{Cause, Life, Phase, Wish};
use super::restart::{Restart, When};
use super::status::{Fault, State, Status};
use crate::listing::Transport;

/// SIGKILL.
const KILLED: i32 = 9;

/// The course of a supervised program: a state machine that has no clock and does no I/O.
///
/// It begins [stopped](State::Stopped); [`Event::Start`] sets it going. Its driver calls [`Course::on`] for each event, and
/// [`Course::tick`] when the time of [`Course::next`] has come, and carries out the effects that they return, in that order. Before a tick
/// the driver should report all events until then: an answer that has arrived must not count as missing.
#[derive(Clone, Debug)]
pub struct Course {
    restart: Restart,
    phase: Phase,
    /// The number of times that [`Effect::Start`] was returned.
    starts: u64,
    /// Crashes since the last process that ran for long enough; they select the wait before the next start.
    in_a_row: usize,
    /// The times of the crashes that still count for the quarantine, the oldest first.
    crashes: VecDeque<Instant>,
    last_exit: Option<Exit>,
    /// The fault of the present life, if it has one.
    fault: Option<Fault>,
    /// The fault of the last life, if it had one.
    last_fault: Option<Fault>,
    /// Whether the present life is being ended with SIGKILL.
    is_killed: bool,
    /// Whether the last life was ended with SIGKILL.
    was_killed: bool,
    /// How the program is connected to the bus, which decides how it is asked whether it serves.
    transport: Transport,
}

impl Course {
    /// The course of a program that was never started.
    pub fn new(restart: Restart) -> Course {
        Course {
            restart,
            phase: Phase::Stopped,
            starts: 0,
            in_a_row: 0,
            crashes: VecDeque::new(),
            last_exit: None,
            fault: None,
            last_fault: None,
            is_killed: false,
            was_killed: false,
            transport: Transport::Shm,
        }
    }

    /// Replaces the times and numbers. A wait that has begun keeps its length.
    pub fn set_restart(&mut self, restart: Restart) {
        self.restart = restart;
    }

    /// Sets how the program is connected to the bus; by default through shared memory.
    pub fn set_transport(&mut self, transport: Transport) {
        self.transport = transport;
    }

    /// Handles an event and returns the effects. An event that does not fit the present life is ignored.
    pub fn on(&mut self, event: Event, now: Instant) -> Vec<Effect> {
        self.step(|course, effects| match event {
            Event::Start => course.start(effects),
            Event::Stop => course.stop(now, effects),
            Event::Restart => course.start_again(now, effects),
            Event::Started { pid } => course.started(pid, now, effects),
            Event::NotStarted { why } => course.not_started(why, now, effects),
            Event::Ready => course.ready(now),
            Event::Answered => course.answered(),
            Event::Fatal { code, why } => course.fatal(code, why, effects),
            Event::Unreachable { code, why } => {
                course.unreachable(Fault { code, why }, now, effects);
            }
            Event::Exited(exit) => course.exited(exit, now, effects),
        })
    }

    /// The time at which [`Course::tick`] must be called; `None` if only an event can change something.
    pub fn next(&self) -> Option<Instant> {
        self.phase.next()
    }

    /// Handles the passing of time and returns the effects; none if it is too early.
    pub fn tick(&mut self, now: Instant) -> Vec<Effect> {
        if self.next().is_none_or(|at| now < at) {
            return Vec::new();
        }
        self.step(|course, effects| match course.phase {
            Phase::Starting { .. } => {
                let within = course.restart.ready_within;
                let why = format!("it was not ready within {within:?}");
                course.fatal("HANDSHAKE_TIMEOUT", why, effects);
            }
            Phase::Ready {
                life, unanswered, ..
            } => course.ask(life, unanswered, now, effects),
            Phase::Ending {
                life, wish, cause, ..
            } => course.kill(life, (wish, cause), effects),
            Phase::Waiting { .. } => course.launch(effects),
            Phase::Stopped | Phase::Launching { .. } | Phase::Quarantined => {}
        })
    }

    /// The state of the program.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// The status of the program, for listings.
    pub fn status(&self, now: Instant) -> Status {
        let next_try = match self.phase {
            Phase::Waiting { until } => until.map(|at| at.saturating_duration_since(now)),
            _ => None,
        };
        Status {
            state: self.state(),
            pid: self.phase.life().map(|life| life.pid),
            restarts: self.starts.saturating_sub(1),
            last_exit: self.last_exit,
            last_fault: self.last_fault.clone(),
            next_try,
            was_killed: self.was_killed,
            transport: self.transport,
            version: None,
            takes_orders: false,
        }
    }

    /// Makes a change and collects its effects; adds [`Effect::Became`] at the end if the state is a new one.
    fn step(&mut self, change: impl FnOnce(&mut Course, &mut Vec<Effect>)) -> Vec<Effect> {
        let (before, mut effects) = (self.state(), Vec::new());
        change(self, &mut effects);
        if self.state() != before {
            effects.push(Effect::Became(self.state()));
        }
        effects
    }

    fn start(&mut self, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Stopped | Phase::Quarantined => {
                self.forget_crashes();
                self.launch(effects);
            }
            Phase::Waiting { .. } => self.launch(effects),
            Phase::Launching {
                wish: wish @ Wish::Stop,
            } => *wish = Wish::Run,
            Phase::Ending {
                wish: wish @ Wish::Stop,
                ..
            } => *wish = Wish::Again,
            Phase::Launching { .. } | Phase::Ending { .. } => {}
            Phase::Starting { .. } | Phase::Ready { .. } => {}
        }
    }

    fn stop(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Stopped => {}
            Phase::Quarantined | Phase::Waiting { .. } => self.phase = Phase::Stopped,
            Phase::Launching { wish } | Phase::Ending { wish, .. } => *wish = Wish::Stop,
            Phase::Starting { life, .. } | Phase::Ready { life, .. } => {
                let life = *life;
                self.terminate(life, (Wish::Stop, Cause::Asked), now, effects);
            }
        }
    }

    fn start_again(&mut self, now: Instant, effects: &mut Vec<Effect>) {
        match &mut self.phase {
            Phase::Stopped | Phase::Quarantined | Phase::Waiting { .. } => self.start(effects),
            Phase::Launching { wish } | Phase::Ending { wish, .. } => *wish = Wish::Again,
            Phase::Starting { life, .. } | Phase::Ready { life, .. } => {
                let life = *life;
                self.terminate(life, (Wish::Again, Cause::Asked), now, effects);
            }
        }
    }

    fn started(&mut self, pid: u32, now: Instant, effects: &mut Vec<Effect>) {
        let Phase::Launching { wish } = self.phase else {
            return;
        };
        let life = Life { pid, since: now };
        if wish == Wish::Run {
            let until = now.checked_add(self.restart.ready_within);
            self.phase = Phase::Starting { life, until };
        } else {
            self.terminate(life, (wish, Cause::Asked), now, effects);
        }
    }

    fn not_started(&mut self, why: String, now: Instant, effects: &mut Vec<Effect>) {
        let Phase::Launching { wish } = self.phase else {
            return;
        };
        let code = "NOT_STARTED";
        self.last_fault = Some(Fault { code, why });
        self.crashed(now);
        self.go_on(wish, now, effects);
    }

    fn ready(&mut self, now: Instant) {
        if let Phase::Starting { life, .. } = self.phase {
            let ask_at = now.checked_add(self.restart.between_questions());
            self.phase = Phase::Ready {
                life,
                ask_at,
                unanswered: 0,
            };
        }
    }

    fn answered(&mut self) {
        if let Phase::Ready { unanswered, .. } = &mut self.phase {
            *unanswered = 0;
        }
    }

    fn ask(&mut self, life: Life, unanswered: u32, now: Instant, effects: &mut Vec<Effect>) {
        if unanswered >= self.restart.hung_after.max(1) {
            let every = self.restart.between_questions();
            let why = match self.transport {
                Transport::Stdio => format!(
                    "it has answered none of the last {unanswered} `ping`s with a `pong`, one each {every:?}"
                ),
                Transport::Shm | Transport::InProcess => format!(
                    "it has not answered {unanswered} questions in a row, one each {every:?}"
                ),
            };
            return self.fatal("HUNG", why, effects);
        }
        effects.push(Effect::Ask);
        // Counted from now, so that after a delay of the driver the missed questions are not all asked at once.
        let ask_at = now.checked_add(self.restart.between_questions());
        self.phase = Phase::Ready {
            life,
            ask_at,
            unanswered: unanswered + 1,
        };
    }

    fn fatal(&mut self, code: &'static str, why: String, effects: &mut Vec<Effect>) {
        let (life, wish, cause) = match self.phase {
            Phase::Starting { life, .. } | Phase::Ready { life, .. } => {
                (life, Wish::Run, Cause::Fault)
            }
            // The program had a grace in which to end in order, and has failed instead: it is killed now.
            Phase::Ending {
                life,
                kill_at: Some(_),
                wish,
                cause,
            } => (life, wish, cause),
            _ => return,
        };
        self.fault = Some(Fault { code, why });
        self.kill(life, (wish, cause), effects);
    }

    fn kill(&mut self, life: Life, (wish, cause): (Wish, Cause), effects: &mut Vec<Effect>) {
        effects.push(Effect::Kill);
        self.is_killed = true;
        self.phase = Phase::Ending {
            life,
            kill_at: None,
            wish,
            cause,
        };
    }

    fn unreachable(&mut self, fault: Fault, now: Instant, effects: &mut Vec<Effect>) {
        if let Phase::Starting { life, .. } | Phase::Ready { life, .. } = self.phase {
            self.terminate(life, (Wish::Run, Cause::Unreachable), now, effects);
            self.fault = Some(fault);
        }
    }

    fn terminate(
        &mut self,
        life: Life,
        (wish, cause): (Wish, Cause),
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Terminate);
        let kill_at = now.checked_add(self.restart.stop_grace);
        self.phase = Phase::Ending {
            life,
            kill_at,
            wish,
            cause,
        };
    }

    fn exited(&mut self, exit: Exit, now: Instant, effects: &mut Vec<Effect>) {
        let Some(life) = self.phase.life() else {
            return;
        };
        let (wish, cause) = match self.phase {
            Phase::Ending { wish, cause, .. } => (wish, Some(cause)),
            _ => (Wish::Run, None),
        };
        self.last_exit = Some(exit);
        self.last_fault = self.fault.take();
        self.was_killed = std::mem::take(&mut self.is_killed) && exit == Exit::Signal(KILLED);
        if now.saturating_duration_since(life.since) >= self.restart.steady_after {
            self.in_a_row = 0;
        }
        let is_stop = self.restart.when == When::OnFailure && exit == Exit::Code(0);
        match cause {
            Some(Cause::Asked) => self.go_on(wish, now, effects),
            Some(Cause::Unreachable) | None if is_stop => {
                let wish = if wish == Wish::Run { Wish::Stop } else { wish };
                self.go_on(wish, now, effects);
            }
            Some(Cause::Fault | Cause::Unreachable) | None => {
                self.crashed(now);
                self.go_on(wish, now, effects);
            }
        }
    }

    /// Decides what follows the end of a life.
    fn go_on(&mut self, wish: Wish, now: Instant, effects: &mut Vec<Effect>) {
        match wish {
            Wish::Stop => self.phase = Phase::Stopped,
            Wish::Again => {
                if self.is_too_often() {
                    self.forget_crashes();
                }
                self.launch(effects);
            }
            Wish::Run if self.is_too_often() => self.phase = Phase::Quarantined,
            Wish::Run => {
                let until = now.checked_add(self.restart.wait_after(self.in_a_row));
                self.phase = Phase::Waiting { until };
            }
        }
    }

    fn launch(&mut self, effects: &mut Vec<Effect>) {
        self.starts += 1;
        self.phase = Phase::Launching { wish: Wish::Run };
        effects.push(Effect::Start);
    }

    fn crashed(&mut self, now: Instant) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let within = self.restart.quarantine_within;
        self.crashes.push_back(now);
        self.crashes
            .retain(|then| now.saturating_duration_since(*then) <= within);
        let most = self.restart.quarantine_crashes as usize;
        while self.crashes.len() > most {
            self.crashes.pop_front();
        }
    }

    /// Whether the program has crashed often enough for the quarantine. Called right after a crash.
    fn is_too_often(&self) -> bool {
        let most = self.restart.quarantine_crashes as usize;
        most != 0 && self.crashes.len() >= most
    }

    fn forget_crashes(&mut self) {
        self.crashes.clear();
        self.in_a_row = 0;
    }
}
