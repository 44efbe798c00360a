//! The events that a watcher gets.

/// How a watched gate stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GateEvent {
    /// The plugin that provides it; `None` when nobody does.
    pub owner: Option<String>,
    /// Which of the gate's lives this is: a number that is larger each time somebody begins to
    /// provide a gate that nobody provided. For a gate that is gone, the life that ended; 0 if
    /// there was none since the watch began.
    pub generation: u64,
    /// Whether it has a function, whatever its types.
    pub has_function: bool,
    /// Whether it has an action, whatever its types.
    pub has_action: bool,
}

impl GateEvent {
    /// Whether somebody provides the gate.
    pub fn is_present(&self) -> bool {
        self.owner.is_some()
    }
}
