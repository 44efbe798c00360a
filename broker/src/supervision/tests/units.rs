//! One test for each rule: what an event does in a state.

use std::time::{Duration, Instant};

use crate::listing::Transport;
use crate::supervision::{Course, Effect, Event, Exit, Pulse, Restart, State, Watchdog, When};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn started() -> Event {
    Event::Started { pid: 7 }
}

/// A course whose process runs and is ready, with the time at which it became so.
fn ready(restart: Restart) -> (Course, Instant) {
    let (mut course, now) = (Course::new(restart), Instant::now());
    assert_eq!(
        course.on(Event::Start, now),
        [Effect::Start, Effect::Became(State::Starting)]
    );
    assert_eq!(course.on(started(), now), []);
    assert_eq!(course.on(Event::Ready, now), [Effect::Became(State::Ready)]);
    (course, now)
}

/// Starts the program and lets it crash after this time; returns the time of the crash.
fn crash(course: &mut Course, start: Event, now: Instant, after: Duration) -> Instant {
    let effects = match start {
        Event::Start => course.on(Event::Start, now),
        _ => course.tick(now),
    };
    assert!(effects.contains(&Effect::Start), "{effects:?}");
    course.on(started(), now);
    course.on(Event::Exited(Exit::Code(3)), now + after);
    now + after
}

#[test]
fn a_program_that_is_not_ready_in_time_is_killed_and_started_again() {
    let (mut course, now) = (Course::new(Restart::default()), Instant::now());
    course.on(Event::Start, now);
    course.on(started(), now);
    assert_eq!(course.next(), Some(now + seconds(30)));
    assert_eq!(course.tick(now + seconds(29)), []);
    let effects = course.tick(now + seconds(30));
    assert_eq!(effects, [Effect::Kill, Effect::Became(State::Stopping)]);
    let effects = course.on(Event::Exited(Exit::Signal(9)), now + seconds(30));
    assert_eq!(effects, [Effect::Became(State::Waiting)]);
    let status = course.status(now + seconds(30));
    assert_eq!(
        status.last_fault.map(|fault| fault.code),
        Some("HANDSHAKE_TIMEOUT")
    );
    assert_eq!(status.next_try, Some(seconds(1)));
    assert_eq!(
        course.tick(now + seconds(31)),
        [Effect::Start, Effect::Became(State::Starting)]
    );
}

#[test]
fn three_questions_without_an_answer_mean_hung_and_the_next_life_is_asked_too() {
    let (mut course, mut now) = ready(Restart::default());
    for life in 0..2 {
        for _ in 0..3 {
            now += seconds(10);
            assert_eq!(course.tick(now), [Effect::Ask], "life {life}");
        }
        now += seconds(10);
        assert_eq!(
            course.tick(now),
            [Effect::Kill, Effect::Became(State::Stopping)]
        );
        course.on(Event::Exited(Exit::Signal(9)), now);
        assert_eq!(
            course.status(now).last_fault.map(|fault| fault.code),
            Some("HUNG")
        );
        now = course.next().unwrap();
        assert!(course.tick(now).contains(&Effect::Start));
        course.on(started(), now);
        course.on(Event::Ready, now);
    }
    assert_eq!(course.status(now).restarts, 2);
}

#[test]
fn an_answer_counts_for_all_questions_before_it() {
    let (mut course, mut now) = ready(Restart::default());
    for _ in 0..5 {
        for _ in 0..3 {
            now += seconds(10);
            assert_eq!(course.tick(now), [Effect::Ask]);
        }
        course.on(Event::Answered, now);
    }
    assert_eq!(course.state(), State::Ready);
}

#[test]
fn a_tick_that_comes_late_asks_once() {
    let (mut course, now) = ready(Restart::default());
    let late = now + seconds(1000);
    assert_eq!(course.tick(late), [Effect::Ask]);
    assert_eq!(course.tick(late), []);
    assert_eq!(course.next(), Some(late + seconds(10)));
}

#[test]
fn a_stop_asks_first_and_kills_after_the_grace() {
    let (mut course, now) = ready(Restart::default());
    let effects = course.on(Event::Stop, now);
    assert_eq!(
        effects,
        [Effect::Terminate, Effect::Became(State::Stopping)]
    );
    assert_eq!(course.tick(now + seconds(4)), []);
    assert_eq!(course.tick(now + seconds(5)), [Effect::Kill]);
    assert_eq!(course.next(), None);
    let effects = course.on(Event::Exited(Exit::Signal(9)), now + seconds(6));
    assert_eq!(effects, [Effect::Became(State::Stopped)]);
    let status = course.status(now);
    assert_eq!(
        (status.last_exit, status.was_killed),
        (Some(Exit::Signal(9)), true)
    );
    assert!(status.how_it_ended().unwrap().contains("grace"));
    // A program that ends by itself, or that somebody else kills, was not killed by its supervisor.
    for exit in [Exit::Code(0), Exit::Signal(9)] {
        course.on(Event::Start, now);
        course.on(started(), now);
        course.on(Event::Exited(exit), now);
        assert!(!course.status(now).was_killed, "{exit}");
    }
}

