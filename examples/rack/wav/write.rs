//! Writes a WAV file that exists either whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::BufWriter;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use tempfile::NamedTempFile;

use super::{FileError, WavError};
use crate::block::{Block, RATE};

/// A WAV file that is being written. It has a temporary name beside its target until [`finish`](WavFile::finish)
/// renames it. If this is dropped before, the file is removed.
pub(crate) struct WavFile {
    wav: WavWriter<BufWriter<File>>,
    temporary: NamedTempFile,
    target: PathBuf,
}

impl WavFile {
    /// Begins a file that will replace what is at `path`.
    pub(crate) fn create(path: &Path) -> Result<WavFile, FileError> {
        WavFile::begin(path).map_err(|e| FileError::new(path, e))
    }

    fn begin(path: &Path) -> Result<WavFile, WavError> {
        let target = match fs::canonicalize(path) {
            Ok(existing) if existing.is_file() => existing,
            Ok(_) => return Err(WavError::NotAFile),
            Err(_) => path.to_owned(),
        };
        let folder = match target.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let temporary = tempfile::Builder::new()
            .prefix(".rack-")
            .suffix(".part")
            .permissions(Permissions::from_mode(0o666)) // less what the umask takes
            .tempfile_in(folder)?;
        let spec = WavSpec {
            channels: 2,
            sample_rate: RATE,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let file = BufWriter::new(temporary.as_file().try_clone()?);
        let wav = WavWriter::new(file, spec)?;
        Ok(WavFile {
            wav,
            temporary,
            target,
        })
    }

    /// Appends a block.
    pub(crate) fn write(&mut self, block: &Block) -> Result<(), FileError> {
        for sample in block.frames().flatten() {
            let written = self.wav.write_sample(to_i16(sample));
            written.map_err(|e| FileError::new(&self.target, e))?;
        }
        Ok(())
    }

    /// Completes the header, writes the file to the disk, and renames it.
    pub(crate) fn finish(self) -> Result<(), FileError> {
        let WavFile {
            wav,
            temporary,
            target,
        } = self;
        let named = |error: WavError| FileError::new(&target, error);
        wav.finalize().map_err(|e| named(e.into()))?;
        temporary
            .as_file()
            .sync_all()
            .map_err(|e| named(e.into()))?;
        temporary
            .persist(&target)
            .map_err(|e| named(e.error.into()))?;
        Ok(())
    }
}

/// The nearest 16-bit sample. Values that are too loud are limited, and a value that is no number becomes silence.
fn to_i16(sample: f32) -> i16 {
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wav::Clip;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn samples_saturate_and_round_to_the_nearest() {
        let cases = [
            (0.0, 0),
            (1.0, i16::MAX),
            (7.5, i16::MAX),
            (-1.0, i16::MIN),
            (f32::NEG_INFINITY, i16::MIN),
            (f32::NAN, 0),
            (0.4 / 32_768.0, 0),
            (0.6 / 32_768.0, 1),
            (-0.6 / 32_768.0, -1),
        ];
        for (sample, written) in cases {
            assert_eq!(to_i16(sample), written, "{sample}");
        }
    }

    #[test]
    fn what_is_written_is_read_back_to_the_bit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        let block = Block::from_fn(|i| [i as f32 / 64.0, -(i as f32) / 64.0]);
        let mut file = WavFile::create(&path).unwrap();
        file.write(&block).unwrap();
        file.write(&Block::SILENCE).unwrap();
        file.finish().unwrap();

        let clip = Clip::open(&path).unwrap();
        assert_eq!((clip.len(), clip.block(0)), (128, block));
        let hound = hound::WavReader::open(&path).unwrap();
        assert_eq!((hound.duration(), hound.spec().channels), (128, 2));
        assert_eq!(fs::metadata(&path).unwrap().len(), 44 + 128 * 4);
        assert_eq!(names(folder.path()), ["out.wav"]);
    }

    /// The old file stays until the new one is finished, also if a render fails half way.
    #[test]
    fn until_it_is_finished_the_old_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        fs::write(&path, "old").unwrap();
        let mut file = WavFile::create(&path).unwrap();
        file.write(&Block::SILENCE).unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["out.wav"]);
    }

    #[test]
    fn a_link_is_followed_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out.wav"), folder.path().join("link"));
        fs::write(&path, "old").unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        WavFile::create(&link).unwrap().finish().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().len(), 44);
    }

    #[test]
    fn a_place_that_takes_no_file_is_named_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let error = |path: &Path| WavFile::create(path).err().unwrap().to_string();
        assert!(error(folder.path()).ends_with("exists and is not a regular file"));
        assert!(error(Path::new("/dev/null")).starts_with("/dev/null: exists and is not"));
        assert!(error(&folder.path().join("no/such/out.wav")).contains("out.wav: No such file"));
    }
}
