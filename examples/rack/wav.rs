//! WAV files: reading any 16-bit PCM file, writing 16-bit stereo.

mod read;
mod write;

pub(crate) use read::Clip;
pub(crate) use write::WavFile;

use std::io;
use std::path::{Path, PathBuf};

/// The longest piece that the rack plays, in seconds: six hours just fit a WAV file, whose size is a 32-bit number.
pub(crate) const MAX_SECONDS: u32 = 6 * 3_600;

/// Why a file could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {reason}", path = .path.display())]
pub(crate) struct FileError {
    /// The file.
    path: PathBuf,
    /// What is wrong with it.
    #[source]
    reason: WavError,
}

impl FileError {
    fn new(path: &Path, reason: impl Into<WavError>) -> FileError {
        FileError {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }
}

/// What is wrong with a WAV file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WavError {
    /// An error of the system.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It does not begin like a WAV file.
    #[error("not a WAV file (no RIFF and WAVE at its beginning)")]
    NotWav,
    /// A chunk is missing that every WAV file has.
    #[error("not a whole WAV file: no `{0}` chunk")]
    Missing(&'static str),
    /// The description of the format contradicts itself.
    #[error("broken WAV file: {0}")]
    Broken(&'static str),
    /// A WAV file, but not one of 16-bit PCM.
    #[error("only 16-bit PCM can be read, and this is {0}")]
    Unsupported(String),
    /// The file has no audio.
    #[error("holds no audio")]
    Empty,
    /// The file is longer than [`MAX_SECONDS`].
    #[error("longer than {} hours", MAX_SECONDS / 3_600)]
    TooLong,
    /// The input is no regular file, so it cannot be read twice.
    #[error("not a regular file; the host and the instrument both read it, each for itself")]
    NotRegular,
    /// The output exists and is no regular file, so it cannot be replaced.
    #[error("exists and is not a regular file")]
    NotAFile,
}

impl From<hound::Error> for WavError {
    fn from(error: hound::Error) -> WavError {
        match error {
            hound::Error::IoError(error) => WavError::Io(error),
            other => WavError::Io(io::Error::other(other)),
        }
    }
}
