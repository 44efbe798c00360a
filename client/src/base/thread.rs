//! Threads of this crate, and dropping on them what is a user's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use callgate_layout::Code;

use super::error::{Error, Result};

/// Starts a thread under a name that shows in debuggers.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        // A chain of calls may have 64 handlers on one stack. Only what is used takes memory.
        .stack_size(8 << 20)
        .spawn(work)
        .map_err(|error| Error::new(Code::System, format!("starting the thread {name}: {error}")))
}

/// Waits for a thread, unless this is it: a handler may drop its own plugin.
pub(crate) fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        // The threads of this crate catch the panics of handlers and have none of their own.
        let _ = thread.join();
    }
}

/// Drops something of a user's, which may panic and ends nothing by that. Not to be called while
/// anything is locked or borrowed, for it may come back here, too.
pub(crate) fn discard<T>(what: T) {
    contain(
        "a value of the program's panicked when it was dropped",
        || {
            drop(what);
        },
    );
}

/// Wakes a task of a user's, whose waker may panic and ends nothing by that; otherwise as [`discard`].
pub(crate) fn wake(waker: Waker) {
    contain("a waker of the program's panicked", || waker.wake());
}

/// Runs something of a user's, which may panic and ends nothing by that; otherwise as [`discard`].
pub(crate) fn contain(text: &'static str, work: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        tracing::warn!(panic = panic_text(&*panic), "{text}");
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            // There would be no end to it.
            std::mem::forget(again);
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no text")
}