/// The error must name what was missing: the author of a plugin on pipes does not know that it was asked anything.
#[test]
fn what_a_plugin_did_not_answer_is_named() {
    for (transport, word) in [(Transport::Stdio, "`pong`"), (Transport::Shm, "questions")] {
        let (mut course, mut now) = ready(Restart::default());
        course.set_transport(transport);
        for _ in 0..4 {
            now += seconds(10);
            course.tick(now);
        }
        course.on(Event::Exited(Exit::Signal(9)), now);
        let fault = course.status(now).last_fault.unwrap();
        assert_eq!(fault.code, "HUNG");
        assert!(fault.why.contains(word), "{}", fault.why);
    }
}

#[test]
fn exit_0_is_a_crash_where_nobody_asked_for_it_unless_only_failures_are() {
    let (mut course, now) = ready(Restart::default());
    course.on(Event::Exited(Exit::Code(0)), now);
    assert_eq!(course.state(), State::Waiting);
    let (mut course, now) = ready(Restart::default().when(When::OnFailure));
    course.on(Event::Exited(Exit::Code(0)), now);
    assert_eq!(course.state(), State::Stopped);
    let (mut course, now) = ready(Restart::default().when(When::OnFailure));
    course.on(Event::Exited(Exit::Code(1)), now);
    assert_eq!(course.state(), State::Waiting);
}

#[test]
fn a_killed_program_has_crashed_whatever_it_exits_with() {
    let (mut course, now) = ready(Restart::default().when(When::OnFailure));
    let effects = course.on(
        Event::Fatal {
            code: "FRAME_TOO_LARGE",
            why: "a line".into(),
        },
        now,
    );
    assert_eq!(effects, [Effect::Kill, Effect::Became(State::Stopping)]);
    course.on(Event::Exited(Exit::Code(0)), now);
    assert_eq!(course.state(), State::Waiting);
}

#[test]
fn an_unreachable_program_has_its_grace_and_its_exit_decides() {
    let unreachable = || Event::Unreachable {
        code: "PROVIDER_GONE",
        why: "a pipe".into(),
    };
    for (exit, state) in [(0, State::Stopped), (1, State::Waiting)] {
        let (mut course, now) = ready(Restart::default().when(When::OnFailure));
        assert_eq!(course.on(unreachable(), now)[0], Effect::Terminate);
        course.on(Event::Exited(Exit::Code(exit)), now);
        assert_eq!(course.state(), state);
    }
    let (mut course, now) = ready(Restart::default());
    course.on(unreachable(), now);
    assert_eq!(course.tick(now + seconds(5)), [Effect::Kill]);
}

#[test]
fn a_restart_waits_for_the_end_and_for_nothing_else() {
    let (mut course, now) = ready(Restart::default());
    assert_eq!(course.on(Event::Restart, now)[0], Effect::Terminate);
    let effects = course.on(Event::Exited(Exit::Signal(15)), now);
    assert_eq!(effects, [Effect::Start, Effect::Became(State::Starting)]);
    assert_eq!(course.status(now).restarts, 1);
}

#[test]
fn the_last_wish_counts_while_a_program_is_being_started_or_ended() {
    let (mut course, now) = (Course::new(Restart::default()), Instant::now());
    course.on(Event::Start, now);
    assert_eq!(
        course.on(Event::Stop, now),
        [Effect::Became(State::Stopping)]
    );
    assert_eq!(
        course.on(Event::Start, now),
        [Effect::Became(State::Starting)]
    );
    course.on(Event::Stop, now);
    assert_eq!(course.on(started(), now), [Effect::Terminate]);
    course.on(Event::Start, now);
    let effects = course.on(Event::Exited(Exit::Code(0)), now);
    assert_eq!(effects, [Effect::Start, Effect::Became(State::Starting)]);
    course.on(Event::Stop, now);
    course.on(
        Event::NotStarted {
            why: "no such file".into(),
        },
        now,
    );
    assert_eq!(course.state(), State::Stopped);
}

#[test]
fn the_back_off_follows_its_table_and_a_long_run_resets_it() {
    let waits = [1, 2, 5, 15, 60, 60].map(seconds);
    let mut course = Course::new(Restart::default().quarantine(0, seconds(600)));
    let mut now = crash(&mut course, Event::Start, Instant::now(), seconds(1));
    for wait in waits {
        assert_eq!(course.next(), Some(now + wait));
        now = crash(&mut course, Event::Ready, now + wait, seconds(599));
    }
    now = crash(&mut course, Event::Ready, now + seconds(60), seconds(600));
    assert_eq!(course.next(), Some(now + seconds(1)));
}

