//! The ways in which handlers can be run.

/// Where the handlers of a plugin run.
///
/// | | handlers run | at a time | choose it |
/// |---|---|---|---|
/// | [`Thread`](Dispatch::Thread) | on one thread of the plugin's | one | where handlers compute for microseconds |
/// | a [`Group`](crate::Group) | on one thread of all its plugins | one, of all of them | for many small plugins in one process |
/// | [`Pool`](Dispatch::Pool) | on several threads | several | where handlers wait: for disks, networks, slow plugins |
/// | [`Pump`](Dispatch::Pump) | in the program's own loop | one | where only that loop may touch the data |
///
/// In every mode, a handler that waits for an answer serves the calls of its own *chain* meanwhile
/// (A calls B, and B's handler calls A), on its own stack; calls of other chains wait until it is
/// done, or run on a free thread of a pool.
///
/// # Waiting inside handlers
///
/// With one handler at a time, a handler that waits keeps the plugin from everybody else. Where two such
/// plugins wait for each other, each for another caller (a handler of X calls Y while one of Y calls X), or where
/// all threads of a pool wait so, nobody goes on. The broker is told of waits that last and ends one of such a
/// circle with [`DEADLOCK`](crate::Code::Deadlock), about a tenth of a second after it was closed; the text names who waits
/// for whom. Its call may have run where [`may_have_run`](crate::Error::may_have_run) says so. Against it help: a call that is
/// [sent](crate::dynamic::Gate::send) and not waited for in the handler, a gate that [answers
/// later](crate::dynamic::provide_later) (which says what is to be minded there), a pool, or a [re-entrant
/// gate](crate::GateOptions::reentrant).
///
/// What a handler calls ends at the deadline of the call that it serves, unless its own timeout is shorter; see
/// [`Subscriber::with_own_deadline`](crate::Subscriber::with_own_deadline).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dispatch {
    /// On one thread of the plugin's own, or of its [group](crate::Group), one after the other, in the
    /// order in which a caller's thread made them. The default, and the fastest.
    ///
    /// A handler that takes long delays the calls of all gates that the thread serves: work that may take
    /// long belongs on a pool, or is [answered later](crate::dynamic::provide_later).
    #[default]
    Thread,
    /// On so many threads (of numbers outside of 1 to 64 the nearest is taken), several at a time and in no order. One
    /// thread looks for calls; that another looks in its place while it runs a handler costs a wake-up a call.
    /// Handlers must bear to run side by side.
    ///
    /// Of several threads one gate gets all but one, so that a slow gate does not keep others waiting;
    /// [`GateOptions::limit`](crate::GateOptions::limit) says otherwise.
    Pool(u32),
    /// Inside [`Plugin::pump`](crate::Plugin::pump), on the thread that calls it. Besides, while that thread waits
    /// for any call, in a handler or not and through whichever plugin: for calls of that call's chain.
    Pump,
}
