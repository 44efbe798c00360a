//! Inside one process: with direct calls where these are possible, and otherwise through shared memory.

use callgate::{Broker, Policy};
use callgate_client::{Code, Context, Payload, Plugin};
use callgate_tests::pumped::Pumped;
use callgate_tests::shorthand::code;
use callgate_tests::visible::{DISPATCHES, GATE, RAW, Ways, provide_all, word};

use crate::stage::rounds;

fn plugin(broker: &Broker, name: &str, direct: bool) -> callgate_client::PluginBuilder {
    let socket = broker.connect().expect("a connection");
    Plugin::builder(name)
        .descriptor(socket)
        .direct_calls(direct)
}

/// The same rounds as between processes, without any wait between the steps.
#[test]
fn what_returned_is_visible_inside_a_process() {
    for (dispatch, direct) in DISPATCHES
        .map(|mode| [(mode, true), (mode, false)])
        .concat()
    {
        let broker = Broker::builder()
            .without_socket()
            .start()
            .expect("a broker");
        let connect = |name| {
            let plugin = plugin(&broker, name, direct).dispatch(dispatch).connect();
            Pumped::new(plugin.expect("the bus"), dispatch)
        };
        let providers = [connect("First"), connect("Second")];
        let caller = plugin(&broker, "Caller", direct)
            .connect()
            .expect("the bus");
        let ways = Ways::open(&caller).expect("opening");
        let call = |round: u64| {
            let way = Ways::ALL[round as usize % Ways::ALL.len()];
            (way, word(ways.call(way)))
        };
        for round in 0..rounds(120) {
            let provider = &providers[round as usize % 2];
            let gates = provide_all(provider, round).expect("providing");
            let (way, came) = call(round);
            assert_eq!(
                came,
                round.to_string(),
                "provided: {way} ({dispatch:?}, {direct})"
            );
            let missing = broker.set_policy("Caller", Some(Policy::new()));
            assert_eq!(missing.expect("it runs"), [""; 0]);
            let (way, came) = call(round + 1);
            assert_eq!(
                came, "PERMISSION_DENIED",
                "revoked: {way} ({dispatch:?}, {direct})"
            );
            broker.set_policy("Caller", None).expect("it runs");
            let (way, came) = call(round + 2);
            assert_eq!(
                came,
                round.to_string(),
                "granted: {way} ({dispatch:?}, {direct})"
            );
            drop(gates);
            let (way, came) = call(round + 3);
            assert_eq!(
                came, "NOT_READY",
                "withdrawn: {way} ({dispatch:?}, {direct})"
            );
        }
    }
}

/// A subscriber knows at once what plugins of its process provide.
#[test]
fn a_subscriber_knows_what_plugins_of_its_process_provide() {
    let broker = Broker::builder()
        .without_socket()
        .start()
        .expect("a broker");
    let [provider, other, caller] = ["Provider", "Other", "Caller"]
        .map(|name| plugin(&broker, name, true).connect().expect("the bus"));
    let gate = caller.subscriber::<(u64,), u64>(GATE).expect("opening");
    let has = || (gate.has_function(), gate.has_action());
    for _ in 0..rounds(200) {
        assert_eq!(has(), (false, false));
        let function = provider.provide(GATE, |n: u64| n).expect("it is free");
        assert_eq!(has(), (true, false));
        let refused = other.provide_action(GATE, |_: u64| ());
        assert_eq!(code(refused), Code::AlreadyProvided);
        assert_eq!(has(), (true, false));
        let action = provider
            .provide_action(GATE, |_: u64| ())
            .expect("it is its own");
        assert_eq!(has(), (true, true));
        drop(function);
        assert_eq!(has(), (false, true));
        drop(action);
    }
    let _kept = provider.provide(GATE, |n: u64| n).expect("it is free");
    assert_eq!(has(), (true, false));
    drop(provider);
    assert_eq!(has(), (false, false), "it has closed");
}

/// When a gate was dropped, another plugin can provide it at once: the drop waits until the broker knows.
#[test]
fn what_is_dropped_can_be_provided_by_another_at_once() {
    let broker = Broker::builder()
        .without_socket()
        .start()
        .expect("a broker");
    let [one, other] =
        ["One", "Other"].map(|name| plugin(&broker, name, true).connect().expect("the bus"));
    for _ in 0..10 {
        // More than the broker reads from one plugin at a time.
        let name = |n: u32| format!("Many.{n}");
        let provide = |n| one.provide(&name(n), |n: u64| n).expect("it is free");
        let many: Vec<_> = (0..200).map(provide).collect();
        drop(many);
        let again = other.provide(&name(199), |n: u64| n);
        drop(again.expect("it is free again"));
    }
}

/// A loan goes to the present provider of the gate, and not to the one from when it was taken.
#[test]
fn a_loan_is_taken_to_who_provides_the_gate_now() {
    let broker = Broker::builder()
        .without_socket()
        .start()
        .expect("a broker");
    let [one, other, caller] = ["One", "Other", "Caller"]
        .map(|name| plugin(&broker, name, false).connect().expect("the bus"));
    let provide = |plugin: &Plugin, who: u64| {
        let handler = move |_: Context<'_>, payload: Payload<'_>| {
            let sum: u64 = payload
                .words()
                .map(|word| word.count_ones())
                .map(u64::from)
                .sum();
            sum + who
        };
        plugin.provide_raw(RAW, handler).expect("it is free")
    };
    let gate = caller.raw_subscriber::<u64>(RAW).expect("opening");
    for round in 0..rounds(20) {
        let first = provide(&one, 0);
        let mut loan = gate.loan(1 << 20).expect("it is there");
        loan.bytes().fill(1);
        if round % 3 == 0 {
            // It is refused and called at the same provider, under another index.
            broker
                .set_policy("Caller", Some(Policy::new()))
                .expect("it runs");
            broker.set_policy("Caller", None).expect("it runs");
            assert_eq!(loan.invoke().expect("it may again"), 1 << 20);
            continue;
        }
        drop(first);
        if round % 3 == 1 {
            let error = loan.invoke().expect_err("it is gone");
            assert_eq!(error.code(), Code::NotReady);
            continue;
        }
        let _second = provide(&other, 1 << 30);
        assert_eq!(
            loan.invoke().expect("another is there"),
            (1 << 20) + (1 << 30)
        );
    }
    // All memory is free again: the limit is 128 MiB.
    let _kept = provide(&one, 0);
    let loans: Vec<_> = (0..3)
        .map(|_| gate.loan(30 << 20).expect("there is room"))
        .collect();
    drop(loans);
}
