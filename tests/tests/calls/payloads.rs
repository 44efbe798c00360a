//! Payloads of every size, including those that are too large.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use callgate_client::{Code, View};
use callgate_layout::payload::MAX_EXTENT_LEN;
use callgate_tests::shorthand::{open, pattern};
use callgate_tests::{Bus, programs};

/// The most bytes of an archive. A vector's archive has 8 more bytes than its contents.
const MOST: u32 = MAX_EXTENT_LEN;

/// Payloads whose size is just below, at and above that of a cell, a block and all blocks arrive whole.
#[test]
fn payloads_of_every_size_pass_both_ways() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let own = bus.plugin("Own");
    let _sum = own
        .provide("Own.Sum", |bytes: View<'_, Vec<u8>>, seed: u64| {
            **bytes == *pattern(seed, bytes.len())
        })
        .unwrap();
    let _make = own
        .provide("Own.Make", |seed: u64, length: u32| {
            pattern(seed, length as usize)
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Echo");
    let sum = open::<(Vec<u8>, u64), bool>(&caller, "Own.Sum");
    let make = open::<(u64, u32), Vec<u8>>(&caller, "Own.Make");
    // The archive of a vector has 8 more bytes than its contents, so cells and blocks are full 8 bytes earlier.
    let few = (0..=2).chain(86..=130).chain(1000..=1040);
    let many = (2040..=2056).chain([3000, 8192, 32 << 10, (64 << 10) - 8, (64 << 10) - 7]);
    let many = many.chain([70_000, (1 << 20) - 8, (1 << 20) - 7, 2_000_000]);
    for length in few.chain(many) {
        let bytes = pattern(length as u64, length);
        assert!(
            echo.invoke((bytes.clone(),)).unwrap() == bytes,
            "{length} bytes there and back"
        );
        assert!(
            sum.invoke((bytes.clone(), length as u64)).unwrap(),
            "{length} bytes there"
        );
        assert!(
            make.invoke((length as u64, length as u32)).unwrap() == bytes,
            "{length} bytes back"
        );
    }
}

/// Arguments that are too large are refused: nothing is sent, and the link lives on.
#[test]
fn arguments_that_are_too_large_are_refused_and_nothing_is_sent() {
    let bus = Bus::start(programs!());
    let own = bus.plugin("Own");
    let runs = Arc::new(AtomicU64::new(0));
    let counted = runs.clone();
    let _length = own
        .provide("Own.Length", move |bytes: View<'_, Vec<u8>>| {
            counted.fetch_add(1, Ordering::SeqCst);
            bytes.len() as u64
        })
        .unwrap();
    let caller = bus.plugin("Caller");
    let length = open::<(Vec<u8>,), u64>(&caller, "Own.Length");
    let most = 3 << 20;
    for n in [MOST as usize - 7, 65 << 20] {
        let error = length.invoke((vec![1; n],)).unwrap_err();
        assert_eq!(error.code(), Code::RequestTooLarge);
        assert_eq!(error.gate(), Some("Own.Length"));
        assert!(!error.may_have_run(), "{error}");
        assert_eq!(length.invoke((vec![1; most],)).unwrap(), most as u64);
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// A result that is too large is an error for its caller, and the link lives on.
#[test]
fn a_result_that_is_too_large_is_an_error_and_the_link_lives() {
    let bus = Bus::start(programs!());
    let _provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let zeros = open::<(u32,), Vec<u8>>(&caller, "P.Zeros");
    let most = 3 << 20;
    for n in [MOST - 7, 65 << 20] {
        let error = zeros.invoke((n,)).unwrap_err();
        assert_eq!(error.code(), Code::ResponseTooLarge);
        assert_eq!(error.gate(), Some("P.Zeros"));
        assert!(error.may_have_run(), "{error}");
        assert_eq!(zeros.invoke((most,)).unwrap(), vec![0; most as usize]);
    }
}
