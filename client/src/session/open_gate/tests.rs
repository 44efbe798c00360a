use super::*;
use std::time::{Duration, Instant};

use callgate_layout::control::Availability;

use crate::base::error::Result;

fn gate_state(function: Availability) -> GateState {
    GateState {
        owner: Some("A".to_owned()),
        generation: 1,
        function,
        action: Availability::Absent,
        route: None,
    }
}

/// The provider's end was noticed before the news that it was ready was read: who waited for
/// the next provider was told at once that there was none.
#[test]
fn a_ready_gate_without_a_link_is_waited_for() {
    let opened = OpenGate::new("A.B".into());
    opened.stand(1, gate_state(Availability::Ready), None);
    let start = Instant::now();
    let error = opened.wait_ready(start + Duration::from_millis(20));
    assert_eq!(error.map_err(|error| error.code()), Err(Code::NotReady));
    assert!(start.elapsed() >= Duration::from_millis(20));
    let signature = String::new();
    opened.stand(
        1,
        gate_state(Availability::TypeMismatch { signature }),
        None,
    );
    let error = opened.wait_ready(Instant::now() + Duration::from_secs(60));
    assert_eq!(error.map_err(|error| error.code()), Err(Code::TypeMismatch));
}

/// A gate that could once not be opened was refused with that old reason for ever after.
#[test]
fn a_refusal_is_forgotten_when_the_gate_is_there_after_all() {
    let opened = OpenGate::new("A.B".into());
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
    opened.stand(1, gate_state(Availability::Absent), None);
    assert_eq!(
        code(opened.wait_ready(soon()).map(drop)),
        Err(Code::NotReady)
    );
    assert_eq!(
        code(opened.wait_known(|| Error::new(Code::Timeout, "it did not say"), soon())),
        Ok(())
    );
}

/// Once the session was over, calling an absent gate was `NOT_READY`, as if somebody could still
/// come, and waiting for it `BROKER_GONE`.
#[test]
fn an_absent_gate_has_one_answer_once_the_session_is_over() {
    let opened = OpenGate::new("A.B".into());
    opened.stand(1, gate_state(Availability::Absent), None);
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
    let other = OpenGate::new("A.C".into());
    let signature = String::new();
    other.stand(
        1,
        gate_state(Availability::TypeMismatch { signature }),
        None,
    );
    other.session_ended(&Error::new(Code::BrokerGone, "the broker has ended"));
    assert_eq!(other.state().owner(), Some("A"), "it is there as before");
    // A plugin that closes says that, whatever comes later.
    opened.close(&Error::new(Code::Closed, "this plugin has closed"));
    opened.session_ended(&Error::new(Code::BrokerGone, "its socket closed"));
    let state = opened.state();
    let called = state.way(CallKind::Function, opened.name());
    assert_eq!(
        called.map(drop).map_err(|error| error.code()),
        Err(Code::Closed)
    );
}

/// A program that was to provide the gate ended, and who waited for it was not told.
#[test]
fn one_wait_hears_of_a_start_that_failed() {
    let opened = OpenGate::new("A.B".into());
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
    opened.stand(1, gate_state(Availability::Absent), None);
    assert!(nobody(soon()), "somebody owns it by now");
}
