//! Large payloads: extents, the spaces in them that a writer fills in place, and the views through which the other
//! side reads payloads without copying.
//!
//! An extent is a memory file of its own, mapped by its one writer and its one reader. Which parts of it are free is
//! recorded only in private memory of the writer. The writer may fill a space through a plain slice, because nothing
//! else in its process touches those bytes. The reader sees another process's memory and reads it by atomic loads,
//! unless it trusts the writer ([`TrustPeers`]).

mod words;

use std::sync::Arc;

use crate::atomic::Ordering;
use crate::blocks::{self, Blocks, Region, Run};
use crate::envelope::ExtentPlace;
use crate::view::{Number, ReadView, WriteView};

pub use words::Words;

/// How many bytes an extent has beyond the power of two for which it is charged. The archive of a value whose size is
/// a power of two is a few bytes longer than that, and would otherwise need an extent of twice the size.
pub const HEADROOM: u32 = 64 << 10;
/// Bytes of the smallest extent.
pub const MIN_EXTENT_LEN: u32 = (1 << 20) + HEADROOM;
/// Bytes of the largest extent, and so of the longest payload.
pub const MAX_EXTENT_LEN: u32 = (64 << 20) + HEADROOM;
/// The most extents that one side of a link has.
pub const MAX_EXTENTS: u8 = 16;

/// The size of an extent that holds a payload of `len` bytes; `None` if no extent is that large.
pub fn extent_len_for(len: usize) -> Option<u32> {
    let len = u32::try_from(len).ok()?.max(MIN_EXTENT_LEN);
    let counted = (len - HEADROOM).checked_next_power_of_two()?;
    Some(counted.checked_add(HEADROOM)?).filter(|len| *len <= MAX_EXTENT_LEN)
}

/// Whether a size that came over the wire is a valid size of an extent: a power of two plus the [`HEADROOM`].
pub fn is_extent_len(len: u32) -> bool {
    (MIN_EXTENT_LEN..=MAX_EXTENT_LEN).contains(&len) && (len - HEADROOM).is_power_of_two()
}

/// How many MiB of its plugin's quota an extent takes: all of it except the [`HEADROOM`].
pub fn charged_mib(extent_len: u32) -> u32 {
    extent_len >> 20
}

// In extents of every size, blocks begin at multiples of eight bytes.
const _: () = assert!((HEADROOM as usize).is_multiple_of(crate::geometry::BLOCKS * 8));

/// An extent on its writer's side.
#[derive(Clone, Debug)]
pub struct Extent {
    number: u8,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Private to the extent: only its spaces read or write through it.
    view: WriteView,
    blocks: Blocks,
}

impl Extent {
    /// An extent over the whole of a writable map, which no other code in this process can reach; `None` if the map
    /// is read-only.
    pub fn new(number: u8, memory: crate::sys::mapping::Mapping) -> Option<Extent> {
        let view = WriteView::new(memory)?;
        let blocks = Blocks::new(Region::extent(view.as_read().len()));
        Some(Extent {
            number,
            shared: Arc::new(Shared { view, blocks }),
        })
    }

