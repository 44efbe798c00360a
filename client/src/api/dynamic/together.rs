//! For handlers and threads that deal with many calls at once: answering calls together, and work at the end of a
//! round.

use std::sync::Arc;

use crate::link::together;
use crate::serve::round;

/// Runs `work`, in which [`Responder`](super::Responder)s answer on this thread, and wakes the callers when it is
/// done. A caller with many sent calls is then woken once, and not for each answer.
///
/// Each answer is published at once, and callers that are awake see it at once. Callers that sleep are woken only
/// when `work` ends, also if it panics; so it should be short. Before `work` waits in this library, for a call, an
/// event's listeners, the broker or the like, those are woken whose answers are there. Waits for anything else
/// delay them.
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
/// [pool](crate::Dispatch::Pool), while a plugin [pumps](crate::Dispatch::Pump), in a handler that runs inside
/// another handler's wait, and in such work. So hold no lock that `work` takes when you call this. If a handler waits
/// for a call (also one that it has sent, or one whose gate is absent), for a free slot or memory of a link, for its
/// turn in another plugin of this process, or for the limit of a gate there, `work` runs before that wait. If it waits
/// for anything else, `work` is delayed, too. Asking twice runs `work` twice. A panic of `work` is logged.
///
/// ```no_run
/// use std::io::Write;
/// use std::mem;
/// use std::sync::Arc;
///
/// use callgate_client::Plugin;
/// use callgate_client::dynamic::{self, Prefix, Responder, Takes};
/// use parking_lot::Mutex;
///
/// /// What one round has collected: the lines for the other side, and who waits for its answers.
/// #[derive(Default)]
/// struct Collected {
///     lines: Vec<u8>,
///     asked: Vec<Responder>,
/// }
///
/// # fn pass_on_answers_to(_: Vec<Responder>) {}
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Bridge")?;
/// let collected = Arc::new(Mutex::new(Collected::default()));
/// let all = collected.clone();
/// let write: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
///     let Collected { lines, asked } = mem::take(&mut *all.lock());
///     let _ = std::io::stdout().write_all(&lines);
///     pass_on_answers_to(asked); // another thread reads them, and gives them in `answer_together`
/// });
/// let takes = Takes::json_later(move |_, arguments, responder| {
///     let mut collected = collected.lock();
///     let is_first = collected.asked.is_empty();
///     collected.lines.extend_from_slice(arguments.as_bytes());
///     collected.lines.push(b'\n');
///     collected.asked.push(responder);
///     drop(collected); // `write` takes this lock, and may run at once
///     if is_first {
///         dynamic::at_end_of_round(&write);
///     }
/// });
/// let _gates = dynamic::provide_prefix(&plugin, Prefix::new("Bridge."), takes)?;
/// # Ok(())
/// # }
/// ```
pub fn at_end_of_round(work: &Arc<dyn Fn() + Send + Sync>) {
    round::at_end(work);
}
