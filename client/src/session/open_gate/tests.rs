use super::*;
use std::time::{Duration, Instant};

use callgate_layout::control::Availability;
use callgate_layout::{Encoding, Encodings, clock};

use crate::base::error::Result;
use crate::base::types::{action_signature_of, signature_of};

fn by(number: u64) -> MembershipId {
    MembershipId::of(number)
}

impl OpenGate {
    /// A gate whose types do not matter.
    pub(in crate::session) fn in_tests(name: &str) -> OpenGate {
        let signatures = [signature_of::<(), ()>(), action_signature_of::<()>()];
        let wanted = signatures.map(|signature| Wanted::new(signature, Encodings::BOTH));
        OpenGate::new(name.into(), wanted.map(|wanted| wanted.expect("a schema")))
    }
}

/// The state of a half that can be called.
const READY: Availability = Availability::Ready {
    encoding: Encoding::Archive,
};

/// Sets the state that a broker has sent, with no way to the gate.
fn stand(gate: &OpenGate, by: MembershipId, state: GateState) {
    gate.stand(by, (state, [None, None]), None);
}

fn gate_state(function: Availability) -> GateState {
    GateState {
        owner: Some("A".to_owned()),
        generation: 1,
        function,
        action: Availability::Absent,
        route: None,
    }
}

fn differs() -> GateState {
    gate_state(Availability::Differs {
        schema: 1,
        signature: String::new(),
        json: false,
    })
}

/// A gate that is ready but has no link is waited for: the provider's end was noticed before the news that it was
/// ready, and the next provider may come.
#[test]
fn a_ready_gate_without_a_link_is_waited_for() {
    let opened = OpenGate::in_tests("A.B");
    stand(&opened, by(1), gate_state(READY));
    let start = Instant::now();
    let error = opened.wait_ready(start + Duration::from_millis(20));
    assert_eq!(error.map_err(|error| error.code()), Err(Code::NotReady));
    assert!(start.elapsed() >= Duration::from_millis(20));
    stand(&opened, by(1), differs());
    let error = opened.wait_ready(Instant::now() + Duration::from_secs(60));
    assert_eq!(error.map_err(|error| error.code()), Err(Code::TypeMismatch));
}

/// An old refusal is forgotten when the gate is there after all.
#[test]
fn a_refusal_is_forgotten_when_the_gate_is_there_after_all() {
    let opened = OpenGate::in_tests("A.B");
    opened.fail(Error::new(
        Code::Protocol,
        "the provider broke the protocol",
    ));
    let soon = || Instant::now() + Duration::from_millis(5);
    let code = |outcome: Result<()>| outcome.map_err(|error| error.code());
    assert_eq!(
        code(opened.wait_ready(soon()).map(drop)),
        Err(Code::Protocol)
    );
    stand(&opened, by(1), gate_state(Availability::Absent));
    assert_eq!(
        code(opened.wait_ready(soon()).map(drop)),
        Err(Code::NotReady)
    );
    assert_eq!(
        code(opened.wait_known(|| Error::new(Code::Timeout, "it did not say"), soon())),
        Ok(())
    );
}

/// After the session has ended, calling an absent gate and waiting for it give the same error: nobody can come any
/// more.
#[test]
fn an_absent_gate_has_one_answer_once_the_session_is_over() {
    let opened = OpenGate::in_tests("A.B");
    stand(&opened, by(1), gate_state(Availability::Absent));
    opened.session_ended(&Error::new(Code::BrokerGone, "the broker has ended"));
    let waited = opened.wait_ready(Instant::now() + Duration::from_secs(60));
    assert_eq!(waited.map_err(|error| error.code()), Err(Code::BrokerGone));
    let state = opened.state();
    let called = state.way(CallKind::Function, opened.name());
    assert_eq!(
        called.map(drop).map_err(|error| error.code()),
        Err(Code::BrokerGone)
    );
    drop(state);
    let other = OpenGate::in_tests("A.C");
    stand(&other, by(1), differs());
    other.session_ended(&Error::new(Code::BrokerGone, "the broker has ended"));
    assert_eq!(other.state().owner(), Some("A"), "it is there as before");
    // A plugin that closes gives that as the reason, whatever comes later.
    opened.close(&Error::new(Code::Closed, "this plugin has closed"));
    opened.session_ended(&Error::new(Code::BrokerGone, "its socket closed"));
    let state = opened.state();
    let called = state.way(CallKind::Function, opened.name());
    assert_eq!(
        called.map(drop).map_err(|error| error.code()),
        Err(Code::Closed)
    );
}

