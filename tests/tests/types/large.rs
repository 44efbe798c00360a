//! Payloads that do not fit a cell: blocks and extents, in both directions.

use callgate_client::Code;
use callgate_tests::types::caller::{Summary, Track, track};

use crate::scene::{MODES, Scene};

#[test]
fn large_payloads_pass_in_both_directions() {
    for mode in MODES {
        println!("mode {mode}");
        let scene = Scene::new(mode);
        let echo = scene.open::<(Vec<u32>,), Vec<u32>>("S.Echo");
        assert!(echo.is_converted());
        // As JSON: some bytes, more than a cell, 64 KiB, more than the outbox's blocks, 4 MiB.
        for count in [0, 10, 100, 6_000, 10_000, 400_000] {
            let numbers: Vec<u32> = (0..count).map(|n| n * 7 + 1_000_000_000).collect();
            assert_eq!(
                echo.invoke_ref(&(numbers.clone(),)).unwrap(),
                numbers,
                "{count}"
            );
        }
        let zeros = scene.open::<(u64,), Vec<u8>>("S.Zeros");
        assert_eq!(zeros.invoke((2 << 20,)).unwrap(), vec![0; 2 << 20]);
        let sum = scene.open::<(Track,), Summary>("S.Sum");
        let total = sum.invoke((track(vec![3; 500_000]),)).unwrap().total;
        assert_eq!(total, 1_500_000);
    }
}

/// JSON is longer than an archive, so it is too large sooner: the call fails, and the link stays.
#[test]
fn what_is_too_large_is_told_and_the_link_goes_on() {
    let scene = Scene::new("thread");
    let echo = scene.open::<(Vec<u32>,), Vec<u32>>("S.Echo");
    let error = echo.invoke((vec![u32::MAX; 7 << 20],)).unwrap_err();
    assert_eq!(error.code(), Code::RequestTooLarge);
    assert!(!error.may_have_run());
    let huge = scene.open::<(u64,), Vec<u128>>("S.Huge");
    let error = huge.invoke((4 << 20,)).unwrap_err();
    assert_eq!(error.code(), Code::ResponseTooLarge);
    assert!(error.may_have_run());
    assert_eq!(echo.invoke((vec![1, 2],)).unwrap(), [1, 2]);
}

/// Space is given back. If it were kept, the link's quota would be used up long before the last of these.
#[test]
fn space_comes_back() {
    let scene = Scene::new("pool");
    let echo = scene.open::<(Vec<u32>,), Vec<u32>>("S.Echo");
    for n in 0..40 {
        let numbers = vec![n; 200_000];
        assert_eq!(echo.invoke((numbers.clone(),)).unwrap(), numbers);
    }
}
