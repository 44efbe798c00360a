//! Properties that hold for every sequence of events.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::supervision::{Course, Effect, Event, Exit, Restart, State, When};

/// A random step, also one that makes no sense at that point.
#[derive(Clone, Debug)]
enum Step {
    On(Event),
    /// Time passes.
    Pass(Duration),
    /// Time passes until the course must act.
    Tick,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        2 => Just(Event::Start),
        1 => Just(Event::Stop),
        1 => Just(Event::Restart),
        4 => (1u32..9).prop_map(|pid| Event::Started { pid }),
        1 => Just(Event::NotStarted { why: "no".into() }),
        3 => Just(Event::Ready),
        2 => Just(Event::Answered),
        1 => Just(Event::Fatal { code: "PROTOCOL", why: "wrong".into() }),
        1 => Just(Event::Unreachable { code: "PROVIDER_GONE", why: "deaf".into() }),
        3 => (0i32..2).prop_map(|code| Event::Exited(Exit::Code(code))),
        1 => Just(Event::Exited(Exit::Signal(9))),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => event().prop_map(Step::On),
        1 => (0u64..700_000).prop_map(|millis| Step::Pass(Duration::from_millis(millis))),
        2 => Just(Step::Tick),
    ];
    prop::collection::vec(step, 1..120)
}

fn time() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        (0u64..60_000).prop_map(Duration::from_millis),
        Just(Duration::MAX),
    ]
}

fn restart() -> impl Strategy<Value = Restart> {
    let times = (time(), time(), time(), time(), time());
    let backoff = prop::collection::vec(time(), 0..4);
    let numbers = (0u32..5, 0u32..5, any::<bool>());
    (times, backoff, numbers).prop_map(|(times, backoff, (hung, crashes, always))| {
        Restart::default()
            .ready_within(times.0)
            .ask_every(times.1)
            .stop_grace(times.2)
            .steady_after(times.3)
            .quarantine(crashes, times.4)
            .hung_after(hung)
            .backoff(backoff)
            .when(if always {
                When::Always
            } else {
                When::OnFailure
            })
    })
}

/// The world that a driver would have made by carrying out the effects.
#[derive(Debug, Default)]
struct World {
    is_launching: bool,
    /// The signals that the process was sent, if there is a process.
    process: Option<Vec<Effect>>,
    state: Option<State>,
}

impl World {
    fn hears(&mut self, event: &Event) {
        match event {
            Event::Started { .. } if self.is_launching => {
                self.is_launching = false;
                self.process = Some(Vec::new());
            }
            Event::NotStarted { .. } => self.is_launching = false,
            Event::Exited(_) => self.process = None,
            _ => {}
        }
    }

    fn carries_out(&mut self, effects: &[Effect]) {
        for (at, effect) in effects.iter().enumerate() {
            match effect {
                Effect::Start => {
                    assert!(
                        !self.is_launching && self.process.is_none(),
                        "two lives: {self:?}"
                    );
                    self.is_launching = true;
                }
                Effect::Ask => {
                    let sent = self.process.as_ref().unwrap();
                    assert!(sent.is_empty(), "asked after {sent:?}");
                }
                Effect::Terminate | Effect::Kill => {
                    let sent = self.process.as_mut().unwrap();
                    assert!(!sent.contains(effect), "twice: {effect:?}");
                    assert!(!sent.contains(&Effect::Kill), "after a kill: {effect:?}");
                    sent.push(*effect);
                }
                Effect::Became(state) => {
                    assert_eq!(at, effects.len() - 1, "not last");
                    assert_ne!(self.state, Some(*state), "became what it was");
                    self.state = Some(*state);
                }
            }
        }
    }

    fn fits(&self, course: &Course, now: Instant) {
        let status = course.status(now);
        assert_eq!(status.state, self.state.unwrap_or(State::Stopped));
        assert_eq!(status.pid.is_some(), self.process.is_some());
        let lives = self.is_launching || self.process.is_some();
        match status.state {
            State::Starting | State::Ready | State::Stopping => assert!(lives),
            State::Waiting | State::Quarantined | State::Stopped => assert!(!lives),
        }
        let sent = self.process.as_ref().is_some_and(|sent| !sent.is_empty());
        if sent {
            assert_eq!(
                status.state,
                State::Stopping,
                "a life that was ended goes on"
            );
        }
    }
}

