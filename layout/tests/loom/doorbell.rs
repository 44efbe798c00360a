//! WORK-OR-PARKED: a provider that parks, or closes, and a call that comes.

use std::sync::Arc;

use callgate_layout::pages::Activity;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

/// The provider serves `total` calls and parks in between.
fn serve(link: &Arc<Link>, total: usize) {
    let mut provider = Provider::new(link);
    let mut left = total;
    while left > 0 {
        match provider.try_take() {
            Some(call) => {
                provider.answer(call);
                left -= 1;
            }
            None => provider.park(|| provider.has_call()),
        }
    }
}

fn call_the_sleeper(without: Without, callers: u64) {
    let link = Link::new(2, without);
    let threads: Vec<_> = (0..callers)
        .map(|value| {
            let link = link.clone();
            thread::spawn(move || {
                let ticket = link.take(value as u16);
                link.publish(ticket, value);
                link.wake_provider();
            })
        })
        .collect();
    serve(&link, callers as usize);
    for thread in threads {
        thread.join().unwrap();
    }
}

/// The plugin says that it is parked, fences and looks for work; the caller publishes, fences
/// and looks at what the plugin said. Without either fence both may miss the other, and the
/// plugin sleeps while it has a call. The bell's value is read before: a ring in between ends
/// the wait.
#[test]
fn no_call_is_slept_through() {
    check(None, || call_the_sleeper(Without::Nothing, 1));
}

/// At most two preemptions.
#[test]
fn no_call_of_two_callers_is_slept_through() {
    check(Some(2), || call_the_sleeper(Without::Nothing, 2));
}

/// A caller rings once for each park. What it publishes afterwards is seen by the look before the next park, or it finds
/// that park counted and rings for it.
#[test]
fn no_call_is_slept_through_whose_caller_has_rung_before() {
    check(Some(3), || {
        let link = Link::new(2, Without::Nothing);
        let caller = thread::spawn({
            let link = link.clone();
            move || {
                for value in 0..2 {
                    let ticket = link.take(value as u16);
                    link.publish(ticket, value);
                    link.wake_provider();
                }
            }
        });
        serve(&link, 2);
        caller.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_a_call_is_slept_through() {
    check(None, || call_the_sleeper(Without::SecondLook, 1));
}

/// A thread that rings in any case needs no fence: ringing releases, and the fence in `park` makes the
/// value that was read before it an acquire. Were ringing relaxed, the plugin could wait on the
/// new value without seeing what it was rung for. (The client's GATES-CHANGED.)
#[test]
fn what_a_plugin_is_rung_for_is_seen() {
    check(None, || {
        let link = Link::new(1, Without::Nothing);
        let version = Arc::new(AtomicU64::new(0));
        let control = thread::spawn({
            let (link, version) = (link.clone(), version.clone());
            move || {
                version.fetch_add(1, Ordering::Relaxed);
                link.bell.touch();
                link.bell_queue.wake();
            }
        });
        let provider = Provider::new(&link);
        let is_new = || version.load(Ordering::Relaxed) != 0;
        while !is_new() {
            provider.park(is_new);
        }
        control.join().unwrap();
    });
}

/// The plugin closes, at any moment; what a caller has published by then is answered.
fn call_the_closing() {
    let link = Link::new(1, Without::Nothing);
    let caller = thread::spawn({
        let link = link.clone();
        move || {
            let ticket = link.take(0);
            link.publish(ticket, 1);
            if link.wake_provider() == Activity::Closed {
                link.end();
            }
            if link.park(ticket) {
                assert_eq!(link.read(ticket), 1 + ANSWER);
            }
        }
    });
    let mut provider = Provider::new(&link);
    link.status.close();
    while let Some(call) = provider.try_take() {
        provider.answer(call);
    }
    caller.join().unwrap();
}

/// As for parking: without either fence a caller could miss that the plugin has closed, and the
/// plugin its call, and the caller would wait until its deadline.
#[test]
fn a_call_to_a_closing_plugin_is_answered_or_sees_it_closed() {
    check(None, call_the_closing);
}
