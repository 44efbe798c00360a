//! Mapping versions that the broker has sent.

use std::os::fd::{AsFd, OwnedFd};

use callgate_layout::Code;
use callgate_layout::control::VersionFacts;
use callgate_layout::payload::TrustPeers;
use callgate_layout::shares::sealed::Sealed;

use crate::base::error::{Error, Result};
use crate::session::mapping::unmapped;

/// Maps a version: sealed memory, or, for a plugin that trusts its peers, the file of a persistent share.
pub(super) fn map(
    facts: &VersionFacts,
    file: &OwnedFd,
    trust: Option<TrustPeers>,
) -> Result<Sealed> {
    let len = usize::try_from(facts.len).unwrap_or(usize::MAX);
    let memory = match (facts.in_place, trust) {
        (false, _) => Sealed::shared(file.as_fd(), len),
        (true, Some(trust)) => Sealed::in_place(file.as_fd(), len, trust),
        (true, None) => {
            let text = "the broker has sent the file of a persistent share, though this plugin does not trust its peers";
            return Err(Error::new(Code::Protocol, text));
        }
    };
    memory.map_err(|error| match error.kind() {
        std::io::ErrorKind::InvalidData => Error::new(Code::Protocol, error.to_string()),
        _ => unmapped(len, &error),
    })
}
