//! Gates that come and go while other gates on the same link are called.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use callgate_client::Code;
use callgate_tests::{Bus, programs};

/// The first call of a newly granted gate is not refused. A dispatcher in the middle of a busy round must look it up
/// in the table with the grant, not in the one from before.
#[test]
fn the_first_call_of_a_new_gate_is_not_refused_while_others_are_served() {
    let bus = Bus::start(programs!());
    let (provider, caller) = (bus.plugin("provider"), bus.plugin("caller"));
    let _busy = provider.provide("A.Busy", |n: u64| n).expect("it is free");
    let busy = caller
        .subscriber::<(u64,), u64>("A.Busy")
        .expect("it is there");
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            let busy = busy.clone();
            scope.spawn(|| {
                let busy = busy;
                while !is_done.load(Ordering::Relaxed) {
                    assert_eq!(busy.invoke((7,)).map_err(|error| error.code()), Ok(7));
                }
            });
        }
        let outcome = (0..400_u64).try_for_each(|n| {
            let gate = format!("A.New{n}");
            let new = caller.subscriber::<(u64,), u64>(&gate)?;
            assert_eq!(
                new.invoke((n,)).map_err(|error| error.code()),
                Err(Code::NotReady)
            );
            let _provided = provider.provide(&gate, move |n: u64| n + 1)?;
            new.wait_ready(callgate_tests::PATIENCE)?;
            assert_eq!(new.invoke((n,))?, n + 1);
            Ok::<(), callgate_client::Error>(())
        });
        is_done.store(true, Ordering::Relaxed);
        assert!(outcome.is_ok(), "{outcome:?}");
    });
}
