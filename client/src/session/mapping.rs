//! Mapping memory that the broker has sent, and the errors for it.

use std::io;
use std::os::fd::OwnedFd;

use callgate_layout::Code;
use callgate_layout::sys::limits;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::view::{ReadView, WriteView};

use crate::base::error::{Error, Result};

/// Maps memory that this plugin writes.
pub(crate) fn map_writable(fd: OwnedFd, len: usize) -> Result<WriteView> {
    let map = Mapping::writable(fd, len).map_err(|error| unmapped(len, &error))?;
    WriteView::new(map).ok_or_else(|| {
        let text = format!("{len} bytes of shared memory are not mapped for writing");
        Error::new(Code::System, text)
    })
}

/// The error for memory that this process could not map.
pub(crate) fn unmapped(len: usize, error: &io::Error) -> Error {
    let pid = std::process::id();
    let text = format!(
        "the process {pid} could not map {len} bytes of shared memory: {error}; look at its limit \
         of address space (ulimit -v) and at vm.max_map_count"
    );
    Error::new(Code::System, text)
}

/// Maps memory that a peer writes.
pub(crate) fn map_read_only(fd: OwnedFd, len: usize) -> Result<ReadView> {
    Mapping::read_only(fd, len)
        .map(ReadView::new)
        .map_err(|error| unmapped(len, &error))
}

/// The error for something that the operating system refused. If a limit of descriptors was met, it names that
/// limit.
pub(crate) fn system(what: &str, error: &io::Error) -> Error {
    Error::new(Code::System, format!("{what}: {}", limits::explain(error)))
}
