//! Starting and ending threads of this crate, and running code of the program on them safely.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;
use std::thread::{self, JoinHandle};

use callgate_layout::Code;

use super::error::{Error, Result};

/// Starts a thread under a name that shows in debuggers.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name.to_owned())
        // A chain of calls may have 64 handlers on one stack. Only the part that is used takes memory.
        .stack_size(8 << 20)
        .spawn(work)
        .map_err(|error| Error::new(Code::System, format!("starting the thread {name}: {error}")))
}

/// Waits for a thread to end, unless it is the caller's own: a handler may drop its own plugin.
pub(crate) fn join(thread: JoinHandle<()>) {
    if thread.thread().id() != thread::current().id() {
        // The threads of this crate catch the panics of handlers and do not panic themselves.
        let _ = thread.join();
    }
}

/// Drops a value of the program's, whose drop may panic; the panic is logged and ends nothing. Must not be called
/// while a lock or a borrow is held, because the drop may call this library again.
pub(crate) fn discard<T>(what: T) {
    contain(
        "a value of the program's panicked when it was dropped",
        || {
            drop(what);
        },
    );
}

/// Wakes a task of the program's, whose waker may panic; otherwise as [`discard`].
pub(crate) fn wake(waker: Waker) {
    contain("a waker of the program's panicked", || waker.wake());
}

/// Runs code of the program's, which may panic; otherwise as [`discard`].
pub(crate) fn contain(text: &'static str, work: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        tracing::warn!(panic = panic_text(&*panic), "{text}");
        if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            // Dropping the second panic's value could panic again, without end.
            std::mem::forget(again);
        }
    }
}

/// The text of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no text")
}
