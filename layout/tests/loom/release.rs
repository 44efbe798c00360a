//! Replies in the outbox's blocks: when their blocks come back, and what becomes of calls given up.

use callgate_layout::pending::Ticket;
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

/// Two callers and one block for replies: the second reply lies where the first did.
fn share_a_block(without: Without) {
    let link = Link::new(2, without);
    let callers: Vec<_> = (1..3)
        .map(|value| {
            let link = link.clone();
            thread::spawn(move || {
                let ticket = link.take(value as u16);
                link.publish(ticket, value);
                link.spin(ticket);
                if without == Without::ThePoint {
                    link.release(ticket);
                }
                assert_eq!(link.read(ticket), value + ANSWER);
                link.release(ticket);
                link.finish(ticket);
            })
        })
        .collect();
    let mut provider = Provider::new(&link);
    let rest = provider.blocks.allocate(63 * 8).unwrap();
    for _ in 0..2 {
        let call = provider.take();
        while !provider.answer_in_area(call) {
            thread::yield_now();
        }
    }
    for caller in callers {
        caller.join().unwrap();
    }
    assert!(provider.reclaim());
    provider.blocks.free(rest);
    assert_eq!(provider.blocks.taken(), 0);
}

/// RELEASED: without release and acquire the provider would write its next reply where the
/// caller still reads the last one. At most two preemptions.
#[test]
fn a_replys_blocks_are_not_reused_while_it_is_read() {
    check(Some(2), || share_a_block(Without::Nothing));
}

#[test]
#[should_panic]
fn without_reading_before_releasing_a_reply_is_overwritten() {
    check(Some(2), || share_a_block(Without::ThePoint));
}

/// The slot's next call gives the last reply's blocks back too: CALL-PUBLISHED
/// carries that they were read. At most three preemptions.
#[test]
fn the_next_call_in_a_slot_gives_the_last_replys_blocks_back() {
    check(Some(3), || {
        let link = Link::new(1, Without::Nothing);
        let caller = thread::spawn({
            let link = link.clone();
            move || {
                for value in 1..3 {
                    let ticket = link.take(0);
                    link.publish(ticket, value);
                    link.spin(ticket);
                    assert_eq!(link.read(ticket), value + ANSWER);
                    link.finish(ticket);
                }
            }
        });
        let mut provider = Provider::new(&link);
        let rest = provider.blocks.allocate(63 * 8).unwrap();
        for _ in 0..2 {
            let call = provider.take();
            assert!(provider.answer_in_area(call));
        }
        caller.join().unwrap();
        provider.blocks.free(rest);
        assert_eq!(provider.blocks.taken(), 1);
    });
}

/// A call that is given up while its reply comes.
fn give_up() {
    let link = Link::new(1, Without::Nothing);
    let caller = thread::spawn({
        let link = link.clone();
        move || {
            let ticket = link.take(0);
            link.publish_in_area(ticket, 1);
            link.wake_provider();
            if link.is_answered(ticket) {
                assert_eq!(link.read(ticket), 1 + ANSWER);
                link.release_and_tell(ticket);
                link.finish(ticket);
            } else {
                link.abandon(ticket);
            }
        }
    });
    let mut provider = Provider::new(&link);
    let call = loop {
        match provider.try_take() {
            Some(call) => break call,
            None => provider.park(|| provider.has_call()),
        }
    };
    assert!(provider.answer_in_area(call));
    while !provider.reclaim() {
        let seen = link.status.park(&link.bell);
        // As the dispatcher does: the second look is a look at what came back.
        if !provider.reclaim() {
            link.bell_queue.wait(|| link.bell.value() == seen);
        }
        link.status.awake();
    }
    assert_eq!(provider.blocks.taken(), 0);
    caller.join().unwrap();
    link.sweep();
    assert_eq!(link.pending.in_flight(), 0);
    assert_eq!(link.requests.taken(), 0);
}

/// Whether giving up or the reply comes first: the reply's blocks come back without another call, and the slot and
/// the request's blocks when a thread sweeps. At most three preemptions.
#[test]
fn what_a_call_given_up_held_comes_back() {
    check(Some(3), give_up);
}

/// Two threads sweep at once while the late reply comes, and take what they find. The slot
/// comes back once: were it freed twice, two threads could hold it. At most two preemptions.
#[test]
fn two_sweepers_free_a_slot_once() {
    check(Some(2), || {
        let link = Link::new(1, Without::Nothing);
        let lost = link.take(0);
        link.publish_in_area(lost, 1);
        link.abandon(lost);
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
        let sweep = |link: &Link| {
            link.sweep_alone();
            link.pending.take_for(0)
        };
        let other = thread::spawn({
            let link = link.clone();
            move || sweep(&link)
        });
        let one = sweep(&link);
        let two = other.join().unwrap();
        assert!(one.is_none() || two.is_none(), "one slot for two");
        let ticket = one.or(two).unwrap_or_else(|| {
            loop {
                if let Some(ticket) = sweep(&link) {
                    break ticket;
                }
                thread::yield_now();
            }
        });
        assert_eq!(ticket.generation, 2);
        link.publish_in_area(ticket, 2);
        link.spin(ticket);
        assert_eq!(link.read(ticket), 2 + ANSWER);
        link.finish(ticket);
        provider.join().unwrap();
        assert_eq!(link.pending.in_flight(), 0);
        assert_eq!(link.requests.taken(), 0);
    });
}

/// A sweeper that comes upon a slot just abandoned must know its last call: without release in
/// `abandon` and acquire in `sweep` it could take the answer to the slot's call before for the
/// answer to that one, and free a slot whose call is still under way. At most three preemptions.
#[test]
fn a_slot_is_swept_for_the_call_that_was_given_up() {
    check(Some(3), || {
        let link = Link::new(1, Without::Nothing);
        let caller = thread::spawn({
            let link = link.clone();
            move || {
                let ticket = link.take(0);
                link.publish(ticket, 1);
                link.spin(ticket);
                link.finish(ticket);
                let ticket = link.take(0);
                link.publish(ticket, 2);
                link.abandon(ticket);
            }
        });
        let sweeper = thread::spawn({
            let link = link.clone();
            move || {
                let is_second = Ticket {
                    slot: 0,
                    generation: 2,
                };
                link.pending.sweep(
                    |ticket| link.is_answered(ticket),
                    |_| assert!(link.is_answered(is_second), "freed before its answer"),
                );
            }
        });
        let mut provider = Provider::new(&link);
        for _ in 0..2 {
            let call = provider.take();
            provider.answer(call);
        }
        caller.join().unwrap();
        sweeper.join().unwrap();
        link.sweep();
        assert_eq!(link.pending.in_flight(), 0);
    });
}
