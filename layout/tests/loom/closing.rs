//! CLOSED-AT: a provider that takes no more calls, and calls that come meanwhile. Each is taken and
//! answered, or its caller knows that it was not taken.

use std::sync::Arc;

use callgate_layout::bells::KeptBell;
use callgate_layout::closing::Fate;
use callgate_layout::flags;
use callgate_layout::flags::Waiter;
use callgate_layout::life::Ended;
use callgate_layout::pending::Ticket;
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

type Park = fn(&Link, Ticket) -> Ended;

/// Makes a call and waits for its end; returns whether it was answered.
fn call(link: &Arc<Link>, value: u64, park: Park) -> bool {
    let ticket = link.take(value as u16);
    link.publish(ticket, value);
    link.look_for_closing();
    match park(link, ticket) {
        Ended::Answered => assert_eq!(link.read(ticket), value + ANSWER),
        Ended::Untaken => {
            assert!(!link.is_answered(ticket));
            link.end_if_over();
            return false;
        }
        Ended::Gone => panic!("the link has not ended"),
    }
    true
}

/// Closes at any moment; returns the values that were taken.
fn close(link: &Arc<Link>, is_over: bool) -> Vec<u64> {
    let (mut provider, mut taken) = (Provider::new(link), Vec::new());
    provider.close(is_over, |provider, call| {
        taken.push(call.value);
        provider.answer(call);
    });
    taken
}

fn close_while_called(callers: u64, park: Park, is_over: bool) {
    let link = Link::new(2, Without::Nothing);
    let threads: Vec<_> = (1..callers)
        .map(|value| {
            let link = link.clone();
            thread::spawn(move || call(&link, value, park))
        })
        .collect();
    let provider = thread::spawn({
        let link = link.clone();
        move || close(&link, is_over)
    });
    let mut answered = vec![call(&link, 0, park)];
    answered.extend(threads.into_iter().map(|thread| thread.join().unwrap()));
    let taken = provider.join().unwrap();
    for (value, answered) in (0..).zip(answered) {
        assert_eq!(taken.contains(&value), answered, "call {value}");
    }
}

#[test]
fn a_call_is_taken_or_known_not_to_be() {
    check(None, || close_while_called(1, Link::park_to_the_end, false));
}

/// The second call may lie behind one that was claimed and is not published yet, and then is not taken although
/// its caller had found the provider awake. At most two preemptions.
#[test]
fn each_of_two_calls_is_taken_or_known_not_to_be() {
    check(Some(2), || {
        close_while_called(2, Link::park_to_the_end, false)
    });
}

/// The same for callers that sleep on bells.
#[test]
fn each_of_two_calls_on_bells_is_taken_or_known_not_to_be() {
    check(Some(2), || {
        close_while_called(2, Link::sleep_to_the_end, false)
    });
}

/// When a plugin that ends says so, it has answered what it took. The first caller that sees it ends the link, and
/// the others still find their answers.
#[test]
fn no_answer_is_lost_where_the_link_is_over() {
    check(Some(2), || {
        close_while_called(2, Link::park_to_the_end, true);
    });
}

/// The provider closes, and the link ends because its process dies: a call that was not taken is still known not to
/// have been.
#[test]
fn a_call_that_was_not_taken_is_known_after_the_links_end() {
    check(Some(3), || {
        let link = Link::new(1, Without::Nothing);
        let provider = thread::spawn({
            let link = link.clone();
            move || {
                let taken = close(&link, false);
                link.end();
                taken
            }
        });
        let ticket = link.take(0);
        link.publish(ticket, 1);
        link.wake_provider();
        let ended = link.park_to_the_end(ticket);
        let taken = provider.join().unwrap();
        match taken.is_empty() {
            true => assert_eq!(ended, Ended::Untaken),
            false => assert_eq!(ended, Ended::Answered),
        }
    });
}

/// A sent call, for which no thread waits: the thread that looks after it sleeps on its bell.
#[test]
fn the_end_of_calls_is_not_slept_through_on_a_kept_bell() {
    check(Some(3), || {
        let link = Link::new(1, Without::Nothing);
        let provider = thread::spawn({
            let link = link.clone();
            move || close(&link, false)
        });
        let bell = KeptBell::take(&link.bells).unwrap();
        let ticket = link.take(0);
        let waiter = Waiter::Bell(bell.number());
        flags::set_waiter(&link.calls, link.geometry, ticket.slot, waiter);
        link.publish(ticket, 1);
        link.look_for_closing();
        let answered = loop {
            let seen = bell.value();
            if link.is_answered(ticket) {
                break true;
            }
            if !link.life.is_open() && link.fate(ticket) == Fate::Untaken {
                break false;
            }
            link.bells_queue.wait(|| bell.value() == seen);
        };
        assert_eq!(!provider.join().unwrap().is_empty(), answered);
    });
}
