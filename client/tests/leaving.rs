//! What a plugin keeps after its peers have left. The broker runs in this process.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Context, Plugin, dynamic, signature_of};

const PATIENCE: Duration = Duration::from_secs(20);

/// How many maps of shared memory this process has.
fn maps() -> usize {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|map| map.contains("memfd:")).count()
}

/// The thread that looks after sent calls does not keep links over which calls were sent.
#[test]
fn links_through_which_calls_were_sent_are_let_go() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let connect = |name: &str| {
        let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
        builder.direct_calls(false).connect().unwrap()
    };
    let caller = connect("caller");
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let round = |n: usize| {
        let (name, gate) = (format!("provider{n}"), format!("Bytes.Gate{n}"));
        let provider = connect(&name);
        let echo = |_: Context<'_>, request: &[u8]| Ok(request.to_vec());
        let provided = dynamic::provide(&provider, &gate, &signature, echo).unwrap();
        let gate = dynamic::open(&caller, &gate, &signature).unwrap();
        gate.wait_ready(PATIENCE).unwrap();
        let sent = gate.with_timeout(PATIENCE).send(b"x").unwrap();
        assert_eq!(*sent.wait().unwrap(), *b"x");
        drop((provided, provider));
    };
    round(0);
    // The maps of one link more or less, which may be on its way out.
    let before = maps();
    (1..=20).for_each(round);
    let until = Instant::now() + PATIENCE;
    while maps() > before + 10 {
        assert!(Instant::now() < until, "{before} maps became {}", maps());
        thread::sleep(Duration::from_millis(5));
    }
}
