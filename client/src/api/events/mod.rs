//! What programs hold of events: topics that they send on, subscriptions that they hear.
