//! What programs hold of events: topics that they send on, subscriptions that they hear.

pub(crate) mod inside;
pub(crate) mod options;
pub(crate) mod pull;
pub(crate) mod received;
pub(crate) mod subscription;
pub(crate) mod topic;