/// A course, together with the world that its driver has made.
struct Run {
    course: Course,
    world: World,
    now: Instant,
}

impl Run {
    fn new(restart: Restart) -> Run {
        let (course, world) = (Course::new(restart), World::default());
        Run {
            course,
            world,
            now: Instant::now(),
        }
    }

    fn on(&mut self, event: Event) {
        self.world.hears(&event);
        let effects = self.course.on(event, self.now);
        self.world.carries_out(&effects);
        self.world.fits(&self.course, self.now);
    }

    fn tick(&mut self) {
        let effects = self.course.tick(self.now);
        self.world.carries_out(&effects);
        self.world.fits(&self.course, self.now);
        let next = self.course.next();
        assert!(
            next.is_none_or(|next| next > self.now),
            "a tick leaves something to be done"
        );
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::On(event) => self.on(event),
            Step::Pass(time) => {
                self.now += time;
                self.tick();
            }
            Step::Tick => {
                if let Some(next) = self.course.next() {
                    self.now = self.now.max(next);
                }
                self.tick();
            }
        }
    }
}

proptest! {
    #[test]
    fn there_is_one_life_at_a_time_and_nothing_is_sent_to_one_that_is_over(
        restart in restart(),
        steps in steps(),
    ) {
        let mut run = Run::new(restart);
        for step in steps {
            run.step(step);
        }
    }

    #[test]
    fn a_stop_ends_in_stopped(restart in restart(), steps in steps(), comes_up in any::<bool>()) {
        let mut run = Run::new(restart);
        for step in steps {
            run.step(step);
        }
        run.on(Event::Stop);
        if run.world.is_launching {
            run.on(match comes_up {
                true => Event::Started { pid: 1 },
                false => Event::NotStarted { why: "no".into() },
            });
        }
        run.step(Step::Tick);
        if run.world.process.is_some() {
            run.on(Event::Exited(Exit::Signal(15)));
        }
        prop_assert_eq!(run.course.state(), State::Stopped);
        prop_assert_eq!(run.course.next(), None);
    }

    #[test]
    fn a_life_that_is_ended_is_over_when_its_process_is(restart in restart(), steps in steps()) {
        let mut run = Run::new(restart);
        for step in steps {
            run.step(step);
            if run.course.state() == State::Stopping && run.world.process.is_some() {
                run.on(Event::Exited(Exit::Signal(9)));
                prop_assert_ne!(run.course.state(), State::Stopping);
            }
        }
    }

    /// The expected waits are computed a second time, by simple sums over the times of all crashes.
    #[test]
    fn back_off_and_quarantine_follow_the_table(
        lives in prop::collection::vec((0u64..1300, any::<bool>()), 1..40),
    ) {
        let mut run = Run::new(Restart::default());
        run.on(Event::Start);
        let (mut crashes, mut in_a_row) = (Vec::<Instant>::new(), 0);
        for (uptime, comes_up) in lives {
            if comes_up {
                run.on(Event::Started { pid: 1 });
                run.on(Event::Ready);
                run.now += Duration::from_secs(uptime);
                run.on(Event::Exited(Exit::Code(3)));
                in_a_row = if uptime >= 600 { 0 } else { in_a_row };
            } else {
                run.on(Event::NotStarted { why: "no".into() });
            }
            crashes.push(run.now);
            in_a_row += 1;
            let recent = crashes.iter().filter(|then| run.now - **then <= Duration::from_secs(600));
            if recent.count() >= 5 {
                prop_assert_eq!(run.course.state(), State::Quarantined);
                run.on(Event::Start);
                crashes.clear();
                in_a_row = 0;
            } else {
                let wait = [1, 2, 5, 15, 60][usize::min(in_a_row, 5) - 1];
                let status = run.course.status(run.now);
                prop_assert_eq!(status.next_try, Some(Duration::from_secs(wait)));
                run.step(Step::Tick);
            }
            prop_assert_eq!(run.course.state(), State::Starting);
        }
    }
}
