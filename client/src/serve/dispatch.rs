//! The ways in which handlers can be run.

/// Where the handlers of a plugin run.
///
/// In every mode, a handler that waits for an answer serves the calls of its own chain meanwhile
/// (A calls B, and B's handler calls A), on its own stack; calls of other chains wait until it is
/// done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dispatch {
    /// On one thread of the plugin's own, or of its [group](crate::Group), one after the other, in the
    /// order in which a caller's thread made them. The default.
    ///
    /// A handler that takes long delays the calls of all gates that the thread serves: work that may take
    /// long belongs on a pool, or is [answered later](crate::dynamic::provide_later).
    #[default]
    Thread,
    /// On so many threads (at least one, at most 64), several at a time and in no order. One
    /// thread looks for calls; that another looks in its place while it runs a handler costs a wake-up a call.
    ///
    /// Of several threads one gate gets all but one, so that a slow gate does not keep others waiting;
    /// [`GateOptions::limit`](crate::GateOptions::limit) says otherwise.
    Pool(u32),
    /// Inside [`Plugin::pump`](crate::Plugin::pump): on the thread that calls it, and only then,
    /// or while that thread waits for an answer inside a chain.
    Pump,
}
