//! The providing side of a plugin: its gates, the calls that come in, and the turn lock, which decides whose
//! handlers may run.

mod answers;
pub(crate) mod changes;
mod counter;
pub(crate) mod dispatch;
pub(crate) mod dispatcher;
mod exchange;
pub(crate) mod frame;
pub(crate) mod gate;
pub(crate) mod grants;
mod guard;
mod incoming;
mod latest;
pub(crate) mod lending;
pub(crate) mod limits;
pub(crate) mod linked;
pub(crate) mod member;
pub(crate) mod offered;
pub(crate) mod options;
pub(crate) mod outstanding;
pub(crate) mod owners;
pub(crate) mod provided;
pub(crate) mod pulse;
pub(crate) mod round;
mod scheduler;
pub(crate) mod stack;
pub(crate) mod standstill;
pub(crate) mod turn;
pub(crate) mod waits;
