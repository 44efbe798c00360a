//! What one gate, one caller or one link may take from the others.

use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use callgate_client::Dispatch;
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, programs};

/// A gate whose handler hung held every slot of its link, and no other gate could be called.
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
            // One at a time comes through here; the sender's end lets all go.
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
