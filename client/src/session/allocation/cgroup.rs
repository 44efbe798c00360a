//! Checks whether the cgroups of this process have room for memory that it is about to allocate.

use callgate_layout::{Code, cgroup};

use crate::base::error::{Error, Result};

/// Checks that all cgroups of this process have room for so many bytes more.
///
/// # Errors
///
/// `OVERLOADED`, with the name of the cgroup.
pub(super) fn check_room(bytes: u64) -> Result<()> {
    cgroup::check_room(bytes).map_err(|why| Error::new(Code::Overloaded, why.to_string()))
}
