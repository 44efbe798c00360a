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

/// The course of a supervised program: pure, without a clock.
///
/// It begins [stopped](State::Stopped); [`Event::Start`] sets it going. Whoever drives it calls [`Course::on`] for what
/// happens and [`Course::tick`] when the time of [`Course::next`] has come, and carries out what they return, in that
/// order. Before a tick it should take in what has happened until then: an answer that already lies there must not
/// count as missing.
#[derive(Clone, Debug)]
pub struct Course {
    restart: Restart,
    phase: Phase,
    /// How often [`Effect::Start`] was returned.
    starts: u64,
    /// Crashes since the last process that ran for long enough; for the back-off.
    in_a_row: usize,
    /// When the program has crashed, as far back as counts for the quarantine, the oldest first.
    crashes: VecDeque<Instant>,
    last_exit: Option<Exit>,
    /// What is wrong with the present life.
    fault: Option<Fault>,
    /// What was wrong with the last one.
    last_fault: Option<Fault>,
    /// Whether the present life was ended with SIGKILL.
    is_killed: bool,
    /// Whether that is how the last one ended.
    was_killed: bool,
    /// How the program takes part in the bus, and so how it is asked.
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

    /// Has the course go by other times and numbers. A time that runs already stays as it is.
    pub fn set_restart(&mut self, restart: Restart) {
        self.restart = restart;
    }

    /// Says how the program takes part in the bus; unless that is done, through shared memory.
    pub fn set_transport(&mut self, transport: Transport) {
        self.transport = transport;
    }

    /// What is to be done about what has happened. What cannot be about the present life is ignored.
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

    /// When [`Course::tick`] is to be called next; `None` where only an event changes anything.
    pub fn next(&self) -> Option<Instant> {
        self.phase.next()
    }

    /// What is to be done because of the time. Nothing where it is too early.
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

    /// Where the program is on its course.
    pub fn state(&self) -> State {
        self.phase.state()
    }

    /// How the program stands, for those who list it.
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

    /// Collects the effects of a change, and says last whether the state is another one.
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
        // From now on, so that questions that were held up are not made good for all at once.
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
            // It has its grace for an end in order, and makes no use of it.
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

    /// A life has ended: what follows.
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

    /// Whether the program has crashed so often that it is to stay away; right after a crash.
    fn is_too_often(&self) -> bool {
        let most = self.restart.quarantine_crashes as usize;
        most != 0 && self.crashes.len() >= most
    }

    fn forget_crashes(&mut self) {
        self.crashes.clear();
        self.in_a_row = 0;
    }
}
