//! Catching panics of handlers, which end only their call.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use callgate_layout::Code;

use crate::base::error::{Error, Result};
use crate::base::thread::{discard, panic_text};

/// Runs a handler. A panic becomes the call's error.
#[inline]
pub(crate) fn guarded<T>(gate: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let outcome = catch_unwind(AssertUnwindSafe(run));
    outcome.unwrap_or_else(|panic| {
        let error = panicked(gate, &*panic);
        discard(panic);
        Err(error)
    })
}

#[cold]
fn panicked(gate: &str, panic: &(dyn Any + Send)) -> Error {
    let text = panic_text(panic);
    tracing::warn!(gate, panic = text, "a handler panicked");
    Error::new(
        Code::HandlerPanicked,
        format!("the handler panicked: {text}"),
    )
    .maybe_run()
}
