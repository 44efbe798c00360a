//! The JSON of a version, for a user with another type.

use std::sync::Arc;

use callgate_layout::control::{ShareToBroker, VersionFacts, VersionName};
use callgate_layout::shares::sealed::Sealed;

use crate::base::buffers::Scratch;
use crate::session::membership::Membership;
use crate::shares::used::{TellsBroker, Used};

/// The JSON of a version, for a user with another type.
pub(crate) struct Twin {
    pub(crate) used: Arc<Used>,
    pub(crate) name: VersionName,
    pub(crate) maker: String,
    /// `Some` until it is dropped.
    pub(super) text: Option<Text>,
    /// The membership and number of the version that the broker has sent for it.
    sent: Option<(Arc<Membership>, u64)>,
}

pub(super) enum Text {
    Sent(Sealed),
    /// Written by this plugin, from a slice of numbers.
    Own(Scratch),
}

impl Twin {
    pub(super) fn new(used: &Arc<Used>, facts: &VersionFacts) -> Twin {
        Twin {
            used: used.clone(),
            name: facts.name,
            maker: facts.maker.clone(),
            text: None,
            sent: None,
        }
    }

    /// For a version that the broker has sent; dropping this tells the broker.
    pub(super) fn sent(
        used: &Arc<Used>,
        facts: &VersionFacts,
        membership: &Arc<Membership>,
    ) -> Twin {
        let mut twin = Twin::new(used, facts);
        twin.sent = Some((membership.clone(), facts.version));
        twin
    }

    pub(crate) fn text(&self) -> &[u8] {
        match &self.text {
            Some(Text::Sent(memory)) => memory.bytes(),
            Some(Text::Own(text)) => text,
            None => &[],
        }
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        drop(self.text.take());
        if let Some((membership, version)) = self.sent.take() {
            membership.tell(ShareToBroker::Done { version });
        }
    }
}
