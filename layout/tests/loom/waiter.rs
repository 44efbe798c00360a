//! REPLY-OR-WAITER: a caller that goes to sleep and an answer that comes.

use callgate_layout::pending::Ticket;
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

type Park = fn(&Link, Ticket) -> bool;

fn call_and_park(park: Park, calls: u64) {
    let link = Link::new(1, Without::Nothing);
    let caller = thread::spawn({
        let link = link.clone();
        move || {
            for value in 0..calls {
                let ticket = link.take(0);
                link.publish(ticket, value);
                assert!(park(&link, ticket));
                assert_eq!(link.read(ticket), value + ANSWER);
                link.finish(ticket);
            }
        }
    });
    let mut provider = Provider::new(&link);
    for _ in 0..calls {
        let call = provider.take();
        provider.answer(call);
    }
    caller.join().unwrap();
}

/// The caller sets its flag, fences and looks once more; the provider publishes, fences and
/// looks at the flag. Without either fence both may miss the other, and the caller sleeps on a
/// reply that is there. At most three preemptions.
#[test]
fn no_answer_is_slept_through() {
    check(Some(3), || call_and_park(Link::park, 2));
}

/// The same for a caller that is woken some time after the provider has read its flag: two answers are published
/// before either bell is rung.
#[test]
fn no_bell_that_is_rung_later_is_slept_through() {
    check(Some(2), || {
        let link = Link::new(2, Without::Nothing);
        let callers = [0, 1].map(|gate| {
            let link = link.clone();
            thread::spawn(move || {
                let ticket = link.take(gate);
                link.publish(ticket, u64::from(gate));
                assert!(link.sleep(ticket));
                assert_eq!(link.read(ticket), u64::from(gate) + ANSWER);
                link.finish(ticket);
            })
        });
        let mut provider = Provider::new(&link);
        let calls = [(); 2].map(|()| provider.take());
        let bells = calls.map(|call| provider.answer_unheard(call));
        bells.into_iter().for_each(|bell| provider.wake(bell));
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
    });
}

/// The same for a caller that sleeps on a bell of its own.
#[test]
fn no_bell_is_slept_through() {
    check(Some(3), || call_and_park(Link::sleep, 2));
}

/// Two callers of two links of one plugin sleep on two bells; neither takes the other's, and each
/// hears of its own answer. At most two preemptions.
#[test]
fn two_callers_sleep_on_two_bells() {
    check(Some(2), || {
        let link = Link::new(2, Without::Nothing);
        let callers = [0, 1].map(|value| {
            let link = link.clone();
            thread::spawn(move || {
                let ticket = link.take(value as u16);
                link.publish(ticket, value);
                assert!(link.sleep(ticket));
                assert_eq!(link.read(ticket), value + ANSWER);
            })
        });
        let mut provider = Provider::new(&link);
        for _ in 0..2 {
            let call = provider.take();
            provider.answer(call);
        }
        for caller in callers {
            caller.join().unwrap();
        }
    });
}