/// A manifest is read again while its program runs, waits, or has crashed often.
#[test]
fn other_times_count_for_what_begins_afterwards() {
    let (mut course, now) = ready(Restart::default());
    let ask_at = course.next().unwrap();
    course.set_restart(
        Restart::default()
            .ask_every(seconds(1))
            .backoff([seconds(7)])
            .quarantine(3, seconds(600)),
    );
    assert_eq!(course.next(), Some(ask_at));
    assert_eq!(course.tick(ask_at), [Effect::Ask]);
    assert_eq!(course.next(), Some(ask_at + seconds(1)));
    course.on(Event::Exited(Exit::Code(3)), ask_at);
    assert_eq!(course.next(), Some(ask_at + seconds(7)));
    course.set_restart(
        Restart::default()
            .backoff([seconds(9)])
            .quarantine(2, seconds(600)),
    );
    assert_eq!(course.next(), Some(ask_at + seconds(7)));
    crash(&mut course, Event::Ready, ask_at + seconds(7), seconds(0));
    assert_eq!(
        course.state(),
        State::Quarantined,
        "the crash before counts"
    );
    course.set_restart(Restart::default());
    assert_eq!(course.state(), State::Quarantined);
    course.on(Event::Start, now + seconds(60));
    assert_eq!(course.state(), State::Starting);
}

#[test]
fn five_crashes_within_ten_minutes_mean_quarantine_until_somebody_starts_it() {
    for command in [Event::Start, Event::Restart] {
        let mut course = Course::new(Restart::default());
        let mut now = crash(&mut course, Event::Start, Instant::now(), seconds(1));
        for _ in 0..4 {
            assert_eq!(course.state(), State::Waiting);
            now = course.next().unwrap();
            now = crash(&mut course, Event::Ready, now, seconds(1));
        }
        assert_eq!((course.state(), course.next()), (State::Quarantined, None));
        assert_eq!(course.on(command, now)[0], Effect::Start);
        course.on(started(), now);
        course.on(Event::Exited(Exit::Code(3)), now);
        // The crashes were counted from zero.
        assert_eq!(course.next(), Some(now + seconds(1)));
    }
}

#[test]
fn a_program_that_cannot_be_started_ends_in_quarantine() {
    let (mut course, mut now) = (Course::new(Restart::default()), Instant::now());
    course.on(Event::Start, now);
    for _ in 0..5 {
        let why = "no such file".to_owned();
        course.on(Event::NotStarted { why }, now);
        if let Some(next) = course.next() {
            now = next;
            course.tick(now);
        }
    }
    let status = course.status(now);
    assert_eq!((status.state, status.restarts), (State::Quarantined, 4));
    assert_eq!(
        status.last_fault.map(|fault| fault.why),
        Some("no such file".into())
    );
}

#[test]
fn what_is_to_happen_never_has_no_time() {
    let never = Duration::MAX;
    let (mut course, now) = ready(Restart::default().ask_every(never).stop_grace(never));
    assert_eq!(course.next(), None);
    course.on(Event::Stop, now);
    assert_eq!(course.next(), None);
}

/// The time for becoming ready was only tested as it is by default.
#[test]
fn a_program_has_the_time_for_becoming_ready_that_it_was_given() {
    let restart = Restart::default().ready_within(seconds(3));
    let (mut course, now) = (Course::new(restart), Instant::now());
    course.on(Event::Start, now);
    course.on(started(), now);
    assert_eq!(course.next(), Some(now + seconds(3)));
    let effects = course.tick(now + seconds(3));
    assert_eq!(effects, [Effect::Kill, Effect::Became(State::Stopping)]);
}

/// Nothing but tests over processes saw what a watchdog takes for an answer.
#[test]
fn a_report_is_no_answer_if_calls_wait_and_nobody_works() {
    let stands_still = Pulse {
        turns_ended: 4,
        is_waiting: true,
        busy_for: 0,
    };
    let with = |change: fn(&mut Pulse)| {
        let mut pulse = stands_still;
        change(&mut pulse);
        pulse
    };
    let second = |pulse| {
        let mut watchdog = Watchdog::new();
        assert!(watchdog.hears(stands_still), "there was none before");
        watchdog.hears(pulse)
    };
    assert!(!second(stands_still));
    assert!(second(with(|pulse| pulse.turns_ended = 5)));
    assert!(second(with(|pulse| pulse.is_waiting = false)));
    assert!(second(with(|pulse| pulse.busy_for = 1)));
}
