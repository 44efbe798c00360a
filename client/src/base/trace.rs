//! Spans for people who trace calls. They are only made if a subscriber wants them; otherwise a call costs one load
//! more.

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing::span::EnteredSpan;

/// The span of a call, on the caller's side.
#[inline]
pub(crate) fn call(gate: &str, provider: &str) -> Option<EnteredSpan> {
    is_on().then(|| called(gate, provider))
}

/// The span of a handler.
#[inline]
pub(crate) fn handle(gate: &str, caller: &str) -> Option<EnteredSpan> {
    is_on().then(|| handled(gate, caller))
}

#[inline]
fn is_on() -> bool {
    Level::TRACE <= LevelFilter::current()
}

#[cold]
fn called(gate: &str, provider: &str) -> EnteredSpan {
    tracing::trace_span!("callgate.call", gate, provider).entered()
}

#[cold]
fn handled(gate: &str, caller: &str) -> EnteredSpan {
    tracing::trace_span!("callgate.handle", gate, caller).entered()
}
