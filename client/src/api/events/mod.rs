//! What programs hold to send and hear events: topics and subscriptions.

pub(crate) mod inside;
pub(crate) mod options;
pub(crate) mod pull;
pub(crate) mod received;
pub(crate) mod subscription;
pub(crate) mod topic;
