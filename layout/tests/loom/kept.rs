//! A bell that one thread keeps for many calls. It names the bell before it publishes them, reads the bell's value
//! before it looks for answers, and sleeps while the value is unchanged.

use std::mem::ManuallyDrop;

use callgate_layout::bells::KeptBell;
use callgate_layout::flags;
use callgate_layout::flags::Waiter;
use callgate_layout::life::Ended;
use callgate_layout::pending::Ticket;
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

/// What a model does in another order than the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Late {
    Nothing,
    /// The bell is named only after the call can be seen.
    Naming,
    /// The bell's value is read only after the look for answers.
    Reading,
    /// The thread takes the bell only after it has seen that the link lives.
    Taking,
}

/// Takes a bell. It is not dropped, because after a model has failed loom's atomics cannot be used.
fn take(link: &Link) -> ManuallyDrop<KeptBell> {
    ManuallyDrop::new(KeptBell::take(&link.bells).unwrap())
}

/// Publishes a call whose answer rings the bell.
fn send(link: &Link, bell: &KeptBell, value: u64, late: Late) -> Ticket {
    // Of two gates, because one may have at most half of the slots.
    let ticket = link.take(value as u16);
    let name = || {
        let waiter = Waiter::Bell(bell.number());
        flags::set_waiter(&link.calls, link.geometry, ticket.slot, waiter);
    };
    if late != Late::Naming {
        name();
    }
    link.publish(ticket, value);
    if late == Late::Naming {
        name();
    }
    ticket
}

/// Looks after calls until each has its answer, or the link has ended. Returns how many were answered.
fn look_after(link: &Link, bell: &KeptBell, mut calls: Vec<Ticket>, late: Late) -> usize {
    let mut answered = 0;
    loop {
        let mut seen = bell.value();
        calls.retain(|ticket| match link.ended(*ticket) {
            None => true,
            Some(Ended::Answered) => {
                assert!(link.read(*ticket) >= ANSWER);
                answered += 1;
                false
            }
            Some(_) => false,
        });
        if calls.is_empty() {
            return answered;
        }
        if late == Late::Reading {
            seen = bell.value();
        }
        link.bells_queue.wait(|| bell.value() == seen);
    }
}

/// One answer comes while the thread sends the next call, or is about to sleep; the other comes later.
fn two_calls(late: Late) {
    let link = Link::new(2, Without::Nothing);
    let keeper = thread::spawn({
        let link = link.clone();
        move || {
            let bell = take(&link);
            let calls = [0, 1].map(|value| send(&link, &bell, value, late));
            assert_eq!(look_after(&link, &bell, calls.to_vec(), late), 2);
            drop(ManuallyDrop::into_inner(bell));
        }
    });
    let mut provider = Provider::new(&link);
    for _ in 0..2 {
        let call = provider.take();
        provider.answer(call);
    }
    keeper.join().unwrap();
}

/// At most three preemptions.
#[test]
fn no_answer_to_many_calls_is_slept_through() {
    check(Some(3), || two_calls(Late::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn with_the_bell_named_after_the_call_an_answer_is_slept_through() {
    check(Some(3), || two_calls(Late::Naming));
}

#[test]
#[should_panic(expected = "deadlock")]
fn with_the_value_read_after_the_look_an_answer_is_slept_through() {
    check(Some(3), || two_calls(Late::Reading));
}

/// The bell is rung once for two answers: after both are published, or, too early, after one.
fn two_answers_together(is_early: bool) {
    let link = Link::new(2, Without::Nothing);
    let keeper = thread::spawn({
        let link = link.clone();
        move || {
            let bell = take(&link);
            let calls = [0, 1].map(|value| send(&link, &bell, value, Late::Nothing));
            assert_eq!(look_after(&link, &bell, calls.to_vec(), Late::Nothing), 2);
            drop(ManuallyDrop::into_inner(bell));
        }
    });
    let mut provider = Provider::new(&link);
    let calls = [(); 2].map(|()| provider.take());
    let bell = provider.answer_unheard(calls[0]);
    if is_early {
        provider.wake(bell);
    }
    assert_eq!(provider.answer_unheard(calls[1]), bell);
    if !is_early {
        provider.wake(bell);
    }
    keeper.join().unwrap();
}

/// At most three preemptions.
#[test]
fn one_ring_tells_of_all_answers_that_are_published_before_it() {
    check(Some(3), || two_answers_together(false));
}

#[test]
#[should_panic(expected = "deadlock")]
fn an_answer_that_is_published_after_the_ring_is_slept_through() {
    check(Some(3), || two_answers_together(true));
}

/// The link ends while one of two calls may be answered. The side that ends the link rings each bell that it sees
/// taken (GONE-OR-ASLEEP).
fn the_end(late: Late) {
    let link = Link::new(2, Without::Nothing);
    let keeper = thread::spawn({
        let link = link.clone();
        move || {
            let was_gone = link.life.is_over();
            let bell = take(&link);
            let calls = [0, 1].map(|value| send(&link, &bell, value, Late::Nothing));
            // A thread that has seen the link alive does not look again.
            if late == Late::Taking && !was_gone {
                let seen = bell.value();
                link.bells_queue.wait(|| bell.value() == seen);
            }
            look_after(&link, &bell, calls.to_vec(), late);
            drop(ManuallyDrop::into_inner(bell));
        }
    });
    let mut provider = Provider::new(&link);
    if late == Late::Nothing
        && let Some(call) = provider.try_take()
    {
        provider.answer(call);
    }
    link.end();
    keeper.join().unwrap();
}

/// At most two preemptions.
#[test]
fn the_end_of_a_link_is_not_slept_through() {
    check(Some(2), || the_end(Late::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn with_the_bell_taken_after_the_look_the_end_is_slept_through() {
    check(Some(2), || the_end(Late::Taking));
}
