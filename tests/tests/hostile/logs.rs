//! Peers that cause log messages, and a program that calls gates from its log subscriber.

use std::cell::Cell;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use callgate_client::{Dispatch, Subscriber};
use callgate_layout::{Code, clock, slot};
use callgate_tests::pumped::Pumped;
use callgate_tests::raw::{Link, Raw};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, proc, programs};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata};

use crate::words::{Entry, answer, code};

type Add = Subscriber<(u64, u64), u64>;

/// What is called for every log event, and the outcome.
#[derive(Default)]
struct Heard {
    own: Option<Arc<Add>>,
    events: Vec<(String, Result<u64, Code>)>,
}

static HEARD: Mutex<Heard> = Mutex::new(Heard {
    own: None,
    events: Vec::new(),
});

thread_local! {
    static IS_CALLING: Cell<bool> = const { Cell::new(false) };
}

fn heard<T>(look: impl FnOnce(&mut Heard) -> T) -> T {
    look(&mut HEARD.lock().unwrap_or_else(PoisonError::into_inner))
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

struct Listener;

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("callgate_client")
    }

    fn event(&self, event: &Event<'_>) {
        let Some(own) = heard(|heard| heard.own.clone()) else {
            return;
        };
        let mut message = Message::default();
        event.record(&mut message);
        if IS_CALLING.replace(true) {
            return;
        }
        let outcome = own.invoke((1, 2)).map_err(|error| error.code());
        IS_CALLING.set(false);
        heard(|heard| heard.events.push((message.0, outcome)));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A log subscriber may call a gate of the very plugin that logs. The library logs while it holds no turn and has
/// borrowed nothing that the call needs.
#[test]
fn who_listens_to_the_log_may_call() {
    tracing::subscriber::set_global_default(Listener).expect("it is the only one");
    for mode in [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump] {
        for direct in [true, false] {
            let bus = Bus::start(programs!());
            let provider = bus.builder("P").dispatch(mode).direct_calls(direct);
            let provider = Pumped::new(provider.connect().unwrap(), mode);
            let _add = provider.provide("P.Add", |a: u64, b: u64| a + b).unwrap();
            let zeros = |length: u32| "0".repeat(length as usize);
            let _zeros = provider.provide("P.Zeros", zeros).unwrap();
            let own = open::<(u64, u64), u64>(&provider, "P.Add");
            heard(|heard| heard.own = Some(Arc::new(own.with_timeout(Duration::from_secs(3)))));
            let caller = bus.plugin("Caller");
            let add = open::<(u64, u64), u64>(&caller, "P.Add");
            for (what, attack, expected) in ATTACKS {
                let mut raw = Raw::join(&bus, "villain");
                let (link, index) = raw.link_to::<(u32,), String>("P.Zeros");
                attack(&mut raw, &link, index);
                let what = format!("{what}, {mode:?}, direct: {direct}");
                await_that(&what, || heard(|heard| !heard.events.is_empty()));
                let events = heard(|heard| std::mem::take(&mut heard.events));
                assert_eq!(events, [(expected.to_owned(), Ok(3))], "{what}");
                assert_eq!(add.invoke((20, 22)).unwrap(), 42, "{what}");
                drop(raw);
                await_that("the villain is gone", || {
                    // Its links and its name. On a busy machine a listing may already be under way, and
                    // `list` then fails: try again.
                    let listing = caller
                        .list()
                        .unwrap_or_else(|error| error.to_string().into());
                    !listing.to_string().contains("villain") && listing.is_object()
                });
            }
            heard(|heard| heard.own = None);
        }
    }
}

type Attack = fn(&mut Raw, &Link, u16);

const NO_ROOM: &str = "a result found no room";
const CLOSED: &str = "a link is closed";

const ATTACKS: [(&str, Attack, &str); 4] = [
    ("results that are never taken", never_taken, NO_ROOM),
    ("results that are more than is kept", too_many, NO_ROOM),
    ("a call that cannot be", impossible, CLOSED),
    ("a payload that is nowhere", nowhere, CLOSED),
];

fn zeros(link: &Link, (sequence, index): (u32, u16), length: u64, timeout: Duration) {
    Entry {
        slot: sequence as u8,
        length: 4,
        payload: [length, 0],
        deadline: clock::to_tick(clock::now() + timeout.as_nanos() as u64),
        ..Entry::add(sequence, index)
    }
    .write(link);
}

fn never_taken(_: &mut Raw, link: &Link, index: u16) {
    zeros(link, (1, index), 40_000, PATIENCE);
    assert!(answer(link, 1, 1).0.ok);
    zeros(link, (2, index), 40_000, Duration::from_millis(100));
    let (reply, cell) = answer(link, 2, 1);
    assert_eq!(code(&reply, &cell), Code::Overloaded);
}

fn too_many(_: &mut Raw, link: &Link, index: u16) {
    (1..3).for_each(|number| zeros(link, (number, index), 5 << 20, PATIENCE));
    // A pool may have run the second call first.
    let refused = proc::eventually("one is refused", || {
        let inbox = &link.peer().inbox;
        let is_answered = |&slot: &u8| slot::state(inbox, link.geometry, slot) == 1;
        [1, 2]
            .into_iter()
            .find(is_answered)
            .ok_or_else(|| "none is".to_owned())
    });
    let (reply, cell) = answer(link, refused, 1);
    assert_eq!(code(&reply, &cell), Code::Overloaded);
}

fn impossible(raw: &mut Raw, link: &Link, index: u16) {
    Entry {
        kind: u8::MAX,
        ..Entry::add(1, index)
    }
    .write(link);
    assert_eq!(raw.gone(link.end).0, Code::Protocol);
}

fn nowhere(raw: &mut Raw, link: &Link, index: u16) {
    Entry {
        kind: 2 << 4,
        length: 2000,
        payload: [1 << 8, 0],
        ..Entry::add(1, index)
    }
    .write(link);
    assert_eq!(raw.gone(link.end).0, Code::Protocol);
}
