//! A plugin whose address space is used up.

use callgate_client::Code;
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{PATIENCE, Process};

use crate::{bus, cramped, provider, tell};

/// An error about missing address space, which names the process.
#[track_caller]
fn expect_no_space(error: &str, process: &Process) {
    let named = error.contains(&format!("process {} could not map", process.id()));
    assert!(error.starts_with("SYSTEM") && named, "{error}");
}

/// A plugin that cannot map an extent fails only that payload. The link stays with its other calls in flight, and the
/// subscriber can still be used.
#[test]
fn an_extent_that_cannot_be_mapped_fails_only_its_payload() {
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
    assert_eq!(short.ask("loan Other.Raw 0"), "0");
    tell(&mut short, "space 8");
    // Once as the reader, and once as the writer.
    let error = raw.loan(32 << 20).unwrap_err();
    expect_no_space(&error.to_string(), &short);
    assert!(error.message().contains("plugin `P`"), "{error}");
    expect_no_space(&short.ask("loan Other.Raw 32"), &short);
    // The link is the old one, and small payloads pass in both directions.
    assert_eq!(add.invoke((20, 22)).unwrap(), 42);
    assert_eq!(short.ask("call Other.Add"), "42");
    assert_eq!(raw.loan(1 << 10).unwrap().invoke().unwrap(), 1 << 10);
    tell(&mut short, "space max");
    await_that("a loan can be had", || {
        let outcome = raw.loan(32 << 20).and_then(|loan| loan.invoke());
        assert!(outcome.is_ok() || outcome.as_ref().is_err_and(|e| e.code() == Code::System));
        outcome.is_ok()
    });
    await_that("it can be had the other way", || {
        short.ask("loan Other.Raw 32") == (32 << 20).to_string()
    });
}
