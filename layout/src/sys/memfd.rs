//! Anonymous memory files and their seals.
//!
//! An outbox or status page is made with [`create`], which seals it against shrinking and growing from the start, so
//! that nobody can truncate it while others have it mapped. Its one writer maps it, and [`seal_writer`] then keeps
//! out all further writers. An extent's memory is also [allocated](allocate) by its writer, whom the kernel charges
//! for it. The broker checks this ([`allocated`]) once nobody can free any of it. A version of a share is sealed
//! against every change ([`seal_for_good`]) once its maker has no map of it any more.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, FcntlArg, SealFlag, fallocate, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::fstat;
use nix::sys::statfs::{TMPFS_MAGIC, fstatfs};
use nix::unistd::ftruncate;

use super::standard;

/// Makes a zeroed memory file of `len` bytes whose size is sealed.
pub fn create(name: &str, len: usize) -> io::Result<OwnedFd> {
    let fd = unsealed(name, len)?;
    add(fd.as_fd(), SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)?;
    Ok(fd)
}

/// Makes a memory file that holds `bytes` and that nobody can change any more.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    check_limit(bytes.len())?;
    let fd = empty(name)?;
    let mut file = File::from(fd);
    io::Write::write_all(&mut file, bytes)?;
    let fd = OwnedFd::from(file);
    add(fd.as_fd(), for_good())?;
    Ok(fd)
}

/// Allocates all of a file of `len` bytes, so that no page fault needs memory later (and can fail).
///
/// The kernel charges the memory cgroup of the calling process. If somebody else has set the size of the file, this
/// process's `RLIMIT_FSIZE` does not count. A signal that arrives meanwhile makes the kernel start again, so the
/// calling thread should block signals.
pub fn allocate(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    loop {
        match fallocate(fd, FallocateFlags::empty(), 0, len as i64) {
            Ok(()) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// How many bytes of memory a file has. They all lie inside of its size only if that is sealed, and nobody can free
/// any of them only after [`seal_writer`].
pub fn allocated(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let blocks = u64::try_from(fstat(fd)?.st_blocks).unwrap_or(0);
    Ok(blocks * 512)
}

/// Opens a memory file of this process anew, for reading and perhaps also for writing.
///
/// A lease looks for descriptors that were opened, and not for the one that [`create`] returns; see
/// [`is_held_elsewhere`](super::lease::is_held_elsewhere).
pub fn reopen(fd: BorrowedFd<'_>, writable: bool) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let mut options = File::options();
    let opened = options.read(true).write(writable).open(&path);
    opened.map(OwnedFd::from).map_err(|error| {
        let text = format!("{path} cannot be opened: {error}");
        io::Error::new(error.kind(), text)
    })
}

/// Seals the memory against further writable maps; a process that has it mapped for writing keeps its map.
///
/// Fails where somebody else has sealed the file against sealing.
pub fn seal_writer(fd: BorrowedFd<'_>) -> io::Result<()> {
    add(fd, SealFlag::F_SEAL_FUTURE_WRITE | SealFlag::F_SEAL_SEAL)
}

/// Seals the memory against every change, for good: a map that is made afterwards always shows the present content.
///
/// # Errors
///
/// [`ResourceBusy`](io::ErrorKind::ResourceBusy) while somebody has it mapped for writing, or the kernel writes to it
/// for somebody. Other errors if somebody else has sealed the file against sealing, or the descriptor is not open for
/// writing.
pub fn seal_for_good(fd: BorrowedFd<'_>) -> io::Result<()> {
    add(fd, SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL)
}

/// Whether no process can change the file or its size any more. The descriptor may come from another process and be
/// no memory file.
pub fn is_sealed_for_good(fd: BorrowedFd<'_>) -> bool {
    has_seals(fd, for_good())
}

/// Whether the file lies in ordinary pages of memory: not on a disk, and not in huge pages that are set aside.
pub fn is_in_memory(fd: BorrowedFd<'_>) -> bool {
    fstatfs(fd).is_ok_and(|system| system.filesystem_type() == TMPFS_MAGIC)
}

/// The length of a file in bytes.
pub fn len(fd: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(u64::try_from(fstat(fd)?.st_size).unwrap_or(0))
}

/// Seals a file against further seals. This is for memory that stays writable: doorbells.
pub fn seal_seals(fd: BorrowedFd<'_>) -> io::Result<()> {
    add(fd, SealFlag::F_SEAL_SEAL)
}

/// Whether the file's size is sealed, so that a map of it never faults.
pub fn has_sealed_size(fd: BorrowedFd<'_>) -> bool {
    has_seals(fd, SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW)
}

/// Whether the file has these seals; a descriptor of anything but a memory file has none.
fn has_seals(fd: BorrowedFd<'_>, wanted: SealFlag) -> bool {
    fcntl(fd, FcntlArg::F_GET_SEALS)
        .is_ok_and(|seals| SealFlag::from_bits_truncate(seals).contains(wanted))
}

fn for_good() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_WRITE | SealFlag::F_SEAL_SEAL
}

fn unsealed(name: &str, len: usize) -> io::Result<OwnedFd> {
    check_limit(len)?;
    let fd = empty(name)?;
    ftruncate(&fd, len as i64)?;
    Ok(fd)
}

fn empty(name: &str) -> io::Result<OwnedFd> {
    let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    standard::above(fd)
}

/// Whether this process may make a file of so many bytes. A size beyond its limit would not give an error: the kernel
/// would end the process by `SIGXFSZ`.
pub fn check_limit(len: usize) -> io::Result<()> {
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE)?;
    if len as u64 <= limit {
        return Ok(());
    }
    let text = format!(
        "it needs {len} bytes, and RLIMIT_FSIZE of process {} allows {limit}; raise it (ulimit -f)",
        std::process::id()
    );
    Err(io::Error::new(io::ErrorKind::FileTooLarge, text))
}

fn add(fd: BorrowedFd<'_>, seals: SealFlag) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(())
}

#[cfg(all(test, not(callgate_loom)))]
mod tests;
