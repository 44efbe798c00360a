//! For handlers and threads that deal with many calls at once: answering calls together, and work at the end of a
//! round.

use std::sync::Arc;

use crate::serve::{round, together};

/// Runs `work`, in which [`Responder`](super::Responder)s answer on this thread, and wakes the callers when it is
/// done. A caller with many sent calls is then woken once, and not for each answer.
///
/// Each answer is published at once, and callers that are awake see it at once. Callers that sleep are woken only
/// when `work` ends, so it should be short and must not wait for anything. They are also woken if it panics.
///
/// ```no_run
/// use callgate_client::dynamic::{self, Responder};
///
/// // The answers that came from a pipe in one piece.
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

/// Runs `work` on this thread at the end of the current round. In one round the thread of a plugin or a group runs
/// the calls that are there, at most 64, and one batch of events; then it looks for more. Meant for handlers that
/// pass calls on to a pipe or a socket: they collect what they have to say, and write it in one piece.
///
/// `work` runs before this function returns if there is no round that it could wait for: on any other thread, in a
/// [pool](crate::Dispatch::Pool), while a plugin [pumps](crate::Dispatch::Pump), and in a handler that runs inside
/// another handler's wait. If a handler waits for a call (also one that it has sent), for a free slot or memory of a
/// link, or for its turn in another plugin of this process, `work` runs before that wait. If it waits for anything
/// else, `work` is delayed, too. Asking twice runs `work` twice. A panic of `work` is logged.
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
