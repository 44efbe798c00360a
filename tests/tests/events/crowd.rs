//! Many processes that listen to one sender.

use std::time::{Duration, Instant};

use callgate_tests::random::Random;
use callgate_tests::{Bus, PATIENCE, programs};
use nix::sys::signal::Signal;

use crate::scene::{Listener, Sender, expect_all};

/// A ring for 6,553 of these events.
const LOSSLESS: [&str; 3] = ["lossless", "262144", "0"];
/// The same, but listeners may delay the sender as often as they need to. The ring is small, so that they do so all
/// the time.
const PATIENT: [&str; 3] = ["patient", "65536", "0"];
/// After so many events the sender waits for the listeners that are behind. So a listener that only has to share the
/// processors with the others never counts as too slow.
const EVERY: u64 = 2_000;
/// The most milliseconds that it waits: enough for all listeners that move on.
const PACE: u64 = 10_000;

fn crowd(bus: &Bus, size: usize) -> Vec<Listener> {
    let mode = |n: usize| if n % 4 == 3 { "pull" } else { "handler" };
    let start = |n| Listener::start(bus, &format!("Listener{n}"), (mode(n), 0));
    (0..size).map(start).collect()
}

/// How long so many events to so many listeners may take, on two busy processors.
fn patience(size: usize, events: u64) -> Duration {
    let handled = size as u64 * events;
    6 * PATIENCE + Duration::from_micros(20 * handled)
}

fn each_hears_all(size: usize, events: u64) {
    let bus = Bus::start(programs!());
    let mut listeners = crowd(&bus, size);
    let mut sender = Sender::start(&bus, LOSSLESS);
    sender.ask_within(
        &format!("paced {events} {EVERY} {PACE}"),
        patience(size, events),
    );
    sender.flush();
    expect_all(&mut listeners, &sender, events);
}

/// As [`each_hears_all`], where the sender waits for the slowest listener without a pause.
fn each_is_waited_for(size: usize, events: u64) {
    let bus = Bus::start(programs!());
    let mut listeners = crowd(&bus, size);
    let mut sender = Sender::start(&bus, PATIENT);
    let begun = Instant::now();
    sender.ask_within(&format!("send {events}"), patience(size, events));
    println!("{events} to {size} in {:.1?}", begun.elapsed());
    sender.flush();
    expect_all(&mut listeners, &sender, events);
}

/// As [`each_hears_all`], while some listeners are killed and some stand still for longer than a send waits.
fn others_hear_all((size, few): (usize, usize), (events, pace): (u64, u64)) {
    let bus = Bus::start(programs!());
    let mut random = Random::new("crowd");
    let mut listeners = crowd(&bus, size);
    let mut sender = Sender::start(&bus, LOSSLESS);
    sender.ask(&format!("paced {EVERY} {EVERY} {PACE}"));
    let mut stopped = listeners.split_off(size - few);
    let killed = listeners.split_off(size - 2 * few);
    let begun = Instant::now();
    stopped.iter().for_each(|listener| listener.process.stop());
    sender
        .process
        .say(&format!("paced {events} {EVERY} {pace}"));
    for listener in killed {
        random.pause(200);
        listener.process.kill();
    }
    let answer = sender.process.line(patience(size, events));
    let elapsed = begun.elapsed().as_millis() as u64;
    let waited: u64 = answer
        .ok()
        .and_then(|line| line.split_once(' ')?.1.parse().ok())
        .expect("numbers");
    // A budget is one second and a tenth of the time. The limit is twice that, because the processors are busy.
    let budgets = few as u64 * (1_000 + elapsed / 10);
    assert!(waited < 2 * budgets + 5_000, "{waited} ms of {elapsed}");
    for listener in &stopped {
        listener.process.signal(Signal::SIGCONT);
    }
    sender.flush();
    let sent = EVERY + events;
    expect_all(&mut listeners, &sender, sent);
    for listener in &mut stopped {
        let heard = listener.await_heard(sender.id(), |heard| heard.next == sent);
        assert_eq!(
            (heard.first, heard.received + heard.lost),
            (0, sent),
            "{heard:?}"
        );
        assert!(heard.lost > events / 2, "{}: {heard:?}", listener.name);
    }
}

#[test]
fn each_of_many_processes_hears_every_event_once_and_in_order() {
    each_hears_all(20, 30_000);
}

/// If listeners have no budget, the sender waits for each of them and none loses events, although each gets little
/// processor time.
#[test]
fn each_of_a_crowd_is_waited_for_where_there_is_no_budget() {
    each_is_waited_for(20, 40_000);
}

#[test]
#[ignore = "a hundred processes and a million events: ten minutes on two processors"]
fn each_of_a_hundred_processes_hears_a_million_events() {
    each_hears_all(100, 1_000_000);
}

#[test]
#[ignore = "a hundred processes and a million events: ten minutes on two processors"]
fn each_of_a_hundred_processes_is_waited_for_where_there_is_no_budget() {
    each_is_waited_for(100, 1_000_000);
}

#[test]
fn who_is_killed_or_stopped_costs_the_others_nothing() {
    // Three flushes wait for the listeners that stand still, too.
    others_hear_all((20, 3), (30_000, 300));
}

#[test]
#[ignore = "a hundred processes and a million events: ten minutes on two processors"]
fn five_killed_and_five_stopped_of_a_hundred_cost_the_others_nothing() {
    others_hear_all((100, 5), (1_000_000, PACE));
}
