//! What people can see of calls: counters and spans.

use callgate_tests::spans::Collector;
use serde_json::Value;

use crate::setup::{Mode, Setup};

/// The calls and errors of a gate are counted, so that its author sees which gate is slow or fails.
pub(crate) fn a_gate_s_calls_and_errors_are_counted(mode: Mode) {
    let setup = Setup::new(mode);
    let add = setup.open::<(u64, u64), u64>("S.Add");
    let slow = setup.open::<(u64,), u64>("S.Slow");
    let fail = setup.open::<(u64,), u64>("S.Fail");
    for n in 0..100 {
        assert_eq!(add.invoke((n, 1)).unwrap(), n + 1);
    }
    slow.invoke((20,)).unwrap();
    (0..7).for_each(|n| drop(fail.invoke((n,)).unwrap_err()));
    // The document that `callgate ls --json` prints.
    let listing = setup.caller.list().unwrap();
    let count = |gate: &str, key: &str| number(&listing["gates"], gate, key);
    assert_eq!(
        (count("S.Add", "calls"), count("S.Add", "errors")),
        (100, 0)
    );
    assert_eq!(
        (count("S.Fail", "calls"), count("S.Fail", "errors")),
        (7, 7)
    );
    assert_eq!(
        (count("S.Echo", "calls"), count("S.Echo", "p99_ns")),
        (0, 0)
    );
    let typical = count("S.Slow", "p50_ns");
    assert!((20_000_000..60_000_000_000).contains(&typical), "{typical}");
    let typical = count("S.Add", "p50_ns");
    assert!(0 < typical && typical <= count("S.Add", "p99_ns"));
    let plugin = |key: &str| number(&listing["plugins"], "S", key);
    assert_eq!((plugin("calls"), plugin("errors")), (108, 7));
}

fn number(list: &Value, name: &str, key: &str) -> u64 {
    let mut entries = list.as_array().expect("a list").iter();
    let entry = entries.find(|entry| entry["name"] == name);
    let entry = entry.unwrap_or_else(|| panic!("{name} is not in {list}"));
    entry[key].as_u64().expect("a number")
}

/// A call appears as a span on both sides, so that it can be followed from one plugin into the other.
pub(crate) fn a_call_shows_as_a_span_on_both_sides(mode: Mode) {
    let setup = Setup::vacant(mode);
    match mode {
        Mode::Direct => setup.begin(),
        _ => setup.begin_there("traced-suite"),
    }
    let add = setup.open::<(u64, u64), u64>("S.Add");
    // When a span is first met while another test's collector ends, it is registered as one that nobody wants.
    let first = tracing::subscriber::with_default(Collector::default(), || add.invoke((0, 0)));
    assert_eq!(first.unwrap(), 0);
    let collector = Collector::default();
    // The collector is set for this thread alone: other tests run in this process.
    let sum = tracing::subscriber::with_default(collector.clone(), || add.invoke((1, 2)));
    assert_eq!(sum.unwrap(), 3);
    let call = "callgate.call gate=S.Add provider=S";
    let handle = "callgate.handle caller=T gate=S.Add";
    if mode == Mode::Direct {
        assert_eq!(collector.seen(), [call, handle]);
        return;
    }
    assert_eq!(collector.seen(), [call]);
    let spans = setup.open::<(), Vec<String>>("S.Spans").invoke(()).unwrap();
    let asked = handle.replace("S.Add", "S.Spans");
    assert_eq!(spans, [handle, handle, &asked]);
}
