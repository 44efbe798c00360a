//! REPLY-OR-WAITER: a caller that goes to sleep and an answer that comes.

use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

fn call_and_park(without: Without, calls: u64) {
    let link = Link::new(1, without);
    let caller = thread::spawn({
        let link = link.clone();
        move || {
            for value in 0..calls {
                let ticket = link.take();
                link.publish(ticket, value);
                assert!(link.park(ticket));
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
    check(Some(3), || call_and_park(Without::Nothing, 2));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_callers_fence_an_answer_is_slept_through() {
    check(None, || call_and_park(Without::CallersFence, 1));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_providers_fence_an_answer_is_slept_through() {
    check(None, || call_and_park(Without::ProvidersFence, 1));
}
