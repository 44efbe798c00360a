//! Who is at the other end of a link.

/// The plugin behind a call, as the broker knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub(crate) name: String,
    pub(crate) display_name: String,
    pub(crate) version: String,
    pub(crate) pid: u32,
    pub(crate) plugin: u64,
}

impl Caller {
    /// The name under which it connected.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its name for people.
    pub fn display_name(&self) -> &str {
        &self.display_name
    }

    /// Its version, as it gave it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its process. A number may be reused after the process ended: compare [`Caller::plugin`].
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its identity on the bus: a plugin that connects again gets another one.
    pub fn plugin(&self) -> u64 {
        self.plugin
    }
}