/// A question that found no room in the socket took the reason away that an earlier answer had given.
#[test]
fn a_reason_stays_known_where_the_next_question_cannot_be_sent() {
    let opened = OpenGate::in_tests("A.B");
    let nobody = GateState {
        owner: None,
        ..gate_state(Availability::Absent)
    };
    stand(&opened, by(1), nobody);
    let told = || {
        let state = opened.state();
        let called = state.way(CallKind::Function, opened.name());
        called.map(drop).unwrap_err().message().to_owned()
    };
    assert!(opened.asks_why());
    opened.explain(Some(Error::new(Code::NotReady, "it is stopped")));
    assert!(opened.asks_why() && !opened.asks_why());
    opened.has_not_asked_why();
    assert!(told().contains("it is stopped"), "{}", told());
    assert!(opened.asks_why(), "the next call asks again");
}

/// When a program that was to provide the gate has ended, one wait is told.
#[test]
fn one_wait_hears_of_a_start_that_failed() {
    let opened = OpenGate::in_tests("A.B");
    let long = || Instant::now() + Duration::from_secs(60);
    let soon = || Instant::now() + Duration::from_millis(5);
    let nobody = |at| opened.wait_ready(at).map_err(|error| error.code()) == Err(Code::NotReady);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| opened.wait_ready(long()));
        std::thread::sleep(Duration::from_millis(20));
        opened.start_failed();
        assert_eq!(waits.join().unwrap().unwrap(), Waited::StartFailed);
    });
    assert!(nobody(soon()), "who waits next waits for another start");
    opened.start_failed();
    stand(&opened, by(1), gate_state(Availability::Absent));
    assert!(nobody(soon()), "somebody owns it by now");
}

/// The state of plugin `A`'s gate in one of its lives, for a watcher.
fn present(life: u64) -> GateState {
    GateState {
        generation: life,
        ..differs()
    }
}

fn nobody() -> GateState {
    GateState {
        owner: None,
        generation: 0,
        ..gate_state(Availability::Absent)
    }
}

/// The events for a watcher since it read last: the lives of the gate, 0 if it is gone.
fn told(opened: &OpenGate) -> Vec<u64> {
    let next = || opened.next_event(Instant::now()).unwrap();
    let events = std::iter::from_fn(next);
    let life = |event: GateEvent| match event.is_present() {
        true => event.generation,
        false => 0,
    };
    events.map(life).collect()
}

/// If a provider comes back later than the watcher, the watcher is not told that its gate has gone and come back.
#[test]
fn a_new_broker_that_does_not_know_the_provider_yet_is_no_news() {
    let opened = OpenGate::in_tests("A.B");
    opened.watch();
    stand(&opened, by(1), present(7));
    assert_eq!(told(&opened), [7]);
    opened.lost();
    stand(&opened, by(2), nobody());
    assert_eq!(opened.state().owner(), Some("A"));
    stand(&opened, by(2), present(7));
    opened.settle(by(2));
    assert!(told(&opened).is_empty());
    // After that the new broker's answer counts at once.
    stand(&opened, by(2), nobody());
    assert_eq!(told(&opened), [0]);
    stand(&opened, by(2), present(9));
    assert_eq!(told(&opened), [9]);
}

