//! Calls between plugins of one process: the handler runs on the caller's thread and gets the arguments without
//! copies.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use callgate::{Broker, Policy};
use callgate_client::{Code, Dispatch, HandlerError, Plugin, Result, View, gate_type};
use callgate_tests::shorthand::{code, open};

use crate::support::Barrier;

const MODES: [Dispatch; 2] = [Dispatch::Thread, Dispatch::Pool(2)];

/// A broker and plugins, all of them in this process.
struct House {
    broker: Broker,
    provider: Plugin,
    caller: Plugin,
}

impl House {
    fn new(dispatch: Dispatch) -> House {
        let broker = Broker::builder().without_socket().start();
        let broker = broker.expect("a broker");
        let plugin = |name: &str, dispatch| {
            let connection = broker.connect().expect("a connection");
            let builder = Plugin::builder(name).descriptor(connection);
            builder.dispatch(dispatch).connect().expect("the bus")
        };
        House {
            provider: plugin("Provider", dispatch),
            caller: plugin("Caller", Dispatch::Thread),
            broker,
        }
    }

    /// Begins a call that has found its gate and waits for its turn, runs `change`, and then lets the call have its
    /// turn.
    fn overtaken(
        &self,
        call: impl FnOnce() -> Result<u32> + Send,
        act: impl FnOnce(),
    ) -> Result<u32> {
        let barrier = Barrier::new();
        let _turn = barrier.provide(&self.provider, "Provider.Turn");
        let turn = open::<(Vec<u8>,), Vec<u8>>(&self.caller, "Provider.Turn");
        thread::scope(|scope| {
            scope.spawn(|| turn.invoke((vec![1],)).expect("its turn ends"));
            barrier.wait_for(1);
            let call = scope.spawn(call);
            // Nothing shows that the call waits. If this time is too short, the test only becomes too easy.
            thread::sleep(Duration::from_millis(100));
            act();
            barrier.open();
            call.join().expect("no panic")
        })
    }
}

/// When a gate comes back with other types, a call for the old types that is already under way does not reach the new
/// handler: it would read an integer's bytes as a float.
#[test]
fn a_call_never_reaches_a_handler_of_other_types() {
    let house = House::new(Dispatch::Thread);
    let first = house.provider.provide("Provider.Gate", |n: u32| n + 1);
    let gate = open::<(u32,), u32>(&house.caller, "Provider.Gate");
    assert_eq!(gate.invoke((7,)).unwrap(), 8);
    let mut second = None;
    let outcome = house.overtaken(
        || gate.invoke((7,)),
        || {
            drop(first);
            second = Some(
                house
                    .provider
                    .provide("Provider.Gate", |n: f32| n * 2.0)
                    .unwrap(),
            );
        },
    );
    // The handler was refused, and the library asked the broker why. The call was then made with conversion: the
    // number arrives as a number.
    assert_eq!(outcome.map_err(|error| error.code()), Ok(14));
    assert!(gate.is_converted());
    drop(second);
    let text = |n: String| n + "!";
    let other = house.provider.provide("Provider.Gate", text).unwrap();
    assert_eq!(code(gate.invoke((7,))), Code::TypeMismatch);
    drop(other);
    let _third = house
        .provider
        .provide("Provider.Gate", |n: u32| n + 2)
        .unwrap();
    assert_eq!(gate.invoke((7,)).unwrap(), 9, "it has its types again");
}

/// When a right is taken back, the provider's side also refuses direct calls. Otherwise a call could run that the
/// subscriber's control thread has not yet stopped.
#[test]
fn a_right_that_is_taken_back_ends_calls_that_are_under_way() {
    let house = House::new(Dispatch::Thread);
    let runs = Arc::new(AtomicU64::new(0));
    let count = runs.clone();
    let handler = move |n: u32| {
        count.fetch_add(1, Ordering::Relaxed);
        n + 1
    };
    let _gate = house.provider.provide("Provider.Gate", handler).unwrap();
    let _last = house.provider.provide("Provider.Last", || ()).unwrap();
    let gate = open::<(u32,), u32>(&house.caller, "Provider.Gate");
    assert_eq!(gate.invoke((7,)).unwrap(), 8);
    let outcome = house.overtaken(
        || gate.invoke((7,)),
        || {
            let only = Policy::new().call("Provider.Last");
            let missing = house.broker.set_policy("Caller", Some(only)).unwrap();
            assert_eq!(missing, [""; 0], "the provider has heard of it");
        },
    );
    assert_eq!(
        outcome.map_err(|error| error.code()),
        Err(Code::PermissionDenied)
    );
    assert_eq!(code(gate.invoke((7,))), Code::PermissionDenied);
    assert_eq!(runs.load(Ordering::Relaxed), 1, "a handler ran");
    house.broker.set_policy("Caller", None).unwrap();
    assert_eq!(gate.invoke((7,)).unwrap(), 8, "it is allowed again");
}

