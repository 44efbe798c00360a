//! Callers that are killed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use callgate_tests::proc::{Holdings, shared_maps};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, Process, programs};

/// Sets the flag when it is dropped, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A provider neither fails, hangs nor leaks when one of its callers is killed.
#[test]
fn a_killed_caller_leaves_the_provider_untouched() {
    let bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let steady = bus.plugin("Steady");
    let add = open::<(u64, u64), u64>(&steady, "P.Add");
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    let pid = provider.id();
    let before = Holdings::at_rest(pid);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let over = Over(&is_over);
        let calling = scope.spawn(|| {
            for n in 0.. {
                if is_over.load(Ordering::Relaxed) {
                    return n;
                }
                assert_eq!(add.invoke((n, 7)).expect("the provider lives"), n + 7);
            }
            0
        });
        for _ in 0..4 {
            let mut victims: Vec<Process> = ["A", "B", "C"]
                .iter()
                .map(|name| bus.peer("caller", name, &["P"]))
                .collect();
            // Each caller is in the middle of a call.
            for victim in &mut victims {
                victim.say("how many?");
                let counts = victim.expect_line();
                assert!(!counts.starts_with("0 "), "{counts}");
            }
            assert!(shared_maps(pid) > before.shared, "links take memory");
            victims.into_iter().for_each(Process::kill);
            before.expect_again("the provider", pid);
        }
        drop(over);
        assert!(calling.join().expect("all its calls were answered") > 0);
    });
    let listing = steady.list().unwrap();
    let links = listing["links"].as_array().unwrap();
    let ends: Vec<_> = links.iter().map(|link| (&link["a"], &link["b"])).collect();
    assert_eq!(ends, [(&"Steady".into(), &"P".into())]);
}

/// An answer to a dead caller does not disturb the provider, and reaches nobody else.
#[test]
fn a_caller_may_die_while_its_call_is_handled() {
    let bus = Bus::start(programs!());
    let provider = bus.plugin("Provider");
    let gate: Arc<(Mutex<(u32, bool)>, Condvar)> = Arc::default();
    let held = gate.clone();
    let handler = move |bytes: Vec<u8>| {
        let (state, change) = &*held;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        change.notify_all();
        let _open = change.wait_while(state, |state| !state.1).unwrap();
        bytes
    };
    let _kept = provider.provide("P.Held", handler).unwrap();
    // One payload inline, and one in blocks of the outbox.
    for size in ["16", "5000"] {
        let (state, change) = &*gate;
        *state.lock().unwrap() = (0, false);
        let ping = Process::spawn(bus.command(&["ping", "P.Held", "--size", size]));
        let state = change
            .wait_while(state.lock().unwrap(), |state| state.0 == 0)
            .unwrap();
        ping.kill();
        drop(state);
        gate.0.lock().unwrap().1 = true;
        change.notify_all();
        let caller = bus.plugin("Caller");
        let held = open::<(Vec<u8>,), Vec<u8>>(&caller, "P.Held");
        for n in 0..100 {
            assert_eq!(held.invoke((vec![n; 3000],)).unwrap(), vec![n; 3000]);
        }
        await_that("only the living are linked", || {
            caller.list().unwrap()["links"].as_array().unwrap().len() == 1
        });
    }
}
