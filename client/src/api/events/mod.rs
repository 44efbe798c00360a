//! What programs hold of events: topics that they send on, subscriptions that they hear.

pub(crate) mod options;
pub(crate) mod topic;
