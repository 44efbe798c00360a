//! RELEASED-OR-STARVING: an answer that found no space, and a caller that releases some.

use std::sync::Arc;

use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Taken, Without, check};

/// The provider has an answer for which there is no space: it counts itself among those that wait, and
/// looks and sleeps on its bell until there is, without being parked.
fn answer_when_there_is_space(link: &Arc<Link>, provider: &mut Provider, call: Taken) {
    link.waiters.begin(&link.pending, &provider.blocks);
    link.status.starve();
    let attempt = || provider.answer_in_area(call).then_some(());
    let sleep = |_, seen| {
        link.bell_queue.wait(|| link.bell.value() == seen);
        true
    };
    let found = link.waiters.wait_for(|| link.bell.value(), attempt, sleep);
    assert!(found.is_some());
    link.waiters.end();
    link.status.sated();
}

/// Space for one answer, and two calls: the second answer is published when the first is released.
fn two_answers(without: Without) {
    let link = Link::new(2, Without::Nothing);
    let (first, second) = (link.take(0), link.take(1));
    link.publish(first, 1);
    link.publish(second, 2);
    let mut provider = Provider::new(&link);
    let rest = provider.blocks.allocate(63 * 8).unwrap();
    let (one, two) = (provider.take(), provider.take());
    assert!(provider.answer_in_area(one));
    let caller = thread::spawn({
        let link = link.clone();
        move || {
            assert_eq!(link.read(first), 1 + ANSWER);
            match without {
                Without::ThePoint => link.release(first),
                _ => link.release_and_tell(first),
            }
        }
    });
    answer_when_there_is_space(&link, &mut provider, two);
    caller.join().unwrap();
    assert_eq!(link.read(second), 2 + ANSWER);
    provider.blocks.free(rest);
}

/// The provider counts itself, fences and looks for space; the caller releases, fences and looks whether
/// anybody waits. Without either fence, without the count, or with a bell's value that does not
/// acquire what it was rung for, the provider sleeps while there is space.
#[test]
fn no_release_is_slept_through() {
    check(None, || two_answers(Without::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_telling_a_release_is_slept_through() {
    check(None, || two_answers(Without::ThePoint));
}