    /// Its number among those of its side of the link.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Bytes of all of it.
    pub fn len(&self) -> usize {
        self.shared.blocks.capacity()
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether no space in it is taken.
    pub fn is_idle(&self) -> bool {
        self.shared.blocks.taken() == 0
    }

    /// [Orders](Blocks::order_with_frees) this thread with the threads that free space in the extent.
    pub fn order_with_frees(&self) {
        self.shared.blocks.order_with_frees();
    }

    /// Takes space for a payload of `len` bytes; `None` while there is not enough in one piece.
    pub fn take(&self, len: usize) -> Option<Space> {
        let run = self.shared.blocks.allocate(len)?;
        Some(Space {
            extent: self.clone(),
            run,
            len,
        })
    }
}

/// Space for one payload in an extent. It is free again when this is dropped.
#[derive(Debug)]
pub struct Space {
    extent: Extent,
    run: Run,
    len: usize,
}

impl Space {
    /// Where the payload lies, as an envelope names it.
    pub fn place(&self) -> ExtentPlace {
        ExtentPlace {
            extent: self.extent.number,
            block: self.run.first(),
        }
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Copies the payload in.
    pub fn write(&self, payload: &[u8]) {
        let Shared { view, blocks } = &*self.extent.shared;
        let len = payload.len().min(self.len);
        blocks::write(view, blocks.region(), self.run, &payload[..len]);
    }

    /// The payload, for filling in place. It holds whatever was in this space before.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        let Shared { view, blocks } = &*self.extent.shared;
        let start = view.address(blocks.region().block_at(self.run.first()), self.len);
        // SAFETY: `address` checked that `len` bytes from `start` on are mapped, and they stay so while `self.extent`
        // lives, which `self` keeps. Nobody else reads or writes them through this map: `Extent::new` made the view
        // of a map that it took over and never lends, its blocks gave these blocks to this space alone, and `&mut
        // self` keeps `write` away. (A plugin that calls itself reads through another map of the file, by atomics,
        // and only after the space was passed on.) Other processes have the memory mapped for reading only (the
        // broker has sealed it), and what they see does not change what this process does. Bytes have no invalid
        // values.
        unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), self.len) }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.extent.shared.blocks.free(self.run);
    }
}

/// The promise that linked peers do not change what they have published.
///
/// With it, payloads can be read in place as plain slices. Without it they are read by atomic loads, which is sound
/// whatever the peer does.
#[derive(Clone, Copy, Debug)]
pub struct TrustPeers(());

impl TrustPeers {
    /// Makes the promise.
    ///
    /// # Safety
    ///
    /// Every plugin that this one is linked with leaves the payload of a call unchanged from the moment when it makes
    /// the call until it has the answer, or for ever if no answer comes. A peer that does otherwise, by mistake or
    /// malice, makes this process read values that change during the read, which is undefined behaviour.
    ///
    /// Besides, no process that may write the files of persistent shares, that is every process of the same user,
    /// changes or shortens one while this process has it mapped. The broker does not. (Removing one, or putting
    /// another in its place, changes none.)
    #[allow(
        clippy::multiple_unsafe_ops_per_block,
        reason = "the function has no unsafe operations"
    )]
    pub const unsafe fn assume() -> TrustPeers {
        TrustPeers(())
    }

    /// The promise of a test to whose memory nobody else writes.
    #[cfg(test)]
    pub(crate) fn of_this_test() -> TrustPeers {
        TrustPeers(())
    }
}

/// A payload in place: in memory that its writer may still change.
#[derive(Clone, Debug)]
pub struct PayloadView<'a> {
    memory: &'a ReadView,
    at: usize,
    len: usize,
    trust: Option<TrustPeers>,
}

