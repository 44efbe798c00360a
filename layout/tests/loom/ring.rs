//! The ring: calls of several threads, one provider, fewer entries than calls.

use callgate_layout::ring;
use loom::thread;

use crate::bench::{ANSWER, Link, Provider, Without, check};

/// Each caller makes its calls one after the other, and holds a slot meanwhile; all but the first are
/// inside chains.
fn lap(callers: &'static [&'static [u64]], entries: u32, without: Without) {
    let link = Link::new(entries, without);
    let threads: Vec<_> = callers
        .iter()
        .zip(0..)
        .map(|(values, gate)| {
            let link = link.clone();
            thread::spawn(move || {
                for &value in *values {
                    let ticket = match gate {
                        0 => link.take(gate),
                        _ => link.take_in_chain(gate),
                    };
                    link.publish(ticket, value);
                    if without == Without::ThePoint {
                        link.finish(ticket);
                        continue;
                    }
                    link.spin(ticket);
                    assert_eq!(link.read(ticket), value + ANSWER);
                    link.finish(ticket);
                }
            })
        })
        .collect();
    let mut provider = Provider::new(&link);
    let mut taken = Vec::new();
    for _ in 0..callers.iter().map(|values| values.len()).sum() {
        let call = provider.take();
        taken.push(call.value);
        provider.answer(call);
    }
    for thread in threads {
        thread.join().unwrap();
    }
    // Every call was taken once, those of one thread in their order.
    assert!(!provider.has_call());
    for values in callers {
        let own: Vec<u64> = taken
            .iter()
            .copied()
            .filter(|v| values.contains(v))
            .collect();
        assert_eq!(&own, values);
    }
    assert_eq!(link.pending.in_flight(), 0);
}

/// CALL-PUBLISHED: without release and acquire the number would be there before the envelope
/// and the payload. REPLY-PUBLISHED: the same for the reply. PENDING-FREED and the ring's
/// counter: without them the next holder of a slot or an entry would write where the provider
/// or the last caller may still read. At most two preemptions.
#[test]
fn a_ring_carries_more_calls_than_it_has_entries() {
    check(Some(2), || {
        lap(&[&[1, 2], &[3]], 2, Without::Nothing);
    });
}

/// The same with one entry and one slot, which two callers take in turn. At most two
/// preemptions.
#[test]
fn one_slot_goes_from_caller_to_caller() {
    check(Some(2), || lap(&[&[1], &[2]], 1, Without::Nothing));
}

/// Why the ring cannot be full: a slot stays taken until its reply is published. One freed
/// before lets the next call overwrite an entry that was not taken.
#[test]
#[should_panic]
fn without_keeping_the_slot_until_the_reply_an_entry_is_overwritten() {
    check(Some(2), || lap(&[&[1], &[2]], 1, Without::ThePoint));
}

/// CALL-PUBLISHED, of who only looks: a plugin's pulse would be measured against a deadline that no call has.
#[test]
fn who_only_looks_sees_a_number_with_its_call() {
    check(None, || {
        let link = Link::new(1, Without::Nothing);
        let looks = thread::spawn({
            let link = link.clone();
            move || ring::published(link.calls.as_read(), link.geometry)
        });
        let ticket = link.take(0);
        link.publish(ticket, 1);
        for call in looks.join().unwrap() {
            assert_eq!((call.number, call.slot), (1, ticket.slot));
        }
    });
}
