//! The spans that people see who follow calls.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;

use callgate::Broker;
use callgate_client::Plugin;
use callgate_tests::shorthand::open;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

static SEEN: Mutex<Vec<Span>> = Mutex::new(Vec::new());

/// A span's name and fields.
#[derive(Debug, Default, PartialEq)]
struct Span {
    name: &'static str,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Span {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.fields.insert(field.name(), text);
    }
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name().starts_with("callgate.")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut span = Span {
            name: attributes.metadata().name(),
            ..Span::default()
        };
        attributes.record(&mut span);
        let mut seen = SEEN.lock().expect("nobody panicked");
        seen.push(span);
        Id::from_u64(seen.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn span(name: &'static str, fields: [(&'static str, &str); 2]) -> Span {
    let fields = fields.map(|(key, value)| (key, value.to_owned()));
    let fields = BTreeMap::from(fields);
    Span { name, fields }
}

/// A call that nobody could follow from one plugin into the other.
#[test]
fn a_call_shows_on_both_sides() {
    tracing::subscriber::set_global_default(Collector).unwrap();
    let broker = Broker::builder().without_socket().start().unwrap();
    let connect = |name: &str| Plugin::builder(name).descriptor(broker.connect().unwrap());
    for direct in [false, true] {
        let provider = connect("Provider").direct_calls(direct).connect().unwrap();
        let _add = provider
            .provide("Provider.Add", |a: u64, b: u64| a + b)
            .unwrap();
        let caller = connect("Caller").connect().unwrap();
        let add = open::<(u64, u64), u64>(&caller, "Provider.Add");
        SEEN.lock().unwrap().clear();
        assert_eq!(add.invoke((1, 2)).unwrap(), 3);
        let seen = std::mem::take(&mut *SEEN.lock().unwrap());
        let call = [("gate", "Provider.Add"), ("provider", "Provider")];
        let handle = [("gate", "Provider.Add"), ("caller", "Caller")];
        let expected = [span("callgate.call", call), span("callgate.handle", handle)];
        assert_eq!(seen, expected, "direct: {direct}");
    }
}