/// A direct call moves values of the same type to the handler and does not copy them through an archive.
#[test]
fn values_of_the_same_type_are_moved() {
    for mode in MODES {
        let house = House::new(mode);
        let address = |bytes: &Vec<u8>| bytes.as_ptr().addr() as u64;
        let _there = house
            .provider
            .provide("Provider.There", move |bytes: Vec<u8>| address(&bytes));
        let _back = house
            .provider
            .provide("Provider.Back", |bytes: Vec<u8>| bytes);
        let there = open::<(Vec<u8>,), u64>(&house.caller, "Provider.There");
        let back = open::<(Vec<u8>,), Vec<u8>>(&house.caller, "Provider.Back");
        for len in [1, 100, 1 << 20] {
            let bytes = vec![7; len];
            let place = address(&bytes);
            let returned = back.invoke((bytes,)).unwrap();
            assert_eq!(
                address(&returned),
                place,
                "{mode:?}: {len} bytes were copied"
            );
            assert_eq!(there.invoke((returned,)).unwrap(), place, "{mode:?}");
        }
    }
}

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Note {
    text: String,
    pitch: u16,
}

/// Has the shape of [`Note`] and is the type of another plugin.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct Tone {
    text: String,
    pitch: u16,
}

/// A plugin that declares a type of the same shape under another name can be called directly.
#[test]
fn the_same_shape_under_another_name_works() {
    for mode in MODES {
        let house = House::new(mode);
        let higher = |note: Note| Note {
            pitch: note.pitch + 1,
            ..note
        };
        let _gate = house.provider.provide("Provider.Higher", higher).unwrap();
        let higher = open::<(Tone,), Tone>(&house.caller, "Provider.Higher");
        // One value that fits a cell, and one that does not.
        for len in [1, 1000] {
            let tone = |pitch| Tone {
                text: "c".repeat(len),
                pitch,
            };
            assert_eq!(higher.invoke((tone(3),)).unwrap(), tone(4), "{mode:?}");
            assert_eq!(higher.invoke_ref(&(tone(3),)).unwrap(), tone(4), "{mode:?}");
        }
    }
}

/// A handler that takes a `View` can read an argument of a direct call.
#[test]
fn a_view_shows_an_argument_from_this_process() {
    for mode in MODES {
        let house = House::new(mode);
        let length = |note: View<'_, Note>, more: u64| note.text.len() as u64 + more;
        let _gate = house.provider.provide("Provider.Length", length).unwrap();
        let length = open::<(Note, u64), u64>(&house.caller, "Provider.Length");
        for len in [1, 1000] {
            let text = "c".repeat(len);
            let note = Note { text, pitch: 0 };
            assert_eq!(
                length.invoke((note, 5)).unwrap(),
                len as u64 + 5,
                "{mode:?}"
            );
        }
    }
}

/// `callgate ls` counts direct calls for their gate.
#[test]
fn direct_calls_are_counted_for_their_gate() {
    for mode in MODES {
        let house = House::new(mode);
        let half = |n: u32| match n {
            0 => Err(HandlerError::new("ZERO", "of nothing")),
            n => Ok(n / 2),
        };
        let _gate = house.provider.provide("Provider.Half", half).unwrap();
        let half = open::<(u32,), u32>(&house.caller, "Provider.Half");
        for n in 0..200 {
            assert_eq!(half.invoke((n,)).is_ok(), n > 0);
        }
        let listing = house.caller.list().unwrap();
        let gates = listing["gates"].as_array().unwrap();
        let gate = gates.iter().find(|gate| gate["name"] == "Provider.Half");
        let gate = gate.unwrap();
        assert_eq!(
            (&gate["calls"], &gate["errors"]),
            (&200.into(), &1.into()),
            "{mode:?}"
        );
        assert!(gate["p50_ns"].as_u64() > Some(0), "{mode:?}: {gate}");
        assert!(gate["p99_ns"].as_u64() >= gate["p50_ns"].as_u64());
    }
}

/// A direct call carries an argument that is too large for any link, also if its handler takes a `View`.
#[test]
fn direct_calls_carry_what_links_do_not() {
    let house = House::new(Dispatch::Thread);
    let copied = |bytes: View<'_, Vec<u8>>| vec![bytes[0]; bytes.len()];
    let gate = house.provider.provide("Provider.Copy", copied);
    let _gate = gate.unwrap();
    let copy = open::<(Vec<u8>,), Vec<u8>>(&house.caller, "Provider.Copy");
    let most = 65 << 20;
    assert!(copy.invoke((vec![7; most],)).unwrap() == vec![7; most]);
}
