//! A provider that comes back with other types, while its callers keep their open gates.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use callgate_client::Code;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::types::caller::{Summary, Track, track};
use callgate_tests::types::{provide, provide_other};
use callgate_tests::{Bus, PATIENCE, programs};

/// One handle follows its gate from archives to JSON and back, and to types that can never be converted.
#[test]
fn a_handle_follows_its_gate_through_all_types() {
    for direct in [false, true] {
        let bus = Bus::start(programs!());
        let plugin = |name| bus.builder(name).direct_calls(direct).connect().unwrap();
        let (provider, caller) = (plugin("S"), plugin("T"));
        let same = provide_other(&provider, "S").unwrap();
        let sum = open::<(Track,), Summary>(&caller, "S.Sum");
        let call = || sum.invoke((track(vec![1, 2]),));
        for _ in 0..3 {
            assert!(!sum.is_converted());
            assert_eq!(call().unwrap().loudest, Some(2));
        }
        drop(same);
        assert_eq!(code(call()), Code::NotReady);
        let differing = provide(&provider, "S").unwrap();
        // The call itself notices the change: nobody has to wait.
        assert_eq!(call().unwrap().loudest, None);
        assert!(sum.is_converted());
        drop(differing);
        let odd = provider.provide("S.Sum", |_: String| 1_u32).unwrap();
        let error = call().unwrap_err();
        assert_eq!(error.code(), Code::TypeMismatch);
        assert_eq!(error.context().unwrap()["path"], "arguments[0]");
        assert_eq!(code(sum.wait_ready(PATIENCE)), Code::TypeMismatch);
        drop(odd);
        let longer = provider.provide("S.Sum", |_: u8, _: u8| 1_u32).unwrap();
        assert_eq!(code(call()), Code::LengthMismatch);
        drop(longer);
        let _same = provide_other(&provider, "S").unwrap();
        assert_eq!(call().unwrap().loudest, Some(2));
        assert!(!sum.is_converted());
    }
}

/// A call that was written for the old types is not read as the new ones, and a handle does not stay with the old
/// types.
#[test]
fn callers_go_on_while_the_types_change_under_them() {
    for direct in [false, true] {
        let bus = Bus::start(programs!());
        let plugin = |name| bus.builder(name).direct_calls(direct).connect().unwrap();
        let (provider, caller) = (plugin("S"), plugin("T"));
        let is_over = AtomicBool::new(false);
        let first = provide_other(&provider, "S").unwrap();
        let sum = open::<(Track,), Summary>(&caller, "S.Sum");
        thread::scope(|scope| {
            let calls = scope.spawn(|| {
                let (mut exact, mut converted) = (0, 0);
                while !is_over.load(Ordering::Relaxed) {
                    match sum.invoke((track(vec![3, 4]),)) {
                        Ok(Summary { total, loudest, .. }) => {
                            assert_eq!(total, 7);
                            match loudest {
                                Some(loudest) => {
                                    assert_eq!(loudest, 4);
                                    exact += 1;
                                }
                                None => converted += 1,
                            }
                        }
                        Err(error) => {
                            let code = error.code();
                            let gone = [Code::NotReady, Code::ProviderGone];
                            assert!(gone.contains(&code), "direct: {direct}: {error:?}");
                        }
                    }
                }
                (exact, converted)
            });
            let mut own = Some(first);
            for _ in 0..30 {
                thread::sleep(Duration::from_millis(2));
                drop(own.take());
                let other = provide(&provider, "S").unwrap();
                thread::sleep(Duration::from_millis(2));
                drop(other);
                own = Some(provide_other(&provider, "S").unwrap());
            }
            await_that("the last one is reached", || {
                sum.invoke((track(vec![1]),))
                    .is_ok_and(|sum| sum.loudest == Some(1))
            });
            is_over.store(true, Ordering::Relaxed);
            let (exact, converted) = calls.join().unwrap();
            assert!(exact > 0 && converted > 0, "{exact} {converted}");
        });
    }
}

/// A plugin of the same name in another process can take the place of a provider that was killed.
#[test]
fn a_provider_that_was_killed_comes_back_with_other_types() {
    let bus = Bus::start(programs!());
    let caller = bus.plugin("T");
    let there = bus.peer("types", "S", &["thread"]);
    let sum = open::<(Track,), Summary>(&caller, "S.Sum");
    assert!(sum.is_converted());
    drop(there);
    let own = bus.plugin("S");
    let _same = provide_other(&own, "S").unwrap();
    sum.wait_ready(PATIENCE).unwrap();
    assert!(!sum.is_converted());
    assert_eq!(sum.invoke((track(vec![9]),)).unwrap().loudest, Some(9));
}
