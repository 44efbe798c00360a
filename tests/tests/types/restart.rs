//! Brokers that are killed and started again while calls are made as JSON.

use std::time::Duration;

use callgate_tests::restart::{Standing, Told};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::types::caller::{Summary, Track, track};
use callgate_tests::types::{provide, provide_other};
use callgate_tests::{Bus, PATIENCE, programs};

/// The next broker has its own numbers for schemas, and is asked for them again.
#[test]
fn no_call_fails_over_a_restart() {
    for mode in ["thread", "pool", "pump", "group"] {
        println!("mode {mode}");
        let mut bus = Bus::start(programs!());
        let _s = bus.peer("types", "S", &[mode]);
        let caller = bus.plugin("T");
        let told = Told::by(&caller);
        let wide = open::<(u64,), u64>(&caller, "S.Wide");
        let echo = open::<(Vec<u32>,), Vec<u32>>(&caller, "S.Echo");
        let calls = [
            Standing::start("S.Wide", move |n| {
                let n = n % 1000;
                wide.invoke((n,)).map(|same| assert_eq!(same, n))
            }),
            Standing::start("S.Echo", move |n| {
                let numbers = vec![n as u32; (n * 331 % 9_000) as usize];
                let same = echo.invoke((numbers.clone(),))?;
                assert!(same == numbers, "call {n}");
                Ok(())
            }),
        ];
        for _ in 0..3 {
            bus.kill_broker();
            told.lost();
            calls.iter().for_each(Standing::expect_progress);
            bus.start_broker();
            told.back();
            calls.iter().for_each(Standing::expect_progress);
        }
        // A plugin that opens the gate now finds it, too.
        let late = bus.plugin("Late");
        let wide = open::<(u8,), u64>(&late, "S.Wide");
        assert!(wide.is_converted());
        assert_eq!(wide.invoke((7,)).unwrap(), 7);
        for calls in calls {
            calls.finish();
        }
    }
}

/// Types that changed while there was no broker are compared at the next one.
#[test]
fn types_that_changed_without_a_broker_are_found_by_the_next_one() {
    let mut bus = Bus::start(programs!());
    let (provider, caller) = (bus.plugin("S"), bus.plugin("T"));
    let told = [&provider, &caller].map(Told::by);
    let same = provide_other(&provider, "S").unwrap();
    let sum = open::<(Track,), Summary>(&caller, "S.Sum");
    assert!(!sum.is_converted());
    bus.kill_broker();
    for told in &told {
        told.lost();
    }
    drop(same);
    bus.start_broker();
    for told in &told {
        told.back();
    }
    let _differing = provide(&provider, "S").unwrap();
    await_that("the gate is converted", || {
        let summed = sum.invoke((track(vec![5]),));
        summed.is_ok_and(|sum| sum.loudest.is_none() && sum.total == 5)
    });
    assert!(sum.is_converted());
}

/// Brokers come and go faster than schemas are fetched.
#[test]
fn a_broker_that_dies_while_schemas_are_fetched_is_no_matter() {
    let mut bus = Bus::start(programs!());
    let _s = bus.peer("types", "S", &["thread"]);
    let caller = bus.plugin("T");
    let told = Told::by(&caller);
    let gates = [
        "Sum", "View", "Small", "Wide", "Volume", "Ends", "Echo", "Note",
    ];
    for _ in 0..8 {
        let opened = std::thread::scope(|scope| {
            let open_all = scope.spawn(|| {
                let open =
                    |gate: &&str| caller.subscriber::<(Track,), Summary>(&format!("S.{gate}"));
                gates.iter().map(open).collect::<Vec<_>>()
            });
            bus.restart_broker();
            open_all.join().unwrap()
        });
        told.lost();
        told.back();
        // Some may have met a broker that was about to end.
        drop(opened);
    }
    let sum = open::<(Track,), Summary>(&caller, "S.Sum");
    assert_eq!(
        sum.with_timeout(PATIENCE)
            .invoke((track(vec![1]),))
            .unwrap()
            .total,
        1
    );
    assert!(caller.wait_closed_for(Duration::from_millis(1)).is_none());
}