#[test]
fn a_provider_that_does_not_come_back_is_gone_when_the_old_links_are() {
    let opened = OpenGate::in_tests("A.B");
    opened.watch();
    stand(&opened, by(1), present(7));
    stand(&opened, by(2), nobody());
    opened.left(by(1));
    assert_eq!(told(&opened), [7]);
    assert!(opened.is_awaited(by(2)));
    opened.settle(by(2));
    assert_eq!(told(&opened), [0]);
    assert_eq!(opened.state().owner(), None);
    // This also holds if a third broker has not answered yet.
    stand(&opened, by(2), present(8));
    opened.settle(by(3));
    assert_eq!(told(&opened), [8, 0]);
}

/// If another life of the gate began while there was no broker, the watcher is told.
#[test]
fn another_life_of_the_gate_is_told() {
    let opened = OpenGate::in_tests("A.B");
    opened.watch();
    stand(&opened, by(1), present(7));
    stand(&opened, by(2), present(9));
    assert_eq!(told(&opened), [7, 9]);
}

/// A right that the new broker does not grant ends at once, not when the old links have drained.
#[test]
fn what_the_new_broker_forbids_ends_at_once() {
    let opened = OpenGate::in_tests("A.B");
    stand(&opened, by(1), present(7));
    stand(&opened, by(2), nobody());
    opened.fail(Error::new(
        Code::PermissionDenied,
        "the policy lacks gate.call",
    ));
    assert_eq!(opened.state().owner(), None);
    opened.settle(by(2));
    let state = opened.state();
    let error = state.way(CallKind::Function, opened.name()).unwrap_err();
    assert_eq!(error.code(), Code::PermissionDenied);
}

/// Counts warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicU32>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// That a gate's calls are converted is logged once, and not with each change of its state.
#[test]
fn that_calls_are_converted_is_logged_once_a_gate() {
    let warnings = Warnings::default();
    tracing::subscriber::with_default(warnings.clone(), || {
        let difference = || {
            let difference = "arguments[0]: expected u8, found u16".to_owned();
            [
                Some(Verdict::Converts {
                    difference,
                    is_meant: false,
                }),
                None,
            ]
        };
        let converted = gate_state(Availability::Differs {
            schema: 1,
            signature: String::new(),
            json: true,
        });
        let opened = OpenGate::in_tests("A.B");
        opened.log_differences(&gate_state(READY), &[None, None]);
        opened.log_differences(&differs(), &difference());
        let none = "nothing differs, or is converted";
        assert_eq!(warnings.0.load(Ordering::Relaxed), 0, "{none}");
        for _ in 0..3 {
            opened.log_differences(&converted, &difference());
            assert_eq!(warnings.0.load(Ordering::Relaxed), 1);
        }
        OpenGate::in_tests("A.B").log_differences(&converted, &difference());
        let again = "a gate that is opened again";
        assert_eq!(warnings.0.load(Ordering::Relaxed), 1, "{again}");
        OpenGate::in_tests("A.C").log_differences(&converted, &difference());
        assert_eq!(warnings.0.load(Ordering::Relaxed), 2);
    });
}

/// A call waits for a provider that may still come to the bus of the new broker, and for no other.
#[test]
fn who_may_still_come_is_waited_for() {
    let patience = Duration::from_millis(50);
    let waits = |gate: &OpenGate, by| {
        let start = Instant::now();
        gate.await_way_of(by, (clock::now() + patience.as_nanos() as u64, None));
        start.elapsed() >= patience
    };
    let opened = OpenGate::in_tests("A.B");
    stand(&opened, by(1), gate_state(READY));
    assert!(waits(&opened, by(2)), "it was there on the old bus");
    assert!(!waits(&opened, by(1)), "it has come");
    opened.settle(by(2));
    assert!(!waits(&opened, by(2)), "the time for coming is over");
}
