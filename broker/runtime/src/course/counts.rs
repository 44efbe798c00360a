//! What is counted of a plugin.

/// What was counted of a plugin since the runtime was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Frames of its children, whatever they were.
    pub frames: u64,
    /// Frames that were no JSON object with a type, or whose fields were wrong; they are dropped.
    pub malformed_frames: u64,
}
