//! A provider that dies, and a reply that it published just before.

use callgate_layout::pages::Activity;
use callgate_layout::pending::Ticket;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

type Park = fn(&Link, Ticket) -> bool;

fn die_while_called(park: Park) {
    let link = Link::new(1, Without::Nothing);
    let exited = std::sync::Arc::new(AtomicBool::new(false));
    let provider = thread::spawn({
        let (link, exited) = (link.clone(), exited.clone());
        move || {
            let mut provider = Provider::new(&link);
            // It may die before there is a call.
            if let Some(call) = provider.try_take() {
                provider.answer(call);
            }
            exited.store(true, Ordering::Release);
        }
    });
    // The control thread hears of the end from the kernel, or ends the link for a reason of its
    // own, while the provider lives.
    let control = thread::spawn({
        let link = link.clone();
        move || {
            let was_dead = exited.load(Ordering::Acquire);
            link.end();
            was_dead
        }
    });
    let ticket = link.take(0);
    link.publish(ticket, 1);
    let is_answered = park(&link, ticket);
    if is_answered {
        assert_eq!(link.read(ticket), 1 + ANSWER);
    }
    let was_dead = control.join().unwrap();
    provider.join().unwrap();
    if was_dead && link.is_answered(ticket) {
        assert!(is_answered, "a reply from before the end was lost");
    }
}

/// The caller sleeps on the reply slot and on the link's state at once, and looks at the slot
/// again after it found the link gone. Without the one it would hang; without the other it
/// would say that a call was not answered which was. At most three preemptions.
#[test]
fn a_call_ends_with_its_reply_or_with_the_providers_end() {
    check(Some(3), || die_while_called(Link::park));
}

/// The same on a bell, which whoever ends the link rings: it sees the bell taken, or the caller
/// sees the end (GONE-OR-ASLEEP).
#[test]
fn a_call_on_a_bell_ends_with_its_reply_or_with_the_providers_end() {
    check(Some(3), || die_while_called(Link::sleep));
}

/// A thread of a pool answers, then the last one closes; another caller notices that and ends the link.
/// The one that closes has no fence of its own behind the answer: CLOSED carries it.
#[test]
fn what_a_closing_plugin_had_answered_stays_answered() {
    check(Some(3), || {
        let link = Link::new(2, Without::Nothing);
        let first = link.take(0);
        link.publish(first, 1);
        let second = link.take(1);
        let provider = thread::spawn({
            let link = link.clone();
            move || {
                let mut provider = Provider::new(&link);
                let call = provider.take();
                provider.answer(call);
            }
        });
        let last = thread::spawn({
            let link = link.clone();
            move || {
                provider.join().unwrap();
                link.status.close();
            }
        });
        let caller = thread::spawn({
            let link = link.clone();
            move || {
                link.publish(second, 2);
                if link.wake_provider() == Activity::Closed {
                    link.end();
                }
            }
        });
        assert!(link.park(first), "an answer from before the close was lost");
        last.join().unwrap();
        caller.join().unwrap();
    });
}
