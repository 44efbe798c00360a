//! What a group costs: threads, descriptors, time.

use std::time::Duration;

use callgate_tests::proc::{self, Holdings, eventually};
use callgate_tests::{Bus, Process, programs};

const MANY: u64 = 200;

fn count(process: &mut Process, line: &str) -> u64 {
    process.ask(line).parse().expect("a number")
}

/// How many descriptors each of many plugins takes in its own process and in that of the broker.
fn descriptors_of_each(role: &str) -> (f64, f64) {
    let bus = Bus::start_open(programs!());
    let broker = bus.broker.as_ref().expect("it was started").id();
    let mut host = bus.peer(role, "M", &[&MANY.to_string()]);
    let before = [host.id(), broker].map(|pid| Holdings::at_rest(pid).descriptors);
    assert_eq!(host.ask("all"), "done");
    let after = [host.id(), broker].map(|pid| Holdings::at_rest(pid).descriptors);
    let each = |at: usize| (after[at] - before[at]) as f64 / (MANY - 1) as f64;
    (each(0), each(1))
}

/// Two hundred plugins of one group have two threads in all, not two each.
#[test]
fn two_hundred_plugins_of_one_group_are_served_by_two_threads() {
    let bus = Bus::start(programs!());
    let mut host = bus.peer("group", "M", &[&MANY.to_string()]);
    assert_eq!(host.ask("all"), "done");
    let mut caller = bus.peer("rounds", "Caller", &["M", &MANY.to_string()]);
    assert_eq!(count(&mut caller, "again"), 3 * MANY);
    // Each plugin calls the next one of the same process, in a ring.
    assert_eq!(count(&mut host, "inside"), 3 * MANY);
    let threads = proc::threads(host.id());
    assert!(threads <= 4, "the whole process has {threads} threads");
    assert_eq!(count(&mut caller, "and again"), 3 * MANY);
    assert_eq!(proc::threads(host.id()), threads);
}

/// A plugin of a group needs one socket, and no poll or doorbell descriptors of its own.
#[test]
fn a_plugin_of_a_group_takes_its_socket_and_no_poll_of_its_own() {
    let (alone, group) = (descriptors_of_each("alone"), descriptors_of_each("group"));
    println!(
        "descriptors of a plugin, in its process and in the broker: alone {alone:?}, in a group {group:?}"
    );
    assert!(group.0 < 1.1 && group.0 < alone.0, "{group:?} {alone:?}");
    assert!(group.1 < alone.1, "{group:?} {alone:?}");
}

#[test]
fn the_threads_end_with_the_group_and_its_plugins_in_any_order() {
    for lines in [
        ["drop plugins", "drop group"],
        ["drop group", "drop plugins"],
    ] {
        let bus = Bus::start(programs!());
        let mut host = bus.peer("group", "M", &["3"]);
        assert_eq!(host.ask("all"), "done");
        for line in lines {
            assert_eq!(proc::threads(host.id()), 3);
            assert_eq!(host.ask(line), "done");
        }
        assert_eq!(proc::threads(host.id()), 1, "after {lines:?}");
    }
}

/// A group that has become empty can be joined again: its thread is woken by its doorbell as before.
#[test]
fn a_group_may_become_empty_and_be_joined_again() {
    let bus = Bus::start(programs!());
    let mut host = bus.peer("group", "M", &["1"]);
    let before = Holdings::at_rest(host.id());
    for _ in 0..3 {
        let mut caller = bus.peer("rounds", "Caller", &["M", "1"]);
        assert_eq!(count(&mut caller, "again"), 3);
        caller.close_input();
        assert!(caller.wait().success(), "it ends well");
        assert_eq!(host.ask("drop plugins"), "done");
        assert_eq!(host.ask("one"), "done");
    }
    before.expect_again("the process", host.id());
}

/// A thread that serves many plugins does not check each of them at intervals.
#[test]
fn two_hundred_idle_plugins_of_a_group_cost_nothing() {
    let bus = Bus::start(programs!());
    let mut host = bus.peer("group", "M", &[&MANY.to_string()]);
    assert_eq!(host.ask("all"), "done");
    let mut caller = bus.peer("rounds", "Caller", &["M", &MANY.to_string()]);
    assert_eq!(count(&mut caller, "again"), 3 * MANY);
    let sleeps = || proc::sleeps(host.id());
    eventually("the group is at rest", || {
        let before = sleeps();
        std::thread::sleep(Duration::from_millis(200));
        match sleeps() - before {
            0 => Ok(()),
            more => Err(format!("{more} sleeps")),
        }
    });
    let before = (proc::ticks(host.id()), sleeps());
    std::thread::sleep(Duration::from_secs(2));
    let after = (proc::ticks(host.id()), sleeps());
    assert!(
        after.0 - before.0 <= 1,
        "it uses time: {before:?} {after:?}"
    );
    assert!(after.1 - before.1 <= 2, "it wakes up: {before:?} {after:?}");
}
