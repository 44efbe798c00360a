//! Raw payloads: bytes that the caller writes directly into shared memory, and that the provider reads there.
//! Nobody copies them, so a call costs the same for one byte as for a megabyte.

use callgate_layout::payload::{PayloadView, Words};

/// A raw payload on the provider's side, for as long as its handler runs.
///
/// Its bytes lie in memory that the caller could still change. They are read by atomic loads, which is sound
/// whatever the caller does. A plugin that trusts its peers
/// ([`PluginBuilder::read_in_place`](crate::PluginBuilder::read_in_place)) also gets them as a slice.
#[derive(Debug)]
pub struct Payload<'a> {
    source: Source<'a>,
}

#[derive(Debug)]
enum Source<'a> {
    Shared(&'a PayloadView<'a>),
    Private(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// A payload in shared memory if there is a view, otherwise in private memory.
    pub(crate) fn new(view: Option<&'a PayloadView<'a>>, private: &'a [u8]) -> Payload<'a> {
        Payload {
            source: view.map_or(Source::Private(private), Source::Shared),
        }
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        match self.source {
            Source::Shared(view) => view.len(),
            Source::Private(bytes) => bytes.len(),
        }
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The eight bytes from `8 * index` on as a little-endian word, with their present values. The last word is
    /// padded with zeros. `None` beyond the end.
    pub fn word(&self, index: usize) -> Option<u64> {
        match self.source {
            Source::Shared(view) => view.word(index),
            Source::Private(bytes) => {
                let rest = bytes
                    .get(index.checked_mul(8)?..)
                    .filter(|rest| !rest.is_empty())?;
                let mut word = [0; 8];
                let len = rest.len().min(8);
                word[..len].copy_from_slice(&rest[..len]);
                Some(u64::from_le_bytes(word))
            }
        }
    }

    /// All words, in order; see [`Payload::word`].
    pub fn words(&self) -> impl Iterator<Item = u64> + '_ {
        match self.source {
            Source::Shared(view) => view.words(),
            Source::Private(bytes) => Words::of_bytes(bytes),
        }
    }

    /// Copies as many bytes as fit into private memory. Returns their number.
    pub fn copy_to(&self, into: &mut [u8]) -> usize {
        match self.source {
            Source::Shared(view) => view.copy_to(into),
            Source::Private(bytes) => {
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                len
            }
        }
    }

    /// The bytes as a slice, without a copy; `None` unless this plugin trusts its peers.
    pub fn as_slice(&self) -> Option<&[u8]> {
        match self.source {
            Source::Shared(view) => view.as_slice(),
            Source::Private(bytes) => Some(bytes),
        }
    }
}
