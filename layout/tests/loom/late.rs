//! Answers to many calls that one thread waits for on a bell it keeps, as in the client's `sent.rs`; and
//! late answers to calls that were given up, which the same bell tells of.

use callgate_layout::bells::KeptBell;
use callgate_layout::flags::{self, Waiter};
use loom::sync::atomic::{AtomicU32, Ordering};
use loom::thread;
use std::sync::Arc;

use crate::bench::{Link, Provider, Without, check};

/// Sleeps on a bell until a look finds something: the value is read before the look.
fn look_and_sleep(link: &Link, bell: &KeptBell, is_over: impl Fn() -> bool) {
    loop {
        let seen = bell.value();
        if is_over() {
            return;
        }
        link.bells_queue.wait(|| bell.value() == seen);
    }
}

/// The bell is named before the calls are published, so no fence is needed for their answers. At most two
/// preemptions.
#[test]
fn no_answer_to_a_sent_call_is_slept_through() {
    check(Some(2), || {
        let link = Link::new(2, Without::Nothing);
        let provider = thread::spawn({
            let link = link.clone();
            move || {
                let mut provider = Provider::new(&link);
                for _ in 0..2 {
                    let call = provider.take();
                    provider.answer(call);
                }
            }
        });
        let bell = KeptBell::take(&link.bells).unwrap();
        let tickets = [0, 1].map(|gate| {
            let ticket = link.take(gate);
            let waiter = Waiter::Bell(bell.number());
            flags::set_waiter(&link.calls, link.geometry, ticket.slot, waiter);
            link.publish(ticket, u64::from(gate));
            ticket
        });
        look_and_sleep(&link, &bell, || {
            tickets.iter().all(|ticket| link.is_answered(*ticket))
        });
        provider.join().unwrap();
    });
}

/// GONE-OR-ASLEEP: the thread that takes the bell sees that the link has ended, or the side that ends it rings the bell.
#[test]
fn the_end_of_a_link_is_not_slept_through_on_a_kept_bell() {
    check(None, || {
        let link = Link::new(1, Without::Nothing);
        let control = thread::spawn({
            let link = link.clone();
            move || link.end()
        });
        let bell = KeptBell::take(&link.bells).unwrap();
        look_and_sleep(&link, &bell, || link.life.is_over());
        control.join().unwrap();
    });
}

/// Ringing releases and reading the value acquires, so a thread that rings in any case needs no fence.
#[test]
fn what_a_kept_bell_is_rung_for_is_seen() {
    check(None, || {
        let link = Link::new(1, Without::Nothing);
        let bell = Arc::new(KeptBell::take(&link.bells).unwrap());
        let news = Arc::new(AtomicU32::new(0));
        let other = thread::spawn({
            let (link, bell, news) = (link.clone(), bell.clone(), news.clone());
            move || {
                news.store(1, Ordering::Relaxed);
                bell.touch();
                link.bells_queue.wake();
            }
        });
        look_and_sleep(&link, &bell, || news.load(Ordering::Relaxed) == 1);
        other.join().unwrap();
    });
}

/// A call was given up; then a thread wants its late answer told of by a bell, and looks once more. At
/// most three preemptions.
#[test]
fn a_late_answer_is_told_of_by_the_bell_that_was_named_since() {
    check(Some(3), || {
        let link = Link::new(1, Without::Nothing);
        let lost = link.take(0);
        link.publish(lost, 1);
        link.abandon(lost);
        let provider = thread::spawn({
            let link = link.clone();
            move || {
                let mut provider = Provider::new(&link);
                let call = provider.take();
                provider.answer(call);
            }
        });
        let bell = KeptBell::take(&link.bells).unwrap();
        link.abandoning(Waiter::Bell(bell.number())).rename();
        look_and_sleep(&link, &bell, || {
            link.sweep_alone();
            link.pending.is_idle()
        });
        provider.join().unwrap();
    });
}
