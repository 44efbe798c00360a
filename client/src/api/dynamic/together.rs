//! For handlers and threads that deal with many calls at once: answers that are given together, and work for the end of a round.

use std::sync::Arc;

use crate::serve::{round, together};

/// Does something in which [`Responder`](super::Responder)s answer on this thread, and wakes their callers when it is done: a caller
/// with many calls under way is woken once, and not for each of its answers.
///
/// The answers themselves are there at once, and who is awake sees them. Callers that sleep do so until this ends, so what is done in
/// it is to be short, and waits for nobody. They are woken also where it panics.
///
/// ```no_run
/// use callgate_client::dynamic::{self, Responder};
///
/// /// What came from a pipe in one piece.
/// fn pass_on(answers: Vec<(Responder, Vec<u8>)>) {
///     dynamic::answer_together(|| {
///         for (responder, result) in answers {
///             let _ = responder.reply(&result);
///         }
///     });
/// }
/// ```
pub fn answer_together<T>(work: impl FnOnce() -> T) -> T {
    together::answer_together(work)
}

/// Has something done on this thread when the calls that are at hand have been run, at most 64 and one batch of events, before the
/// thread looks whether there are more. For handlers that pass calls on, to a pipe or a socket: they collect what they have to say, and write
/// it in one piece.
///
/// Where that is not to be, it is done at once: on a thread that is not a plugin's or a group's own, in a
/// [pool](crate::Dispatch::Pool), while a plugin [pumps](crate::Dispatch::Pump), and in a handler that runs on top of another one. It is
/// done before a handler waits for a call of its own; one that waits for anything else keeps it waiting, too.
/// What is asked for twice is done twice. A panic is logged.
///
/// ```no_run
/// use std::io::Write;
/// use std::sync::Arc;
/// use std::mem;
///
/// use callgate_client::dynamic::{self, Takes};
/// use callgate_client::Plugin;
/// use parking_lot::Mutex;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Bridge")?;
/// let lines = Arc::new(Mutex::new(Vec::new()));
/// let collected = lines.clone();
/// let write: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
///     let lines = mem::take(&mut *collected.lock());
///     let _ = std::io::stdout().write_all(&lines);
/// });
/// let takes = Takes::json(move |_, arguments| {
///     let mut lines = lines.lock();
///     if lines.is_empty() {
///         dynamic::at_end_of_round(&write);
///     }
///     lines.extend_from_slice(arguments.as_bytes());
///     Ok("null".to_owned())
/// });
/// # drop((plugin, takes));
/// # Ok(())
/// # }
/// ```
pub fn at_end_of_round(work: &Arc<dyn Fn() + Send + Sync>) {
    round::at_end(work);
}
