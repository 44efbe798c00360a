//! Operations that need a broker while there is none: each waits for the next one, within its own timeout.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{CancelToken, Code, Error, Plugin};
use callgate_tests::restart::Told;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// Everything must go on within this time once there is a broker.
const SOON: Duration = Duration::from_secs(2);
/// How long there is no broker.
const WITHOUT: Duration = Duration::from_millis(300);

/// An operation that needs a broker.
type Step<'a> = &'a (dyn Fn() -> Result<(), Error> + Sync);

/// All operations that need a broker, and when each was over.
fn all(plugin: &Plugin, round: u32) -> Vec<(&'static str, Result<(), Error>, Instant)> {
    let gate = |what: &str| format!("Plugin.{what}{round}");
    let provide = || plugin.provide(&gate("New"), || ()).map(|new| new.keep());
    let open = || {
        plugin
            .subscriber::<(u64, u64), u64>(&gate("Open"))
            .map(drop)
    };
    let watch = || plugin.watch(&gate("Watched")).map(drop);
    let list = || plugin.list().map(drop);
    let provide_action = || {
        let action = plugin.provide_action(&gate("Note"), || ());
        action.map(|action| action.keep())
    };
    let all: [(&str, Step<'_>); 5] = [
        ("provide", &provide),
        ("subscriber", &open),
        ("watch", &watch),
        ("list", &list),
        ("provide_action", &provide_action),
    ];
    thread::scope(|scope| {
        let started = all.map(|(what, call)| {
            scope.spawn(move || {
                let outcome = call();
                (what, outcome, Instant::now())
            })
        });
        let ended = started.map(|call| call.join().expect("no panic"));
        ended.into()
    })
}

/// While a broker is being started again, operations that need one wait for it, and need not be repeated.
#[test]
fn what_needs_a_broker_waits_for_the_next_one() {
    let mut bus = Bus::start(programs!());
    let plugin = bus.plugin("Plugin");
    let told = Told::by(&plugin);
    let absent = plugin.subscriber::<(), u32>("Other.Gate").unwrap();
    let mut longest = Duration::ZERO;
    for round in 1..=3 {
        bus.kill_broker();
        told.lost();
        let (outcomes, waited, there) = thread::scope(|scope| {
            let all = scope.spawn(|| all(&plugin, round));
            let wait = scope.spawn(|| {
                let waited = absent.wait_ready(PATIENCE);
                (waited, absent.invoke(()))
            });
            thread::sleep(WITHOUT);
            bus.start_broker();
            let there = Instant::now();
            let other = bus.plugin("Other");
            let _gate = other.provide("Other.Gate", move || round).unwrap();
            let waited = wait.join().unwrap();
            (all.join().unwrap(), waited, there)
        });
        for (what, outcome, ended) in outcomes {
            outcome.unwrap_or_else(|why| panic!("{what}: {why}"));
            // An operation that began before the loss of the broker was noticed has used the old one.
            let late = ended.saturating_duration_since(there);
            longest = longest.max(late);
            assert!(late < SOON, "{what} took {late:?}");
        }
        waited.0.expect("it is ready");
        assert_eq!(waited.1.unwrap(), round);
        told.back();
    }
    println!("{longest:?} after the broker was there the last call was over");
}

/// If no broker comes, each operation fails at its timeout, and says for which broker it waited.
#[test]
fn where_no_broker_comes_everything_says_so_in_its_time() {
    let mut bus = Bus::start(programs!());
    let plugin = bus.plugin("Plugin");
    let told = Told::by(&plugin);
    let absent = plugin.subscriber::<(), ()>("Other.Gate").unwrap();
    let watch = plugin.watch("Other.Gate").unwrap();
    assert!(!watch.next(Duration::ZERO).unwrap().unwrap().is_present());
    let pid = bus.broker.as_ref().unwrap().id();
    let words = [bus.socket().display().to_string(), format!("pid {pid}")];
    bus.kill_broker();
    told.lost();
    let check = |what: &str, error: &Error| {
        assert_eq!(error.code(), Code::BrokerGone, "{what}: {error}");
        for word in &words {
            assert!(error.message().contains(word), "{what}: {error}");
        }
        assert!(!error.may_have_run(), "{what}");
    };
    let begun = Instant::now();
    let error = absent.with_timeout(WITHOUT).invoke(()).unwrap_err();
    check("invoke", &error);
    assert!(begun.elapsed() >= WITHOUT);
    let begun = Instant::now();
    check("wait_ready", &absent.wait_ready(WITHOUT).unwrap_err());
    let took = begun.elapsed();
    assert!((WITHOUT..SOON).contains(&took), "{took:?}");
    // Nothing has changed, but something still may.
    assert!(watch.next(WITHOUT).unwrap().is_none());
    let begun = Instant::now();
    for (what, outcome, ended) in all(&plugin, 0) {
        check(what, &outcome.expect_err(what));
        let took = ended - begun;
        let bounds = Duration::from_millis(4_900)..Duration::from_secs(5) + SOON;
        assert!(bounds.contains(&took), "{what} took {took:?}");
    }
    assert!(plugin.wait_closed_for(Duration::ZERO).is_none());
    told.nothing_more();
}

/// A wait for a broker ends when its token is cancelled, or its plugin closes.
#[test]
fn the_wait_for_a_broker_ends_with_a_token_or_the_plugin() {
    let mut bus = Bus::start(programs!());
    let plugin = bus.plugin("Plugin");
    let other = bus.plugin("Other");
    let told = [&plugin, &other].map(Told::by);
    let absent = plugin.subscriber::<(), ()>("Nobody.Gate").unwrap();
    let absent = absent.with_timeout(PATIENCE);
    bus.kill_broker();
    told.iter().for_each(|told| drop(told.lost()));
    let token = CancelToken::new();
    let cancelled = absent.with_cancel(&token);
    thread::scope(|scope| {
        let call = scope.spawn(|| code(cancelled.invoke(())));
        thread::sleep(WITHOUT / 3);
        let begun = Instant::now();
        token.cancel();
        assert_eq!(call.join().unwrap(), Code::Cancelled);
        assert!(begun.elapsed() < SOON);
    });
    let begun = Instant::now();
    drop(other);
    assert!(begun.elapsed() < SOON, "closing took {:?}", begun.elapsed());
    thread::scope(|scope| {
        let call = scope.spawn(|| code(absent.invoke(())));
        thread::sleep(WITHOUT / 3);
        let begun = Instant::now();
        drop(plugin);
        assert_eq!(call.join().unwrap(), Code::Closed);
        assert!(begun.elapsed() < SOON);
    });
}

/// A gate whose provider is linked is ready, although no broker can be asked.
#[test]
fn a_gate_with_a_link_is_ready_without_a_broker() {
    let mut bus = Bus::start(programs!());
    let provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let told = Told::by(&caller);
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    bus.kill_broker();
    told.lost();
    let begun = Instant::now();
    add.wait_ready(PATIENCE).unwrap();
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    // After the provider has ended, it is not ready.
    provider.kill();
    let short = add.with_timeout(WITHOUT);
    // One call may still be on its way to the provider.
    await_that("its end is seen", || {
        code(short.invoke((1, 2))) == Code::BrokerGone
    });
    assert_eq!(code(add.wait_ready(WITHOUT)), Code::BrokerGone);
    let _provider = thread::scope(|scope| {
        let call = scope.spawn(|| add.invoke((1, 2)));
        bus.start_broker();
        let provider = bus.peer("provider", "P", &[]);
        // The call asked the broker once, whether or not it was there by then.
        let outcome = call.join().unwrap();
        assert!(
            outcome.as_ref().is_ok_and(|sum| *sum == 3)
                || outcome.is_err_and(|error| error.code() == Code::NotReady)
        );
        provider
    });
    add.wait_ready(PATIENCE).unwrap();
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
}

/// A gate that was opened without waiting while there was no broker is opened at the next one.
#[test]
fn what_is_opened_without_waiting_is_told_to_the_next_broker() {
    let mut bus = Bus::start(programs!());
    let _p = bus.peer("provider", "P", &[]);
    let plugin = bus.plugin("Plugin");
    let told = Told::by(&plugin);
    bus.kill_broker();
    told.lost();
    let start = Instant::now();
    let add = plugin.subscriber_later::<(u64, u64), u64>("P.Add").unwrap();
    let untyped = callgate_client::dynamic::open_json_later(&plugin, "P.Add").unwrap();
    let watch = plugin.watch_later("P.Add").unwrap();
    assert!(watch.next(Duration::ZERO).unwrap().is_none());
    assert!(start.elapsed() < SOON, "the broker was waited for");
    bus.start_broker();
    // The plugin may have come to the next broker before the provider. Then nobody provides the gate at first.
    let owner = std::iter::from_fn(|| watch.next(PATIENCE).unwrap()).find_map(|seen| seen.owner);
    assert_eq!(owner.as_deref(), Some("P"));
    add.wait_ready(PATIENCE).unwrap();
    assert_eq!(add.invoke((20, 22)).unwrap(), 42);
    untyped.wait_ready(PATIENCE).unwrap();
    drop(plugin);
    assert_eq!(code(add.invoke((1, 2))), Code::Closed);
}

/// If no broker will come any more, opening a gate without waiting fails: nobody would ever report how the gate
/// stands.
#[test]
fn nothing_is_opened_without_waiting_where_there_will_be_no_broker() {
    let mut bus = Bus::start(programs!());
    let plugin = bus
        .builder("Plugin")
        .outlives_broker(false)
        .connect()
        .unwrap();
    bus.kill_broker();
    assert!(plugin.wait_closed_for(PATIENCE).is_some());
    let opened = plugin.subscriber_later::<(u64, u64), u64>("P.Add");
    assert_eq!(code(opened), Code::BrokerGone);
    assert_eq!(code(plugin.watch_later("P.Add")), Code::BrokerGone);
    let invalid = plugin.watch_later("");
    assert_eq!(code(invalid), Code::InvalidArgument);
}
