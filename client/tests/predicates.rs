//! Prefixes with a predicate, also for names that are already open.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::dynamic::{self, Gate, Prefix, Takes};
use callgate_client::{Code, Plugin};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(20);

fn bus() -> (Broker, [Plugin; 2]) {
    let broker = Broker::builder().without_socket().start().unwrap();
    let join = |name| {
        let descriptor = broker.connect().unwrap();
        let builder = Plugin::builder(name).direct_calls(false);
        builder.descriptor(descriptor).connect().unwrap()
    };
    let plugins = ["provider", "caller"].map(join);
    (broker, plugins)
}

fn told() -> Takes {
    Takes::values(|context, _| Ok(json!(context.gate())))
}

fn outcome(gate: &Gate) -> Result<(), Code> {
    let told = gate.call_values(&[]).map_err(|error| error.code())?;
    assert_eq!(told, json!(gate.name()));
    Ok(())
}

/// The two halves of a prefix have their own predicates: a name that one refuses and the other accepts is open for
/// that half only.
#[test]
fn each_half_has_its_own_names() {
    let (_broker, [provider, caller]) = bus();
    let some = Prefix::new("p.").only(|name| name == "p.yes");
    let _function = dynamic::provide_prefix(&provider, some, told()).unwrap();
    let _action = dynamic::provide_prefix(&provider, Prefix::new("p.").actions(), told()).unwrap();
    for (name, expected) in [("p.yes", Ok(())), ("p.no", Err(Code::NotReady))] {
        let gate = dynamic::open_json(&caller, name).unwrap();
        assert_eq!(outcome(&gate), expected, "{name}");
        gate.action().call_values(&[]).unwrap();
    }
}

/// A longer prefix is asked also about names that were open before it was provided.
#[test]
fn a_longer_prefix_is_asked_for_names_that_are_open() {
    let (_broker, [provider, caller]) = bus();
    let _all = dynamic::provide_prefix(&provider, "p.", told()).unwrap();
    let open = |name| dynamic::open_json(&caller, name).unwrap();
    let [yes, no] = ["p.q.yes", "p.q.no"].map(open);
    assert_eq!([&yes, &no].map(outcome), [Ok(()), Ok(())]);
    let some = Prefix::new("p.q.").only(|name| name == "p.q.yes");
    let longer = dynamic::provide_prefix(&provider, some, told()).unwrap();
    // From here on nothing runs for the refused name. The accepted one may be moving from one prefix to the other.
    assert_eq!(outcome(&no), Err(Code::NotReady));
    assert_eq!(outcome(&yes), Ok(()));
    drop(longer);
    let deadline = Instant::now() + PATIENCE;
    while outcome(&no) != Ok(()) {
        assert!(
            Instant::now() < deadline,
            "it is the shorter prefix's again"
        );
    }
    assert_eq!(outcome(&yes), Ok(()));
}
