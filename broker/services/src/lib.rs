//! Services that plugins use by gates: a store of keys and values (`data.kv`), settings (`data.config`), schedules
//! (`schedule.register`, `schedule.unregister`).
#![forbid(unsafe_code)]
