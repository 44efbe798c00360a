//! Files of the store: opening those that belong to this user, and copying.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use callgate_layout::cgroup;
use callgate_layout::sys::{memfd, standard};
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use xxhash_rust::xxh3::Xxh3;

use super::trouble::{Trouble, flaw};

/// So many bytes are copied at once: they stay in the processor's cache while they are read, hashed and written.
const PIECE: usize = 256 << 10;
/// Only this user may read and write.
const MODE: u32 = 0o600;

/// Opens a file for reading, and returns it with its length; `None` if there is none.
pub(super) fn open(path: &Path) -> Result<Option<(File, u64)>, Trouble> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Checked before it is opened, because opening a pipe would wait, and a file of another user must not be opened at all.
    check(&there)?;
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(flags.bits());
    let file = match options.open(path) {
        Ok(file) => File::from(standard::above(file.into())?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Another file may have taken its place after the first check.
    let opened = file.metadata()?;
    check(&opened)?;
    if opened.blocks() * 512 < opened.len() {
        // Writing or reading a hole takes memory; where there is none, the kernel kills the process that has the file mapped.
        return flaw("it has holes");
    }
    Ok(Some((file, opened.len())))
}

/// Checks that a file is one that only this user could have made.
fn check(file: &Metadata) -> Result<(), Trouble> {
    if !file.file_type().is_file() {
        return flaw("it is no plain file");
    }
    let user = geteuid().as_raw();
    if file.uid() != user {
        return flaw(format!(
            "it belongs to user {}, not to user {user}",
            file.uid()
        ));
    }
    match file.mode() & 0o7777 {
        MODE => Ok(()),
        mode => flaw(format!("it has the mode {mode:o} in the place of {MODE:o}")),
    }
}

/// A file that is being written. Dropping it removes the file, unless it was given its name.
#[derive(Debug)]
pub(super) struct Unfinished {
    path: PathBuf,
    file: File,
    is_named: bool,
}

impl Unfinished {
    /// Makes a file of so many bytes, all of them allocated. If there is not enough room, this fails, and nothing later needs memory.
    pub(super) fn make(path: PathBuf, size: u64) -> io::Result<Unfinished> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        memfd::check_limit(size)?;
        check_room(size)?;
        // While the lock is held, no other process makes a file of this name: one that is there was left behind.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create_new(true).mode(MODE);
        let file = options.open(&path)?;
        let made = Unfinished {
            file: standard::above(file.into())?.into(),
            path,
            is_named: false,
        };
        // The process's umask may have taken rights away.
        made.file.set_permissions(Permissions::from_mode(MODE))?;
        memfd::allocate(made.file.as_fd(), size)?;
        Ok(made)
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Renames the file, so that it replaces the one that has the name.
    pub(super) fn name(mut self, path: &Path) -> io::Result<()> {
        fs::rename(&self.path, path)?;
        self.is_named = true;
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Copies the first `len` bytes from one file to the other. Returns their hash.
pub(super) fn copy(from: &File, to: &File, len: u64) -> io::Result<u128> {
    read_through(from, len, |at, piece| to.write_all_at(piece, at))
}

/// Writes the trailer behind the value.
pub(super) fn append(trailer: &[u8], to: &File, len: u64) -> io::Result<()> {
    to.write_all_at(trailer, len)
}

/// Returns the hash of the first `len` bytes of a file.
pub(super) fn hash(of: &File, len: u64) -> io::Result<u128> {
    read_through(of, len, |_, _| Ok(()))
}

fn read_through(
    from: &File,
    len: u64,
    mut each: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<u128> {
    let mut hasher = Xxh3::new();
    let most = usize::try_from(len).unwrap_or(PIECE).min(PIECE);
    let mut buffer = vec![0; most];
    let mut at = 0;
    while at < len {
        let left = usize::try_from(len - at).unwrap_or(PIECE);
        let piece = &mut buffer[..left.min(most)];
        from.read_exact_at(piece, at)?;
        hasher.update(piece);
        each(at, piece)?;
        at += piece.len() as u64;
    }
    Ok(hasher.digest128())
}

/// Fails if the process's memory cgroup has no room for so many bytes: the kernel would not refuse them, but kill the process.
fn check_room(size: usize) -> io::Result<()> {
    cgroup::check_room(size as u64).map_err(|why| io::Error::new(io::ErrorKind::QuotaExceeded, why))
}

/// Copies the first `len` bytes of a file into sealed memory. Returns it with their hash.
pub(super) fn into_memory(from: &File, len: u64) -> io::Result<(OwnedFd, u128)> {
    let size = usize::try_from(len).map_err(io::Error::other)?;
    let memory = File::from(memfd::create("callgate-share", size)?);
    check_room(size)?;
    memfd::allocate(memory.as_fd(), size)?;
    let hash = copy(from, &memory, len)?;
    memfd::seal_for_good(memory.as_fd())?;
    // Opened anew for reading only: a plugin that asks for a map with the right to write is then refused.
    let memory = memfd::reopen(memory.as_fd(), false)?;
    Ok((memory, hash))
}
