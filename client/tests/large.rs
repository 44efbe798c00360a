//! Payloads that do not fit the outbox: extents and loans, and how they end. The broker runs in this process.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Code, Context, Payload, Plugin, View};

fn bus() -> (Broker, Plugin, Plugin) {
    let broker = Broker::builder().without_socket().start().unwrap();
    let join = |name| {
        Plugin::builder(name)
            .direct_calls(false)
            .descriptor(broker.connect().unwrap())
            .connect()
            .unwrap()
    };
    let (a, b) = (join("a"), join("b"));
    (broker, a, b)
}

/// Arguments and results of megabytes are accepted.
#[test]
fn megabytes_travel_both_ways() {
    let (_broker, a, b) = bus();
    let _twice = a
        .provide("A.Twice", |v: View<'_, Vec<u8>>| [&v[..], &v[..]].concat())
        .unwrap();
    let twice = b.subscriber::<(Vec<u8>,), Vec<u8>>("A.Twice").unwrap();
    for len in [65_000, 65_536, 66_000, 1 << 20, 2_500_000, 1000, 2_500_000] {
        let sent: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
        let got = twice.invoke((sent.clone(),)).unwrap();
        assert!(
            got.len() == 2 * len && got[..len] == sent && got[len..] == sent,
            "{len}"
        );
    }
}

/// A payload beyond all limits is refused before anything is sent, and the link stays.
#[test]
fn what_is_too_large_is_refused_and_the_link_lives() {
    let (_broker, a, b) = bus();
    let _len = a
        .provide("A.Len", |v: View<'_, Vec<u8>>| v.len() as u64)
        .unwrap();
    let _zeros = a
        .provide("A.Zeros", |n: u64| vec![0_u8; n as usize])
        .unwrap();
    let len = b.subscriber::<(Vec<u8>,), u64>("A.Len").unwrap();
    let len = len.with_timeout(Duration::from_secs(60));
    let zeros = b.subscriber::<(u64,), Vec<u8>>("A.Zeros").unwrap();
    // The error names the limit that holds, and no other one.
    let most = "more than the 67174400 bytes";
    let error = len.invoke((vec![0; 65 << 20],)).unwrap_err();
    assert_eq!(error.code(), Code::RequestTooLarge);
    assert!(error.message().contains(most), "{error}");
    let error = zeros.invoke((65 << 20,)).unwrap_err();
    assert_eq!(error.code(), Code::ResponseTooLarge);
    assert!(error.message().contains(most), "{error}");
    assert_eq!(len.invoke((vec![0; 20 << 20],)).unwrap(), 20 << 20);
    assert_eq!(zeros.invoke((70_000,)).unwrap().len(), 70_000);
}

/// With a zero timeout a loan is never passed on, so the outcome does not depend on chance. Taking a loan itself uses
/// what is there and does not wait.
#[test]
fn without_time_no_loan_is_waited_for_and_none_is_passed_on() {
    let (_broker, a, b) = bus();
    let _show = a
        .provide_raw("A.Show", |_: Context<'_>, payload: Payload<'_>| {
            payload.len() as u64
        })
        .unwrap();
    let show = b.raw_subscriber::<u64>("A.Show").unwrap();
    let hasty = show.with_timeout(Duration::ZERO);
    // There is no memory yet; the broker is asked for some.
    assert_eq!(hasty.loan(9).unwrap_err().code(), Code::Overloaded);
    assert_eq!(show.loan(9).unwrap().invoke().unwrap(), 9);
    for _ in 0..100 {
        let error = hasty.loan(9).unwrap().invoke().unwrap_err();
        assert_eq!((error.code(), error.may_have_run()), (Code::Timeout, false));
    }
    assert_eq!(show.loan(9).unwrap().invoke().unwrap(), 9);
}

/// A plugin that reaches its quota gets an error at once, and does not wait.
#[test]
fn over_the_quota_is_overloaded() {
    let limits = callgate::BusLimits {
        extent_mib: 4,
        schema_mib: 1,
        share_mib: 8,
        shares: 8,
        ..callgate::BusLimits::default()
    };
    let broker = Broker::builder()
        .without_socket()
        .limits(limits)
        .start()
        .unwrap();
    let join = |name| {
        Plugin::builder(name)
            .direct_calls(false)
            .descriptor(broker.connect().unwrap())
            .connect()
            .unwrap()
    };
    let (a, b) = (join("a"), join("b"));
    let _len = a
        .provide("A.Len", |v: View<'_, Vec<u8>>| v.len() as u64)
        .unwrap();
    let len = b.subscriber::<(Vec<u8>,), u64>("A.Len").unwrap();
    assert_eq!(len.invoke((vec![0; 3 << 20],)).unwrap(), 3 << 20);
    let error = len.invoke((vec![0; 5 << 20],)).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded);
    // Memory that was returned a moment ago may still be held. Then the text is another one with the same limit.
    let limit = "the 4 MiB that";
    assert!(error.message().contains(limit), "{error}");
    assert_eq!(len.invoke((vec![0; 3 << 20],)).unwrap(), 3 << 20);
    // A payload that could fit waits for its turn until its deadline.
    let sum = b.raw_subscriber::<u64>("A.Sum").unwrap();
    let _sum = a
        .provide_raw("A.Sum", |_: Context<'_>, p: Payload<'_>| p.len() as u64)
        .unwrap();
    sum.wait_ready(Duration::from_secs(20)).unwrap();
    let first = sum.loan(3 << 20).unwrap();
    let error = sum
        .with_timeout(Duration::from_millis(20))
        .loan(3 << 20)
        .unwrap_err();
    assert_eq!(error.code(), Code::Overloaded);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| sum.loan(3 << 20).and_then(callgate_client::Loan::invoke));
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(first.invoke().unwrap(), 3 << 20);
        assert_eq!(second.join().unwrap().unwrap(), 3 << 20);
    });
}

