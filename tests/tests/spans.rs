//! The spans that people see when they follow calls.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::{Code, Context, Dispatch, HandlerError, Payload, Plugin};
use callgate_tests::PATIENCE;
use callgate_tests::shorthand::{code, open};
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

/// The spans of a call of one of the provider's gates, on both sides.
fn expected(gate: &str) -> [Span; 2] {
    let call = [("gate", gate), ("provider", "Provider")];
    let handle = [("gate", gate), ("caller", "Caller")];
    [span("callgate.call", call), span("callgate.handle", handle)]
}

/// The spans that `act` makes.
fn seen(act: impl FnOnce()) -> Vec<Span> {
    SEEN.lock().expect("nobody panicked").clear();
    act();
    std::mem::take(&mut *SEEN.lock().expect("nobody panicked"))
}

/// A call, also one of raw bytes, makes a span on both sides, so that it can be followed from one plugin into the
/// other.
#[test]
fn a_call_shows_on_both_sides() {
    tracing::subscriber::set_global_default(Collector).unwrap();
    let modes = [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump];
    for (mode, direct) in modes
        .into_iter()
        .flat_map(|mode| [(mode, false), (mode, true)])
    {
        let broker = Broker::builder().without_socket().start().unwrap();
        let connect = |name: &str| Plugin::builder(name).descriptor(broker.connect().unwrap());
        let provider = connect("Provider").direct_calls(direct).dispatch(mode);
        let provider = provider.connect().unwrap();
        let add = |a: u64, b: u64| a + b;
        let _add = provider.provide("Provider.Add", add).unwrap();
        let fail = || Err::<(), _>(HandlerError::new("NO", "not today"));
        let _fail = provider.provide("Provider.Fail", fail).unwrap();
        let length = |_: Context<'_>, bytes: Payload<'_>| bytes.len() as u64;
        let _length = provider.provide_raw("Provider.Length", length).unwrap();
        let caller = connect("Caller").connect().unwrap();
        let add = open::<(u64, u64), u64>(&caller, "Provider.Add");
        let fail = open::<(), ()>(&caller, "Provider.Fail");
        let length = caller.raw_subscriber::<u64>("Provider.Length").unwrap();
        length.wait_ready(PATIENCE).unwrap();
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while mode == Dispatch::Pump && !is_over.load(Ordering::Relaxed) {
                    let until = Instant::now() + Duration::from_millis(5);
                    provider.pump(until).unwrap();
                }
            });
            let what = format!("{mode:?}, direct: {direct}");
            let spans = seen(|| assert_eq!(add.invoke((1, 2)).unwrap(), 3));
            assert_eq!(spans, expected("Provider.Add"), "{what}");
            let spans = seen(|| assert_eq!(code(fail.invoke(())), Code::HandlerError));
            assert_eq!(spans, expected("Provider.Fail"), "{what}");
            let spans = seen(|| assert_eq!(length.loan(9).unwrap().invoke().unwrap(), 9));
            assert_eq!(spans, expected("Provider.Length"), "{what}");
            is_over.store(true, Ordering::Relaxed);
        });
    }
}
