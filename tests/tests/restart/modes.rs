//! Plugins with every dispatch, over a restart and the five seconds in which old links drain.

use std::thread;
use std::time::Duration;

use callgate_tests::restart::worker::{Totals, names};
use callgate_tests::restart::{Held, Standing, Told};
use callgate_tests::shorthand::open;
use callgate_tests::{Bus, PATIENCE, programs};

const MODES: [&str; 6] = ["thread", "pool", "pump", "group", "group", "direct"];
/// Longer than old links are used.
const LONG: u64 = 5_600;

/// In every mode, calls that are under way when old links are closed, and handlers that run longer, are answered.
/// Nothing stays behind of the old links.
#[test]
fn in_every_mode_calls_go_on_and_nothing_is_left_of_old_links() {
    let mut bus = Bus::start(programs!());
    let mut worker = bus.peer("worker", "W", &MODES);
    let names = names("W", &MODES);
    let caller = bus.plugin("Caller");
    let calls: Vec<_> = names
        .iter()
        .map(|name| {
            let add = open::<(u64, u64), u64>(&caller, &format!("{name}.Add"));
            Standing::start(name, move |n| {
                add.invoke((n, 1)).map(|sum| assert_eq!(sum, n + 1))
            })
        })
        .collect();
    // It delays only one thread of a pool.
    let sleep = open::<(u64,), ()>(&caller, "W-pool-1.Sleep");
    let call = format!("call {}", names.join(","));
    assert_eq!(worker.ask(&call), "calling");
    // By now all of them are linked.
    let totals = Totals::ask(&mut worker, "stop");
    assert_eq!((totals.failed, totals.without_room), (0, 0), "{totals:?}");
    let pid = worker.id();
    let before = Held::at_rest(pid);
    assert_eq!(worker.ask(&call), "calling");
    let told = Told::by(&caller);
    bus.kill_broker();
    told.lost();
    let long = thread::spawn(move || sleep.invoke((LONG,)));
    bus.start_broker();
    told.back();
    let pause = Duration::from_millis(LONG);
    thread::sleep(pause);
    long.join()
        .unwrap()
        .expect("who is served already is answered");
    calls.iter().for_each(Standing::expect_progress);
    for calls in calls {
        calls.finish();
    }
    let totals = Totals::ask(&mut worker, "stop");
    assert_eq!(totals.failed, 0, "{totals:?}");
    println!("{totals:?}");
    before.expect_again("the worker", pid);
    // Over the remaining links.
    for name in &names {
        let add = open::<(u64, u64), u64>(&caller, &format!("{name}.Add"));
        assert_eq!(add.with_timeout(PATIENCE).invoke((1, 2)).unwrap(), 3);
    }
}
