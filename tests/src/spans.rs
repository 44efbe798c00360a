//! A collector of the spans that Callgate makes. Each becomes a line: its name, and its fields in order.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The collector of a process that collects all its spans.
static HERE: OnceLock<Collector> = OnceLock::new();

/// Collects spans wherever it, or a clone of it, is the subscriber.
#[derive(Clone, Debug, Default)]
pub struct Collector {
    seen: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// What was collected so far.
    pub fn seen(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }
}

/// From now on all spans of this process are collected.
pub fn collect_here() {
    let collector = HERE.get_or_init(Collector::default).clone();
    tracing::subscriber::set_global_default(collector).expect("it is the only one");
}

/// All spans of this process so far, if they are collected.
pub fn seen_here() -> Vec<String> {
    HERE.get().map_or(Vec::new(), Collector::seen)
}

#[derive(Default)]
struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = format!("{value:?}").trim_matches('"').to_owned();
        self.0.insert(field.name(), text);
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.name().starts_with("callgate.")
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let fields = fields
            .0
            .iter()
            .map(|(key, value)| format!(" {key}={value}"));
        let line = format!(
            "{}{}",
            attributes.metadata().name(),
            fields.collect::<String>()
        );
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.push(line);
        Id::from_u64(seen.len() as u64)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
