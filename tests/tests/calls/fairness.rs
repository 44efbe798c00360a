//! Limits on how much one gate, one caller or one link may take from the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Instant;

use callgate_client::Dispatch;
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, PATIENCE, programs};

/// A gate whose handler hangs takes at most half of a link's slots, so other gates can be called.
#[test]
fn a_gate_that_hangs_leaves_half_of_the_slots_to_others() {
    let bus = Bus::start(programs!());
    let provider = bus
        .builder("Provider")
        .dispatch(Dispatch::Pool(40))
        .connect()
        .unwrap();
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let (came, coming) = mpsc::channel();
    let _slow = provider
        .provide("Provider.Slow", move |n: u64| {
            came.send(()).unwrap();
            // One call at a time passes here. Dropping the sender releases all of them.
            let _ = gone.lock().unwrap().recv();
            n
        })
        .unwrap();
    let _quick = provider.provide("Provider.Quick", |n: u64| n + 1).unwrap();
    let caller = bus.plugin("Caller");
    let slow = Arc::new(open::<(u64,), u64>(&caller, "Provider.Slow"));
    let quick = open::<(u64,), u64>(&caller, "Provider.Quick");
    let calls: Vec<_> = (0..64)
        .map(|n| {
            let slow = slow.clone();
            thread::spawn(move || slow.invoke((n,)).unwrap() == n)
        })
        .collect();
    (0..32).for_each(|_| coming.recv().unwrap());
    for n in 0..100 {
        assert_eq!(quick.invoke((n,)).unwrap(), n + 1);
    }
    assert!(coming.try_recv().is_err(), "more than half of the slots");
    drop(go);
    assert!(calls.into_iter().all(|call| call.join().unwrap()));
}

/// A dispatcher with a thousand quiet links does not look at all of them between two calls of a busy one. It looks
/// first at links that had calls lately, and still serves the quiet ones.
#[test]
fn busy_links_keep_none_of_many_quiet_ones_waiting() {
    let bus = Bus::start(programs!());
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let provider = bus.builder("Provider").dispatch(dispatch);
        let provider = provider.connect().unwrap();
        let _gate = provider.provide("Provider.Next", |n: u64| n + 1).unwrap();
        let callers: Vec<_> = (0..40)
            .map(|n| {
                // Called through a link, although all plugins are in this process.
                let caller = bus.builder(&format!("Caller{n}")).direct_calls(false);
                let caller = caller.connect().unwrap();
                (open::<(u64,), u64>(&caller, "Provider.Next"), caller)
            })
            .collect();
        let (stop, start) = (AtomicBool::new(false), Instant::now());
        thread::scope(|scope| {
            for (gate, _) in &callers[..12] {
                scope.spawn(|| {
                    // The loop ends also if the other side fails.
                    while !stop.load(Ordering::Relaxed) && start.elapsed() < PATIENCE {
                        assert_eq!(gate.invoke((1,)).unwrap(), 2);
                    }
                });
            }
            for n in 0..5 {
                for (gate, _) in &callers[12..] {
                    assert_eq!(gate.invoke((n,)).unwrap(), n + 1);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}
