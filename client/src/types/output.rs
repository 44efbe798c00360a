//! Where archives of any size are written.

use callgate_layout::buffer::{Buffer, OutOfMemory};
use rkyv::rancor::{Source, fail};
use rkyv::ser::{Positional, Writer};

/// After so many pieces it is looked at how large they are.
const PIECES: usize = 64;
/// How large pieces are, on average, with which counting first costs less than copying afterwards.
const LARGE_PIECE: usize = 1024;

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
    /// Memory that grows.
    Memory(&'w mut Buffer),
    /// Memory of a fixed size, in which the archive travels.
    Room(&'w mut [u8]),
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
    #[error(transparent)]
    OutOfMemory(#[from] OutOfMemory),
}

impl<'w> Output<'w> {
    /// Into memory that grows to `most` bytes, in place of what was there.
    pub(crate) fn growing(buffer: &'w mut Buffer, most: usize) -> Output<'w> {
        buffer.clear();
        Output::new(Place::Memory(buffer), most)
    }

    /// Into memory of a fixed size.
    pub(crate) fn room(room: &'w mut [u8]) -> Output<'w> {
        let most = room.len();
        Output::new(Place::Room(room), most)
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
            // What else fails is what a value may not be, and only lengths are limited.
            (false, None) => Err(Failed::TooLong),
        }
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Failed> {
        if bytes.len() > self.most - self.len {
            return Err(Failed::TooLong);
        }
        let end = self.len + bytes.len();
        match &mut self.place {
            Place::Memory(buffer) => buffer.extend(bytes)?,
            Place::Room(room) => room[self.len..end].copy_from_slice(bytes),
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
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        if let Err(why) = self.put(bytes) {
            self.failed = Some(why);
            fail!(why);
        }
        Ok(())
    }
}
