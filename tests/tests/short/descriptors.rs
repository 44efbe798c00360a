//! A plugin that has almost no descriptors left for a moment.

use std::thread;
use std::time::Duration;

use callgate_client::{Code, Subscriber};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{PATIENCE, Process, proc};

use crate::{bus, cramped, expect_short, provider, tell};

fn count(process: &mut Process) -> usize {
    process.ask("count").parse().expect("a number")
}

/// Waits until the program has as many open descriptors as before.
fn expect_count(process: &mut Process, before: usize) {
    await_that("nothing is left open", || count(process) == before);
}

/// If a plugin has no room for the descriptors of a record, only that link fails: the session stays, and the
/// descriptors that did arrive are closed.
#[test]
fn a_moment_without_descriptors_fails_only_the_link() {
    let bus = bus();
    let mut short = cramped(&bus);
    tell(&mut short, "connect P");
    tell(&mut short, "provide P.Add");
    let before = count(&mut short);
    for spare in 0..6 {
        let caller = bus.plugin("Caller");
        let (other, gates) = provider(&bus, "Other");
        tell(&mut short, &format!("spare {spare}"));
        let opened: Result<Subscriber<(u64, u64), u64>, _> = caller.subscriber("P.Add");
        match opened {
            Ok(add) if spare >= 4 => assert_eq!(add.invoke((20, 22)).unwrap(), 42),
            Ok(_) => panic!("a link without descriptors"),
            Err(error) => expect_short(&error.to_string(), short.id()),
        }
        let answer = short.ask("open Other.Add");
        if answer != "ok" {
            expect_short(&answer, short.id());
        }
        assert!(answer != "ok" || spare >= 4, "{spare}");
        let answer = short.ask("list");
        if answer != "listed" {
            expect_short(&answer, short.id());
            assert!(spare < 4, "{answer}");
        }
        tell(&mut short, "free");
        assert_eq!(short.ask("list"), "listed", "the session is over");
        tell(&mut short, "open Other.Add");
        assert_eq!(short.ask("call Other.Add"), "42");
        let add = open::<(u64, u64), u64>(&caller, "P.Add");
        assert_eq!(add.invoke((20, 22)).unwrap(), 42);
        tell(&mut short, "shut");
        drop((add, caller, gates, other));
        expect_count(&mut short, before);
    }
}

/// A record whose descriptors did not fit still counts as taken, so the broker goes on sending records with
/// descriptors.
#[test]
fn what_did_not_fit_counts_as_taken() {
    let bus = bus();
    let mut short = cramped(&bus);
    tell(&mut short, "connect P");
    tell(&mut short, "provide P.Add");
    tell(&mut short, "spare 0");
    for _ in 0..20 {
        expect_short(&short.ask("list"), short.id());
    }
    tell(&mut short, "free");
    assert_eq!(short.ask("list"), "listed");
    let caller = bus.plugin("Caller");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    assert_eq!(add.invoke((20, 22)).unwrap(), 42);
}

/// A gate that was open while a link failed for lack of descriptors works by itself when there are some: its
/// subscriber is not told for ever that nobody provides it.
#[test]
fn an_open_gate_comes_right_by_itself() {
    let bus = bus();
    let mut short = cramped(&bus);
    tell(&mut short, "connect P");
    let caller = bus.plugin("Caller");
    let add = caller.subscriber::<(u64, u64), u64>("P.Add").unwrap();
    tell(&mut short, "spare 2");
    tell(&mut short, "provide P.Add");
    let error = add.wait_ready(Duration::from_millis(500)).unwrap_err();
    expect_short(&error.to_string(), short.id());
    let error = add.invoke((20, 22)).unwrap_err();
    expect_short(&error.to_string(), short.id());
    // Meanwhile nobody spins, although the broker tries again.
    let before = proc::ticks(short.id());
    thread::sleep(Duration::from_millis(1500));
    let ticks = proc::ticks(short.id()) - before;
    assert!(ticks < 50, "it used {ticks} hundredths of a second");
    tell(&mut short, "free");
    add.wait_ready(2 * PATIENCE).unwrap();
    assert_eq!(add.invoke((20, 22)).unwrap(), 42);
}

/// An extent for which there is no descriptor fails only its payload, and not the link.
#[test]
fn an_extent_without_descriptors_fails_only_its_payload() {
    let bus = bus();
    let mut short = cramped(&bus);
    tell(&mut short, "connect P");
    tell(&mut short, "provide P.Add");
    tell(&mut short, "provide-raw P.Raw");
    let (other, _gates) = provider(&bus, "Other");
    let add = open::<(u64, u64), u64>(&other, "P.Add");
    let raw = other.raw_subscriber::<u64>("P.Raw").unwrap();
    raw.wait_ready(PATIENCE).unwrap();
    let raw = raw.with_timeout(PATIENCE);
    tell(&mut short, "open Other.Add");
    // The gate is open, and nothing larger than a MiB was sent yet.
    assert_eq!(short.ask("loan Other.Raw 0"), "0");
    let before = count(&mut short);
    tell(&mut short, "spare 0");
    expect_short(&short.ask("loan Other.Raw 4"), short.id());
    let error = raw.loan(4 << 20).unwrap_err();
    expect_short(&error.to_string(), short.id());
    assert!(error.message().contains("plugin `P`"), "{error}");
    assert_eq!(short.ask("call Other.Add"), "42");
    assert_eq!(add.invoke((20, 22)).unwrap(), 42);
    tell(&mut short, "free");
    await_that("a loan can be had", || {
        let outcome = raw.loan(4 << 20).and_then(|loan| loan.invoke());
        assert!(outcome.is_ok() || outcome.as_ref().is_err_and(|e| e.code() == Code::System));
        outcome.is_ok()
    });
    await_that("it can be had the other way", || {
        short.ask("loan Other.Raw 4") == (4 << 20).to_string()
    });
    expect_count(&mut short, before);
}

/// A plugin that connects without descriptors for its two pages is told the reason, and can try again.
#[test]
fn who_connects_without_descriptors_is_told_why_and_can_try_again() {
    let bus = bus();
    let mut short = cramped(&bus);
    tell(&mut short, "connect P");
    tell(&mut short, "close");
    let before = count(&mut short);
    for spare in 0..8 {
        tell(&mut short, &format!("spare {spare}"));
        let answer = short.ask("connect P");
        match answer.as_str() {
            "ok" => tell(&mut short, "close"),
            error => expect_short(error, short.id()),
        }
        assert!(spare < 7 || answer == "ok", "{answer}");
        tell(&mut short, "free");
        tell(&mut short, "connect P");
        tell(&mut short, "close");
        expect_count(&mut short, before);
    }
}
