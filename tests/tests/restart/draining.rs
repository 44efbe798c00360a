//! Provider and caller come to the next bus at different times, before or after old links are closed.

use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Code, Dispatch, Plugin};
use callgate_tests::PATIENCE;
use callgate_tests::pumped::Pumped;
use callgate_tests::restart::{Standing, Told, events};
use callgate_tests::shorthand::{await_that, code, open};

/// Longer than old links are used.
const DRAINED: Duration = Duration::from_millis(5_600);
/// Long enough for a call that has to wait for nobody.
const A_WHILE: Duration = Duration::from_millis(300);

fn broker() -> Broker {
    let broker = Broker::builder().without_socket().start();
    broker.expect("a broker")
}

/// A plugin with this dispatch, which is called through shared memory.
fn join(broker: &Broker, name: &str, dispatch: Dispatch) -> Pumped {
    let builder = Plugin::builder(name).descriptor(broker.connect().expect("a connection"));
    let builder = builder.direct_calls(false).dispatch(dispatch);
    Pumped::new(builder.connect().expect("the bus"), dispatch)
}

const MODES: [Dispatch; 3] = [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump];

/// A provider that comes later than old links are used is absent until then. Callers do not wait for ever, and find
/// it when it comes.
#[test]
fn a_provider_that_comes_too_late_is_absent_until_it_comes() {
    let (old, new) = (broker(), broker());
    let providers = MODES.map(|mode| join(&old, &format!("{mode:?}"), mode));
    let caller = join(&old, "Caller", Dispatch::Thread);
    let gates = providers.each_ref().map(|provider| {
        let gate = format!("{}.Gate", provider.name());
        provider.provide(&gate, || 1_u8).unwrap().keep();
        (open::<(), u8>(&caller, &gate), caller.watch(&gate).unwrap())
    });
    let told = Told::by(&caller);
    for (_, watch) in &gates {
        assert!(events(watch, Duration::ZERO).pop().unwrap().is_present());
    }
    drop(old);
    told.lost();
    caller.rejoin(new.connect().unwrap()).unwrap();
    for (gate, watch) in &gates {
        assert_eq!(gate.invoke(()).unwrap(), 1, "the old way goes on");
        assert_eq!(events(watch, Duration::ZERO), []);
    }
    thread::sleep(DRAINED);
    for (gate, watch) in &gates {
        assert_eq!(code(gate.invoke(())), Code::NotReady);
        let event = watch.next(PATIENCE).unwrap().expect("it has not come");
        assert!(!event.is_present());
    }
    for (provider, (gate, watch)) in providers.iter().zip(&gates) {
        provider.rejoin(new.connect().unwrap()).unwrap();
        gate.wait_ready(PATIENCE).unwrap();
        assert_eq!(gate.invoke(()).unwrap(), 1);
        let event = watch.next(PATIENCE).unwrap().expect("it has come");
        assert!(event.is_present());
    }
}

/// If a provider has closed the link, calls that certainly did not run wait for the caller's next link, and do not
/// fail.
#[test]
fn a_caller_that_comes_late_makes_its_calls_when_it_is_there() {
    let (old, new) = (broker(), broker());
    let providers = MODES.map(|mode| join(&old, &format!("{mode:?}"), mode));
    let caller = join(&old, "Caller", Dispatch::Thread);
    let gates = providers.each_ref().map(|provider| {
        let gate = format!("{}.Add", provider.name());
        let add = |a: u64, b: u64| a + b;
        provider.provide(&gate, add).unwrap().keep();
        open::<(u64, u64), u64>(&caller, &gate).with_timeout(PATIENCE)
    });
    let told = Told::by(&caller);
    drop(old);
    told.lost();
    // More than one, so that some calls are under way whenever the links are closed.
    let calls: Vec<_> = (0..3)
        .flat_map(|_| gates.clone())
        .map(|add| {
            let name = add.gate().to_owned();
            Standing::start(&name, move |n| {
                add.invoke((n, 1)).map(|sum| assert_eq!(sum, n + 1))
            })
        })
        .collect();
    for provider in &providers {
        provider.rejoin(new.connect().unwrap()).unwrap();
    }
    calls.iter().for_each(Standing::expect_progress);
    thread::sleep(DRAINED);
    // By now no caller is served, and none has been told of a failure.
    let before: Vec<_> = calls.iter().map(Standing::answered).collect();
    let short = gates[0].with_timeout(A_WHILE);
    let begun = Instant::now();
    let error = short.invoke((1, 2)).unwrap_err();
    assert_eq!(error.code(), Code::BrokerGone);
    assert!(!error.may_have_run(), "{error}");
    assert!(begun.elapsed() >= A_WHILE);
    let after: Vec<_> = calls.iter().map(Standing::answered).collect();
    assert_eq!(before, after);
    caller.rejoin(new.connect().unwrap()).unwrap();
    calls.iter().for_each(Standing::expect_progress);
    for calls in calls {
        calls.finish();
    }
}

/// A handler that runs longer than old links are used is still answered when plugins close, and keeps no other plugin
/// from being called.
#[test]
fn plugins_that_close_while_old_links_drain_answer_what_they_run() {
    let (old, new) = (broker(), broker());
    for mode in MODES {
        let provider = join(&old, &format!("{mode:?}"), mode);
        let caller = join(&old, &format!("Caller of {mode:?}"), Dispatch::Thread);
        let gate = format!("{}.Sleep", provider.name());
        let sleep = |millis: u64| thread::sleep(Duration::from_millis(millis));
        provider.provide(&gate, sleep).unwrap().keep();
        let sleep = open::<(u64,), ()>(&caller, &gate);
        provider.rejoin(new.connect().unwrap()).unwrap();
        caller.rejoin(new.connect().unwrap()).unwrap();
        thread::scope(|scope| {
            let call = scope.spawn(|| sleep.invoke((A_WHILE.as_millis() as u64,)));
            thread::sleep(A_WHILE / 3);
            drop(provider);
            call.join().unwrap().expect("it was begun");
        });
        await_that("it has closed", || sleep.invoke((0,)).is_err());
    }
}
