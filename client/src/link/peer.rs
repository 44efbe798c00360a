//! The plugin at the other end of a link.

/// A plugin, as the broker has described it to this one: a caller, a provider or a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) plugin: u64,
}

impl Caller {
    /// The name under which it is connected.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its display name.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// Its version, as it has stated it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The number of its process. Numbers are reused after a process has ended; to tell plugins apart, use
    /// [`Caller::plugin`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its number on the bus. A plugin that connects again gets another one.
    pub fn plugin(&self) -> u64 {
        self.plugin
    }
}
