//! Where archives of any size are written.

use callgate_layout::buffer::{Buffer, OutOfMemory};
use rkyv::rancor::{Source, fail};
use rkyv::ser::{Positional, Writer};

use super::unfit::{self, Unfit};
use crate::base::buffers::Pool;

/// After so many pieces it is looked at how large they are.
const PIECES: usize = 64;
/// How large pieces are, on average, with which counting first costs less than copying afterwards.
const LARGE_PIECE: usize = 1024;
/// Archives up to this length are made in private memory at once: counting them first takes as long
/// as copying them afterwards.
const FEW: usize = 4 << 10;

/// Where an archive goes. All of these are one type, so that what writes a value is compiled once.
#[derive(Debug)]
pub struct Output<'w> {
    place: Place<'w>,
    /// Bytes that were written.
    len: usize,
    /// The longest archive. Without a limit rkyv would panic where its 32-bit pointers do not reach.
    most: usize,
    failed: Option<Failed>,
}

#[derive(Debug)]
enum Place<'w> {
    /// Memory that grows, if need be by that of a plugin's pool. Up to the length that the last part
    /// says, a large piece ends it.
    Memory(&'w mut Buffer, Option<&'w Pool>, usize),
    /// Memory of a fixed size, in which the archive travels.
    Space(&'w mut [u8]),
    /// Nowhere: it is only counted, in how many pieces.
    Nowhere(usize),
}

/// Why an archive could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failed {
    #[error("longer than an archive may be")]
    TooLong,
    #[error("made of many small pieces")]
    SmallPieces,
    #[error("made of large pieces")]
    LargePiece,
    #[error("it has {0}, which cannot travel")]
    Unfit(Unfit),
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

impl<'w> Output<'w> {
    /// Into memory that grows to `most` bytes, in place of what was there.
    pub(crate) fn growing(
        buffer: &'w mut Buffer,
        pool: Option<&'w Pool>,
        most: usize,
    ) -> Output<'w> {
        buffer.clear();
        Output::new(Place::Memory(buffer, pool, 0), most)
    }

    /// The same on the way to a link's other side, with memory of the plugin's pool. Fails with
    /// [`Failed::LargePiece`] where the archive will be long and is made of large pieces, so that it is
    /// better made in place.
    pub(crate) fn attempt(buffer: &'w mut Buffer, pool: &'w Pool, most: usize) -> Output<'w> {
        buffer.clear();
        Output::new(Place::Memory(buffer, Some(pool), FEW), most)
    }

    /// Into memory of a fixed size.
    pub(crate) fn fixed(space: &'w mut [u8]) -> Output<'w> {
        let most = space.len();
        Output::new(Place::Space(space), most)
    }

    /// Nowhere: only its length is wanted. Fails with [`Failed::SmallPieces`] where a value is
    /// made of so many that finding out takes too long.
    pub(crate) fn counting(most: usize) -> Output<'w> {
        Output::new(Place::Nowhere(0), most)
    }

    fn new(place: Place<'w>, most: usize) -> Output<'w> {
        Output {
            place,
            len: 0,
            most,
            failed: None,
        }
    }

    /// The archive's length, or why there is none.
    pub(crate) fn finish(self, is_written: bool) -> Result<usize, Failed> {
        match (is_written, self.failed) {
            (true, _) => Ok(self.len),
            (false, Some(why)) => Err(why),
            (false, None) => Err(unfit::take().map_or(Failed::TooLong, Failed::Unfit)),
        }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        if bytes.len() > self.most - self.len {
            return Err(Failed::TooLong);
        }
        let end = self.len + bytes.len();
        match &mut self.place {
            Place::Memory(buffer, pool, few) => {
                if end > *few && *few > 0 {
                    if bytes.len() >= LARGE_PIECE {
                        return Err(Failed::LargePiece);
                    }
                    // The pieces so far were small, so it goes on as it has begun.
                    *few = 0;
                }
                if end > buffer.capacity()
                    && let Some(pool) = pool
                {
                    pool.enlarge(buffer, end);
                }
                buffer.extend(bytes)?;
            }
            Place::Space(space) => space[self.len..end].copy_from_slice(bytes),
            Place::Nowhere(pieces) => {
                *pieces += 1;
                if *pieces >= PIECES && end / *pieces < LARGE_PIECE {
                    return Err(Failed::SmallPieces);
                }
            }
        }
        self.len = end;
        Ok(())
    }
}

impl Positional for Output<'_> {
    #[inline]
    fn pos(&self) -> usize {
        self.len
    }
}

impl<E: Source> Writer<E> for Output<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        if let Err(why) = self.put(bytes) {
            self.failed = Some(why);
            fail!(why);
        }
        Ok(())
    }
}