/// A payload that is filled in shared memory arrives there, whatever its length.
#[test]
fn loans_are_filled_and_read_in_place() {
    let (_broker, a, b) = bus();
    let _sum = a
        .provide_raw("A.Sum", |context: Context<'_>, payload: Payload<'_>| {
            assert_eq!(context.caller().name(), "b");
            assert!(payload.as_slice().is_none());
            payload
                .words()
                .fold(payload.len() as u64, u64::wrapping_add)
        })
        .unwrap();
    let sum = b.raw_subscriber::<u64>("A.Sum").unwrap();
    for len in [0, 1, 8, 64, 100_001, 1 << 20, 3 << 20] {
        let mut loan = sum.loan(len).unwrap();
        loan.bytes().fill(1);
        let mut expected = vec![1_u8; len];
        expected.resize(len.next_multiple_of(8), 0);
        let words = expected
            .as_chunks::<8>()
            .0
            .iter()
            .map(|word| u64::from_le_bytes(*word));
        assert_eq!(
            loan.invoke().unwrap(),
            words.fold(len as u64, u64::wrapping_add),
            "{len}"
        );
    }
    // Loans that are dropped or in flight at the same time do not disturb each other.
    let mut loans: Vec<_> = (0..8).map(|_| sum.loan(1 << 20).unwrap()).collect();
    loans.truncate(4);
    for (n, mut loan) in loans.into_iter().enumerate() {
        loan.bytes().fill(n as u8);
        let word = u64::from_le_bytes([n as u8; 8]);
        assert_eq!(
            loan.invoke().unwrap(),
            (word.wrapping_mul(1 << 17)).wrapping_add(1 << 20)
        );
    }
}

/// A gate of raw bytes is another type than one of an archived vector.
#[test]
fn raw_and_archived_bytes_are_different_types() {
    let (_broker, a, b) = bus();
    let _raw = a
        .provide_raw("A.Raw", |_: Context<'_>, payload: Payload<'_>| {
            payload.len() as u64
        })
        .unwrap();
    let archived = b.subscriber::<(Vec<u8>,), u64>("A.Raw").unwrap();
    let error = archived.wait_ready(Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.code(), Code::TypeMismatch, "{error}");
}

