//! Many open names under a prefix, while other names are opened and closed, and gates come and go.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)]

use callgate::Broker;
use callgate_client::dynamic::{self, Gate, Takes};
use callgate_client::{Code, Plugin};
use serde_json::json;

/// Each index leads to its name, whatever changes. The tables are patched when a name is opened or closed, because
/// copying all of them would make every call slower for plugins with thousands of open names.
#[test]
fn each_index_leads_to_its_name_whatever_changes() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let join = |name| {
        let descriptor = broker.connect().unwrap();
        let builder = Plugin::builder(name).direct_calls(false);
        builder.descriptor(descriptor).connect().unwrap()
    };
    let (provider, caller) = (join("provider"), join("caller"));
    let told = || Takes::values(|context, _| Ok(json!(context.gate())));
    let mut prefix = Some(dynamic::provide_prefix(&provider, "p.", told()).unwrap());
    let open = |number: usize| dynamic::open_json(&caller, &format!("p.{number}")).unwrap();
    let told_by = |gate: &Gate| gate.call_values(&[]).map_err(|error| error.code());
    let mut gates: Vec<Gate> = (0..400).map(open).collect();
    let mut exact = None;
    for round in 0..1200 {
        let at = round * 7 % gates.len();
        match round % 5 {
            // The last names are closed, so that the tables become shorter, and are opened again.
            0 if gates.len() > 40 => gates.truncate(gates.len() - 3),
            1 => gates[at] = open(1000 + round),
            2 => gates.push(open(5000 + round)),
            3 if round % 3 == 0 => {
                exact = Some(dynamic::provide_with(
                    &provider,
                    gates[at].name(),
                    &dynamic::Signature {
                        params: None,
                        result: Some(dynamic::Schema::Any),
                        types: Vec::new(),
                    },
                    told(),
                ));
            }
            _ => {}
        }
        let called = &gates[round * 11 % gates.len()];
        assert_eq!(told_by(called), Ok(json!(called.name())), "round {round}");
    }
    assert!(exact.is_some());
    for gate in &gates {
        assert_eq!(told_by(gate), Ok(json!(gate.name())));
    }
    drop((exact, prefix.take()));
    assert_eq!(told_by(&gates[0]), Err(Code::NotReady));
}
