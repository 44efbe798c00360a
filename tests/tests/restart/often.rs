//! Brokers that end before the links of the last one have drained, and plugins that end meanwhile.

use std::thread;
use std::time::Duration;

use callgate_client::Plugin;
use callgate_tests::restart::{Held, Standing, Told};
use callgate_tests::shorthand::{connect_early, open};
use callgate_tests::{Bus, proc, programs};

/// How long a broker lives.
const LIFE: Duration = Duration::from_millis(300);
/// How many brokers there are.
const BROKERS: u32 = 20;

/// Restarts that follow faster than links drain: no call fails, and what is kept does not grow with every broker.
#[test]
fn restarts_that_are_faster_than_draining_fail_no_call_and_leave_nothing() {
    let mut bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let own = bus.plugin("Own");
    own.provide("Own.Add", |a: u64, b: u64| a + b)
        .unwrap()
        .keep();
    let adds = ["P.Add", "Own.Add"].map(|gate| open::<(u64, u64), u64>(&caller, gate));
    let before = Held::at_rest(provider.id());
    let calls: Vec<_> = adds
        .into_iter()
        .map(|add| {
            let name = add.gate().to_owned();
            Standing::start(&name, move |n| {
                add.invoke((n, 1)).map(|sum| assert_eq!(sum, n + 1))
            })
        })
        .collect();
    for _ in 0..BROKERS {
        bus.restart_broker();
        thread::sleep(LIFE);
    }
    calls.iter().for_each(Standing::expect_progress);
    let late = bus.plugin("Late");
    for gate in ["P.Add", "Own.Add"] {
        let add = open::<(u64, u64), u64>(&late, gate);
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
    }
    drop(late);
    for calls in calls {
        let (made, longest) = calls.finish();
        println!("{made} calls, the longest {longest:?}");
    }
    before.expect_again("the provider", provider.id());
    // What is left of it belongs to one broker only.
    assert_eq!(caller.list().unwrap()["broker"]["generation"], BROKERS + 1);
}

/// A caller that dies while there is no broker leaves nothing behind in its peers.
#[test]
fn who_dies_without_a_broker_leaves_nothing() {
    let mut bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let watcher = bus.plugin("Watcher");
    let _open = open::<(u64, u64), u64>(&watcher, "P.Add");
    let before = Held::at_rest(provider.id());
    let callers: Vec<_> = (0..3)
        .map(|n| bus.peer("quiet-caller", &format!("C{n}"), &["P"]))
        .collect();
    let told = Told::by(&watcher);
    bus.kill_broker();
    told.lost();
    for caller in callers {
        caller.kill();
    }
    proc::eventually("their ends are seen", || {
        match proc::shared_maps(provider.id()) {
            maps if maps == before.shared => Ok(()),
            maps => Err(format!("{before:?}, now {maps}")),
        }
    });
    // A plugin that tries to connect meanwhile fails, and those that connect later succeed.
    let none = bus.builder("New").connect().unwrap_err();
    assert_eq!(none.code(), callgate_client::Code::BrokerGone);
    let socket = bus.socket();
    let new = thread::spawn(move || connect_early(|| Plugin::builder("New").socket(&socket)));
    bus.start_broker();
    told.back();
    let new = new.join().unwrap();
    assert_eq!(
        open::<(u64, u64), u64>(&new, "P.Add")
            .invoke((1, 2))
            .unwrap(),
        3
    );
    let listing = watcher.list().unwrap();
    let names = listing["plugins"].as_array().unwrap().iter();
    let names: Vec<_> = names
        .map(|plugin| plugin["name"].as_str().unwrap())
        .collect();
    assert!(!names.iter().any(|name| name.starts_with('C')), "{names:?}");
    drop(new);
    before.expect_again("the provider", provider.id());
}