impl<'a> PayloadView<'a> {
    /// The `length` bytes of a region from a block on. The caller has checked that the region
    /// [`holds`](Region::holds) them.
    pub fn new(
        memory: &'a ReadView,
        region: Region,
        block: u8,
        length: u32,
        trust: Option<TrustPeers>,
    ) -> PayloadView<'a> {
        assert!(region.holds(block, length));
        PayloadView {
            memory,
            at: region.block_at(block),
            len: length as usize,
            trust,
        }
    }

    /// Bytes of the payload.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the payload has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The payload as words of eight bytes, little-endian, as they are now. The last one is filled up with zeros.
    pub fn words(&self) -> Words<'_> {
        Words::new(self.memory.words(self.at, self.len / 8), self.last())
    }

    /// The word at this index of [`words`](PayloadView::words); `None` after the last one.
    pub fn word(&self, index: usize) -> Option<u64> {
        (index < self.len.div_ceil(8)).then(|| self.load(index))
    }

    /// The last word, if the payload fills only a part of it.
    fn last(&self) -> Option<u64> {
        (!self.len.is_multiple_of(8)).then(|| self.load(self.len / 8))
    }

    fn load(&self, index: usize) -> u64 {
        let word = self.memory.load64(self.at + index * 8, Ordering::Relaxed);
        let word = u64::from_le(word);
        match (self.len - index * 8).checked_sub(8) {
            Some(_) => word,
            None => word & ((1 << (8 * (self.len % 8))) - 1),
        }
    }

    /// Copies as much of the payload into private memory as fits, and returns how much that was.
    pub fn copy_to(&self, into: &mut [u8]) -> usize {
        let len = self.len.min(into.len());
        self.memory.copy_out(self.at, &mut into[..len]);
        len
    }

    /// Copies the bytes from `at` on into private memory; false if the payload has fewer.
    pub fn copy_at(&self, at: usize, into: &mut [u8]) -> bool {
        if at > self.len || into.len() > self.len - at {
            return false;
        }
        // Copies begin at a whole word.
        let before = into.len().min(at.next_multiple_of(8) - at);
        let (first, rest) = into.split_at_mut(before);
        if !first.is_empty() {
            let word = self.load(at / 8).to_le_bytes();
            first.copy_from_slice(&word[at % 8..][..before]);
        }
        if !rest.is_empty() {
            self.memory.copy_out(self.at + at + before, rest);
        }
        true
    }

    /// Copies `count` numbers from byte `at` on into a new vector; `None` if the payload has fewer,
    /// there is no memory for them, or the processor has no instruction for it.
    pub fn numbers<T: Number>(&self, at: usize, count: usize) -> Option<Vec<T>> {
        let len = count.checked_mul(size_of::<T>())?;
        let is_there = at <= self.len && len <= self.len - at;
        is_there.then(|| self.memory.numbers(self.at + at, count))?
    }

    /// The payload as a plain slice; `None` unless this plugin trusts its peers.
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.trust?;
        let start = self.memory.address(self.at, self.len);
        // SAFETY: `address` checked that `len` bytes from `start` on are mapped, and they stay so while `self.memory`
        // lives. The code that made the `TrustPeers` has promised that nobody changes them meanwhile. Bytes have no
        // invalid values.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), self.len) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_come_in_a_few_sizes() {
        let mib = |mib: u32| (mib << 20) + HEADROOM;
        assert_eq!((MIN_EXTENT_LEN, MAX_EXTENT_LEN), (mib(1), mib(64)));
        assert!(is_extent_len(MIN_EXTENT_LEN) && is_extent_len(MAX_EXTENT_LEN));
        assert_eq!(extent_len_for(0), Some(mib(1)));
        assert_eq!(extent_len_for(mib(1) as usize), Some(mib(1)));
        assert_eq!(extent_len_for(mib(1) as usize + 1), Some(mib(2)));
        assert_eq!(extent_len_for(mib(64) as usize), Some(mib(64)));
        assert_eq!(extent_len_for(mib(64) as usize + 1), None);
        for len in [
            0,
            1 << 19,
            (1 << 19) + HEADROOM,
            1 << 20,
            2 << 20,
            mib(3),
            mib(128),
        ] {
            assert!(!is_extent_len(len), "{len}");
        }
    }

    /// A payload whose size is a power of two fits an extent of that size, with its archive: no extent of twice the
    /// size is needed.
    #[test]
    fn a_power_of_two_fits_with_its_archive_around_it() {
        for mib in [1_u32, 2, 4, 8, 16, 32, 64] {
            let len = extent_len_for((mib as usize) << 20).unwrap();
            assert_eq!(extent_len_for(((mib as usize) << 20) + 4096), Some(len));
            assert!(is_extent_len(len), "{len}");
            assert_eq!(charged_mib(len), mib);
            let region = Region::extent(len as usize);
            assert!(region.block_len().is_multiple_of(8));
            assert_eq!(region.block_len() * 64, len as usize);
        }
    }
}

#[cfg(test)]
mod tests_in_memory;
