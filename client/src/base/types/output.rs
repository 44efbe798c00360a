//! The destinations of archives of any size.

use callgate_layout::buffer::{Buffer, OutOfMemory};
use rkyv::rancor::{Source, fail};
use rkyv::ser::{Positional, Writer};

use super::unfit::{self, Unfit};
use crate::base::buffers::Pool;

/// After how many pieces their average size is examined.
const PIECES: usize = 64;
/// The average size of pieces, in bytes, from which on measuring first costs less than copying afterwards.
const LARGE_PIECE: usize = 1024;
/// Archives up to this length, in bytes, are written into private memory at once: measuring them first takes as
/// long as copying them afterwards.
const FEW: usize = 4 << 10;

/// The destination of an archive. All kinds are one type, so that the code which writes a value is compiled once.
#[derive(Debug)]
pub struct Output<'w> {
    place: Place<'w>,
    /// Bytes written so far.
    len: usize,
    /// The longest archive, in bytes. Without a limit rkyv would panic when its 32-bit pointers do not reach.
    most: usize,
    failed: Option<Failed>,
}

#[derive(Debug)]
enum Place<'w> {
    /// Memory that grows, with memory of a plugin's pool if necessary. The number is a length in bytes: if the piece
    /// with which the archive exceeds it is a large one, writing stops. 0 for no such limit.
    Memory(&'w mut Buffer, Option<&'w Pool>, usize),
    /// Shared memory of a fixed size, in which the archive is sent.
    Space(&'w mut [u8]),
    /// No memory: the archive is only measured. The number counts its pieces.
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
    /// Into memory that grows to `most` bytes, replacing its content.
    pub(crate) fn growing(
        buffer: &'w mut Buffer,
        pool: Option<&'w Pool>,
        most: usize,
    ) -> Output<'w> {
        buffer.clear();
        Output::new(Place::Memory(buffer, pool, 0), most)
    }

    /// As `growing`, for an archive that is to be copied into a link's shared memory, with memory of the plugin's
    /// pool. Fails with [`Failed::LargePiece`] if the archive will be long and consists of large pieces, so that it
    /// is better written directly.
    pub(crate) fn attempt(buffer: &'w mut Buffer, pool: &'w Pool, most: usize) -> Output<'w> {
        buffer.clear();
        Output::new(Place::Memory(buffer, Some(pool), FEW), most)
    }

    /// Into memory of a fixed size.
    pub(crate) fn fixed(space: &'w mut [u8]) -> Output<'w> {
        let most = space.len();
        Output::new(Place::Space(space), most)
    }

    /// Into no memory, to measure the archive. Fails with [`Failed::SmallPieces`] if the value consists of so many
    /// that this takes too long.
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

    /// The archive's length, or why it could not be written.
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
                    // The pieces so far were small, so the rest is written without further checks.
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
