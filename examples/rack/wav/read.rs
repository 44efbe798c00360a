//! Reads a WAV file as a stream, to its end or to where it was cut off.
//!
//! The crate `hound`, which writes our files, only reads files without irregularities: it takes the padding byte
//! after a chunk of odd length for the next chunk, and refuses lengths that a program cannot know while it writes
//! into a pipe. So this module finds the few chunks that it needs itself.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{FileError, MAX_SECONDS, WavError};
use crate::block::{Block, FRAMES, RATE};

/// The format tags of plain PCM and of the extended format.
const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xFFFE;
/// The last 14 bytes of the identifier of each sub-format that is also a format tag.
const SUBFORMAT: [u8; 14] = *b"\x00\x00\x00\x00\x10\x00\x80\x00\x00\xAA\x00\x38\x9B\x71";

/// A recording in memory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Clip {
    rate: u32,
    frames: Vec<[i16; 2]>,
}

impl Clip {
    /// Reads the file at `path`. Several processes may do so; a pipe could be read only once.
    pub(crate) fn open(path: &Path) -> Result<Clip, FileError> {
        Clip::open_regular(path).map_err(|e| FileError::new(path, e))
    }

    fn open_regular(path: &Path) -> Result<Clip, WavError> {
        // Checked before opening: opening a pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Err(WavError::NotRegular);
        }
        Clip::read(BufReader::new(File::open(path)?))
    }

    /// Reads a WAV file from wherever its bytes come from.
    pub(crate) fn read(mut from: impl Read) -> Result<Clip, WavError> {
        let mut riff = [0; 12];
        if fill(&mut from, &mut riff)? < 12 || &riff[..4] != b"RIFF" || &riff[8..] != b"WAVE" {
            return Err(WavError::NotWav);
        }
        let mut left = u64::from(u32_at(&riff, 4)).saturating_sub(4);
        let mut format = None;
        let mut header = [0; 8];
        while fill(&mut from, &mut header)? == 8 {
            let size = u64::from(u32_at(&header, 4));
            left = left.saturating_sub(8);
            match (&header[..4], format) {
                (b"data", Some(format)) => return Clip::read_frames(from, format, size, left),
                (b"data", None) => break,
                (b"fmt ", _) => format = Some(Format::read(from.by_ref().take(size))?),
                _ => skip(&mut from, size)?,
            }
            let padded = size + size % 2; // a chunk of odd length is padded, and the pad not counted
            skip(&mut from, padded - size)?;
            left = left.saturating_sub(padded);
        }
        Err(WavError::Missing(if format.is_some() {
            "data"
        } else {
            "fmt "
        }))
    }

    /// Reads the frames. `left` is how much of the file follows, if its header is correct.
    fn read_frames(
        from: impl Read,
        format: Format,
        size: u64,
        left: u64,
    ) -> Result<Clip, WavError> {
        // A program that writes into a pipe does not know the length, and writes 0 or the largest number.
        let unknown = size == u64::from(u32::MAX) || (size == 0 && left == 0);
        let mut from = from.take(if unknown { u64::MAX } else { size });
        let most = u64::from(format.rate) * u64::from(MAX_SECONDS);
        let mut frames: Vec<[i16; 2]> = Vec::new();
        let mut bytes = vec![0; 2 * usize::from(format.channels)];
        let second = if format.channels > 1 { 2 } else { 0 };
        while fill(&mut from, &mut bytes)? == bytes.len() {
            if frames.len() as u64 == most {
                return Err(WavError::TooLong);
            }
            frames.push([0, second].map(|at| u16_at(&bytes, at).cast_signed()));
        }
        if frames.is_empty() {
            return Err(WavError::Empty);
        }
        let rate = format.rate;
        Ok(Clip { rate, frames })
    }

    /// How many frames it has at the sample rate of the rack.
    pub(crate) fn len(&self) -> u64 {
        (self.frames.len() as u64 * u64::from(RATE)).div_ceil(u64::from(self.rate))
    }

    /// Block `number` at the rack's sample rate, interpolated linearly between the samples; silence after the end.
    pub(crate) fn block(&self, number: u64) -> Block {
        Block::from_fn(|i| {
            let at = (u128::from(number) * FRAMES as u128 + i as u128) * u128::from(self.rate);
            let (index, part) = (at / u128::from(RATE), at % u128::from(RATE));
            let part = part as f32 / RATE as f32;
            let (from, to) = (self.sample(index), self.sample(index + 1));
            [0, 1].map(|side| from[side] + (to[side] - from[side]) * part)
        })
    }

    fn sample(&self, index: u128) -> [f32; 2] {
        let frame = usize::try_from(index).ok().and_then(|i| self.frames.get(i));
        frame.map_or([0.0; 2], |f| f.map(|s| f32::from(s) / 32_768.0))
    }
}

/// The needed fields of the `fmt ` chunk.
#[derive(Clone, Copy)]
struct Format {
    channels: u16,
    rate: u32,
}

impl Format {
    /// Reads the whole chunk.
    fn read(mut chunk: impl Read) -> Result<Format, WavError> {
        let mut bytes = [0; 40];
        let length = fill(&mut chunk, &mut bytes)?;
        io::copy(&mut chunk, &mut io::sink())?;
        if length < 16 {
            return Err(WavError::Broken("its `fmt ` chunk is too short"));
        }
        let (channels, rate, frame) = (u16_at(&bytes, 2), u32_at(&bytes, 4), u16_at(&bytes, 12));
        let bits = u16_at(&bytes, 14);
        let tag = match u16_at(&bytes, 0) {
            EXTENSIBLE if length == 40 && bytes[26..] == SUBFORMAT => u16_at(&bytes, 24),
            tag => tag,
        };
        match (tag, bits) {
            (PCM, 16) => {}
            (PCM, bits) => return Err(WavError::Unsupported(format!("{bits}-bit PCM"))),
            (3, bits) => return Err(WavError::Unsupported(format!("{bits}-bit floating point"))),
            (tag, _) => return Err(WavError::Unsupported(format!("format {tag:#06x}"))),
        }
        if channels == 0 || rate == 0 || u32::from(frame) != 2 * u32::from(channels) {
            return Err(WavError::Broken("its `fmt ` chunk contradicts itself"));
        }
        Ok(Format { channels, rate })
    }
}

/// Reads until `buffer` is full or the input ends; returns how many bytes that were.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// Skips `bytes` bytes, or what there is.
fn skip(from: &mut impl Read, bytes: u64) -> io::Result<()> {
    io::copy(&mut from.take(bytes), &mut io::sink()).map(drop)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
