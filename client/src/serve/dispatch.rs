//! The ways in which handlers can be run.

/// Where the handlers of a plugin run.
///
/// | | handlers run | at a time | use it |
/// |---|---|---|---|
/// | [`Thread`](Dispatch::Thread) | on one thread of the plugin's | one | if handlers compute for microseconds |
/// | a [`Group`](crate::Group) | on one thread of all its plugins | one, of all of them | for many small plugins in one process |
/// | [`Pool`](Dispatch::Pool) | on several threads | several | if handlers wait: for disks, networks, slow plugins |
/// | [`Pump`](Dispatch::Pump) | in the program's own loop | one | if only that loop may touch the data |
///
/// In every mode, a handler that waits for an answer meanwhile serves the calls of its own *chain* (A calls B, and
/// B's handler calls A), on its own stack. Calls of other chains wait until it has returned, or run on a free
/// thread of a pool.
///
/// # Waiting inside handlers
///
/// If only one handler runs at a time, a handler that waits keeps all other callers waiting. If two such plugins
/// wait for each other, each on behalf of another caller (a handler of X calls Y while one of Y calls X), or if all
/// threads of a pool wait like that, none can go on. The broker is told of waits that last, and ends one wait of
/// such a circle with [`DEADLOCK`](crate::Code::Deadlock), about a tenth of a second after the circle has closed;
/// the error's text names who waits for whom. The call may have run if [`may_have_run`](crate::Error::may_have_run)
/// says so. To prevent circles: a handler can [send](crate::dynamic::Gate::send) a call and not wait for it; a gate
/// can [answer later](crate::dynamic::provide_later) (see its notes); a plugin can have a pool; or a gate can be
/// [re-entrant](crate::GateOptions::reentrant).
///
/// Calls that a handler makes end at the deadline of the call that it serves, unless their own timeout is shorter;
/// see [`Subscriber::with_own_deadline`](crate::Subscriber::with_own_deadline).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dispatch {
    /// On one thread of the plugin, or of its [group](crate::Group), one after the other, in the order in which
    /// each caller's thread made them. The default, and the fastest.
    ///
    /// A handler that takes long delays the calls of all gates that the thread serves. Work that may take long
    /// should run in a pool, or be [answered later](crate::dynamic::provide_later).
    #[default]
    Thread,
    /// On this many threads (at least 1, at most 64; other numbers are clamped), several at a time and in no order.
    /// One thread looks for calls; when it runs a handler, another one looks in its place, which costs one wake-up
    /// for each call. Handlers have to be able to run in parallel.
    ///
    /// One gate may use all threads but one, if there are several, so that a slow gate does not keep others
    /// waiting; [`GateOptions::limit`](crate::GateOptions::limit) changes that.
    Pool(u32),
    /// Inside [`Plugin::pump`](crate::Plugin::pump), on the thread that calls it. Also while that thread waits for
    /// any call, inside a handler or not and through whichever plugin; then only calls of that call's chain are
    /// run.
    Pump,
}
