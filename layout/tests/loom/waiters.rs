//! FREED-OR-WAITER: waiting for a slot or for blocks, as in the client's `waiting.rs`.

use callgate_layout::pending::SlotWait;
use callgate_layout::slot;
use loom::thread;

use crate::bench::{Link, Provider, Without, check};

/// Frees what calls that were given up hold, and wakes the threads that did not see it.
fn sweep(link: &Link) {
    let before = link.pending.in_flight();
    link.sweep_alone();
    let is_less = link.pending.in_flight() < before;
    if is_less && link.without != Without::ThePoint {
        link.freed();
    }
}

fn state(link: &Link, slot: u8) -> u32 {
    slot::state(link.replies.as_read(), link.geometry, slot)
}

/// Waits for a slot or blocks; tries only once if it has no time.
fn wait_for<T>(link: &Link, has_time: bool, attempt: impl FnMut() -> Option<T>) -> Option<T> {
    let words = || {
        let abandoned = link.pending.abandoned();
        abandoned
            .map(|slot| (slot, state(link, slot)))
            .collect::<Vec<_>>()
    };
    let sleep = |seen, words: Vec<_>| {
        if has_time {
            link.slot_queue.wait(|| {
                link.waiters.seen() == seen
                    && words.iter().all(|&(slot, was)| state(link, slot) == was)
            });
        }
        has_time
    };
    link.waiters.begin(&link.pending, &link.requests);
    let found = link.waiters.wait_for(words, attempt, sleep);
    link.waiters.end();
    found
}

/// One thread waits for a slot; another one waits briefly for something else. Meanwhile the answer to a call comes
/// that was given up.
fn two_wait(without: Without) {
    let link = Link::new(1, without);
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
    let hasty = thread::spawn({
        let link = link.clone();
        move || {
            wait_for::<()>(&link, false, || {
                sweep(&link);
                None
            })
        }
    });
    let slot = wait_for(&link, true, || {
        sweep(&link);
        link.pending.take_for(0)
    });
    assert!(slot.is_some());
    assert!(hasty.join().unwrap().is_none());
    provider.join().unwrap();
}

/// A thread that sweeps leaves slots that are not answered in sight, so that the other thread goes on watching them.
/// It wakes the other thread for those that it freed, because it has cleared their waiter flags. At most two
/// preemptions.
#[test]
fn a_late_answer_ends_the_wait_for_a_slot() {
    check(Some(2), || two_wait(Without::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_telling_what_was_swept_a_slot_is_waited_for_in_vain() {
    check(Some(2), || two_wait(Without::ThePoint));
}

/// The holder of the only slot frees it while another one begins to wait.
#[test]
fn a_slot_that_comes_free_ends_the_wait_for_it() {
    check(None, || {
        let link = Link::new(1, Without::Nothing);
        let ticket = link.take(0);
        let holder = thread::spawn({
            let link = link.clone();
            move || {
                link.pending.free(ticket);
                link.freed();
            }
        });
        assert!(wait_for(&link, true, || link.pending.take_for(0)).is_some());
        holder.join().unwrap();
    });
}

/// The same for blocks.
#[test]
fn blocks_that_come_free_end_the_wait_for_them() {
    check(None, || {
        let link = Link::new(1, Without::Nothing);
        let all = link.requests.allocate(512).unwrap();
        let holder = thread::spawn({
            let link = link.clone();
            move || {
                link.requests.free(all);
                link.freed();
            }
        });
        assert!(wait_for(&link, true, || link.requests.allocate(512)).is_some());
        holder.join().unwrap();
    });
}

/// A call is given up while another thread waits for its slot, and is answered after that. The waiting thread knows
/// of it, or is told, and sleeps on its state. At most three preemptions.
#[test]
fn a_call_given_up_is_watched_by_who_waits_for_a_slot() {
    check(Some(3), || {
        let link = Link::new(1, Without::Nothing);
        let ticket = link.take(0);
        link.publish(ticket, 1);
        let mut provider = Provider::new(&link);
        let call = provider.take();
        let hasty = thread::spawn({
            let link = link.clone();
            move || {
                link.abandon(ticket);
                link.freed();
            }
        });
        let provider = thread::spawn(move || provider.answer(call));
        let slot = wait_for(&link, true, || {
            sweep(&link);
            link.pending.take_for(0)
        });
        assert!(slot.is_some());
        hasty.join().unwrap();
        provider.join().unwrap();
    });
}

/// One thread has waited for long and reserved its gate's next slot, and another one leaves a free slot to it. The
/// first gives up, or takes the slot and frees it before it tells: the other is told that it may have the slot. At
/// most three preemptions.
fn lets_go_first(gives_up: bool, without: Without) {
    const LATER: u64 = 1 << 40;
    let link = Link::new(2, without);
    // The gate has all the slots that it may have, and another gate has one.
    let (held, _other) = (link.take(0), link.take(1));
    let mut early = SlotWait::begin(0, 0);
    assert_eq!(early.take(&link.pending, || LATER), None);
    let late = thread::spawn({
        let link = link.clone();
        move || {
            let slot = wait_for(&link, true, || link.pending.take_for(0));
            assert!(slot.is_some());
        }
    });
    link.pending.free(held);
    link.freed();
    if !gives_up {
        let slot = early
            .take(&link.pending, || LATER)
            .expect("nobody takes it");
        link.pending.free(slot);
        link.freed();
    }
    let are_to_be_told = early.end(&link.pending);
    assert!(are_to_be_told);
    if link.without != Without::ThePoint {
        link.waiters.change();
        link.slot_queue.wake();
    }
    late.join().unwrap();
}

#[test]
fn who_let_another_go_first_is_told_when_it_has_had_its_slot() {
    check(Some(2), || lets_go_first(false, Without::Nothing));
    check(Some(3), || lets_go_first(true, Without::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_being_told_who_let_another_go_first_waits_in_vain() {
    check(Some(2), || lets_go_first(true, Without::ThePoint));
}