/// Calls that time out with large payloads give their memory back.
#[test]
fn memory_of_abandoned_calls_comes_back() {
    let (_broker, a, b) = bus();
    let _slow = a
        .provide("A.Slow", |v: View<'_, Vec<u8>>, millis: u64| {
            std::thread::sleep(Duration::from_millis(millis));
            v.to_vec()
        })
        .unwrap();
    let slow = b.subscriber::<(Vec<u8>, u64), Vec<u8>>("A.Slow").unwrap();
    let hasty = slow.with_timeout(Duration::from_millis(5));
    for _ in 0..40 {
        let error = hasty.invoke((vec![3; 2 << 20], 10)).unwrap_err();
        assert!(
            matches!(error.code(), Code::Timeout | Code::Overloaded),
            "{error}"
        );
    }
    for _ in 0..20 {
        assert_eq!(slow.invoke((vec![3; 2 << 20], 0)).unwrap().len(), 2 << 20);
    }
}

/// The memory of a large call that timed out is given back when it is idle, not only when another call lacks space,
/// which may never happen in a quiet plugin.
#[test]
fn idle_memory_is_given_back_also_after_calls_that_timed_out() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let join = |name| {
        let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
        let builder = builder.keep_idle(Duration::from_millis(50));
        builder.direct_calls(false).connect().unwrap()
    };
    let (a, b) = (join("a"), join("b"));
    let sleep = |millis: u64, _: View<'_, Vec<u8>>| {
        std::thread::sleep(Duration::from_millis(millis));
    };
    let _slow = a.provide("A.Slow", sleep).unwrap();
    let slow = b.subscriber::<(u64, Vec<u8>), ()>("A.Slow").unwrap();
    let granted = || broker.snapshot().unwrap().links[0].granted_bytes;
    let outboxes = 2 * 86_016;
    for (millis, timed_out) in [(0, false), (200, true)] {
        let hasty = slow.with_timeout(Duration::from_millis(if timed_out { 60 } else { 20_000 }));
        let outcome = hasty.invoke((millis, vec![7; 1 << 20]));
        assert_eq!(outcome.is_err(), timed_out, "{outcome:?}");
        if timed_out {
            assert!(granted() > outboxes, "it is still used");
        }
        let until = Instant::now() + Duration::from_secs(20);
        while granted() > outboxes {
            assert!(Instant::now() < until, "timed out: {timed_out}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// If a loan finds no memory, the error names the limit of the link, and not calls under way when there are none.
#[test]
fn a_loan_over_the_share_of_one_link_says_so() {
    let (_broker, a, b) = bus();
    let _len = a
        .provide_raw("A.Len", |_: Context<'_>, bytes: Payload<'_>| {
            bytes.len() as u64
        })
        .unwrap();
    let len = b.raw_subscriber::<u64>("A.Len").unwrap();
    // Each takes an extent of 64 MiB, and together they take half of 256 MiB.
    let _loans = [len.loan(40 << 20).unwrap(), len.loan(40 << 20).unwrap()];
    let short = len.with_timeout(Duration::from_millis(50));
    let error = short.loan(40 << 20).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    assert!(
        error.message().contains("128 MiB are taken of the 128 MiB"),
        "{error}"
    );
}

/// The space of answers was not free again when their callers had read them, so later ones took more memory.
#[test]
fn answers_in_the_outbox_need_no_more_memory_later() {
    let (broker, a, b) = bus();
    let _zeros = a
        .provide("A.Zeros", |n: u64| vec![0_u8; n as usize])
        .unwrap();
    let zeros = b.subscriber::<(u64,), Vec<u8>>("A.Zeros").unwrap();
    let granted = || broker.snapshot().unwrap().links[0].granted_bytes;
    assert_eq!(zeros.invoke((20_000,)).unwrap().len(), 20_000);
    let before = granted();
    for _ in 0..200 {
        assert_eq!(zeros.invoke((20_000,)).unwrap().len(), 20_000);
    }
    assert_eq!(granted(), before);
}
