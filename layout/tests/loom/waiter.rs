//! REPLY-OR-WAITER: a caller that goes to sleep and an answer that comes.

use callgate_layout::pending::Ticket;
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

type Park = fn(&Link, Ticket) -> bool;

fn call_and_park(park: Park, without: Without, calls: u64) {
    let link = Link::new(1, without);
    let caller = thread::spawn({
        let link = link.clone();
        move || {
            for value in 0..calls {
                let ticket = link.take();
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
    check(Some(3), || call_and_park(Link::park, Without::Nothing, 2));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_callers_fence_an_answer_is_slept_through() {
    check(None, || call_and_park(Link::park, Without::CallersFence, 1));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_providers_fence_an_answer_is_slept_through() {
    check(None, || {
        call_and_park(Link::park, Without::ProvidersFence, 1)
    });
}

/// The same for a caller that sleeps on a bell of its own.
#[test]
fn no_bell_is_slept_through() {
    check(Some(3), || call_and_park(Link::sleep, Without::Nothing, 2));
}

/// Here the caller's fence stands in the layout, so that only the provider's can be left out.
#[test]
#[should_panic(expected = "deadlock")]
fn without_the_providers_fence_a_bell_is_slept_through() {
    check(None, || {
        call_and_park(Link::sleep, Without::ProvidersFence, 1);
    });
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
                let ticket = link.take();
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
