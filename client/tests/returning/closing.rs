//! Plugins that are dropped while they reconnect.

use std::fmt::Debug;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Plugin};
use callgate_layout::control::{Failure, SessionToBroker, SessionToPlugin, ToBroker};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::fake::{Listener, PATIENCE, QUIET};

/// The most time that dropping a plugin takes if a broker does not answer: half a second for each thing that it waits
/// for.
const SOON: Duration = Duration::from_secs(3);

fn drop_in_time(plugin: Plugin) {
    let begun = Instant::now();
    drop(plugin);
    let took = begun.elapsed();
    assert!(took < SOON, "{took:?}");
}

/// Dropping a plugin gives up its attempt to reconnect, and does not wait for it for five seconds and more.
#[test]
fn an_attempt_is_given_up_when_the_plugin_is_dropped() {
    let listener = Listener::new("silent", 8);
    let (plugin, broker) = listener.connect();
    drop(broker);
    let silent = listener.accept();
    assert!(matches!(
        silent.record(),
        ToBroker::Session(SessionToBroker::Hello(_))
    ));
    drop_in_time(plugin);
    silent.await_end();
}

/// The same if the broker's socket has no room, so that the kernel blocks the attempt.
#[test]
fn a_plugin_that_waits_in_line_for_a_broker_is_dropped_at_once() {
    let listener = Listener::new("full", 1);
    let (plugin, broker) = listener.connect();
    let _line = listener.fill();
    drop(broker);
    thread::sleep(3 * QUIET);
    drop_in_time(plugin);
}

/// A plugin that is dropped by the thread that reconnects it.
static DROPPED: Mutex<Option<Plugin>> = Mutex::new(None);
static IS_DROPPED: AtomicBool = AtomicBool::new(false);

/// The broker's reason for refusing it.
const REFUSAL: &str = "so that this plugin is dropped";

/// Whether a log event has this text.
struct Finds(bool);

impl Visit for Finds {
    fn record_debug(&mut self, _field: &Field, value: &dyn Debug) {
        self.0 |= format!("{value:?}").contains(REFUSAL);
    }
}

/// A log subscriber.
struct Listens;

impl Subscriber for Listens {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut found = Finds(false);
        event.record(&mut found);
        if found.0 && thread::current().name() == Some("callgate-return") {
            let plugin = DROPPED.lock().unwrap().take();
            if plugin.is_some() {
                drop(plugin);
                IS_DROPPED.store(true, Ordering::Release);
            }
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// A log subscriber may drop the plugin that comes back: the library logs while that plugin is not locked.
#[test]
fn who_listens_to_the_log_drops_the_plugin_that_comes_back() {
    tracing::subscriber::set_global_default(Listens).unwrap();
    let listener = Listener::new("log", 8);
    let (plugin, broker) = listener.connect();
    *DROPPED.lock().unwrap() = Some(plugin);
    drop(broker);
    let refuses = listener.accept();
    refuses.record();
    let refusal = Failure::new(Code::NameTaken, REFUSAL);
    refuses.send(SessionToPlugin::Ended(refusal), &[]);
    refuses.await_end();
    let until = Instant::now() + PATIENCE;
    while !IS_DROPPED.load(Ordering::Acquire) {
        assert!(Instant::now() < until, "it is not dropped");
        thread::sleep(QUIET / 10);
    }
}
