//! How much memory the cgroups of this process leave it.
//!
//! When an allocation of shared memory exceeds a cgroup's limit, the kernel does not fail it: it kills a
//! process of the cgroup. So the limits are checked before allocating. Memory that the kernel can take back
//! without swapping (cached files) counts as room. Other processes of the same cgroup can still allocate
//! between this check and the allocation.

use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that an allocation must leave free: the kernel charges its page tables and other data for the
/// allocation, too, and the process needs memory to go on.
const RESERVE: u64 = 1 << 20;

/// The names of the files of a cgroup that say how much memory it may use and how much it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Names {
    limit: &'static str,
    usage: &'static str,
    /// The lines of `memory.stat` that count cached files.
    cached: [&'static str; 2],
}

const V2: Names = Names {
    limit: "memory.max",
    usage: "memory.current",
    cached: ["inactive_file", "active_file"],
};

const V1: Names = Names {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cached: ["total_inactive_file", "total_active_file"],
};

/// The limit of one cgroup that this process is in.
#[derive(Debug, PartialEq, Eq)]
struct Level {
    directory: PathBuf,
    limit: u64,
    /// Bytes in use that cannot be taken back.
    used: u64,
}

/// Shared memory that a cgroup of this process has no room for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{bytes} bytes of shared memory would exceed the memory of the cgroup {} of process {}: {used} of its \
     {limit} bytes are in use; raise its limit, or use less at once",
    directory.display(), std::process::id()
)]
pub struct NoRoom {
    bytes: u64,
    directory: PathBuf,
    limit: u64,
    used: u64,
}

/// Checks that all cgroups of this process have room for so many bytes more.
pub fn check_room(bytes: u64) -> Result<(), NoRoom> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let directories = directories(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"));
    directories
        .iter()
        .filter_map(look)
        .try_for_each(|level| check(&level, bytes))
}

fn check(level: &Level, bytes: u64) -> Result<(), NoRoom> {
    let Level {
        directory,
        limit,
        used,
    } = level;
    // The kernel's own data about a file takes less than one byte in 128.
    let wanted = bytes + bytes / 128 + RESERVE;
    if used.saturating_add(wanted) <= *limit {
        return Ok(());
    }
    Err(NoRoom {
        bytes,
        directory: directory.clone(),
        limit: *limit,
        used: *used,
    })
}

/// The directories of all memory cgroups that this process is in, innermost first, from the texts of
/// `/proc/self/cgroup` and `/proc/self/mountinfo`.
fn directories(cgroups: &str, mounts: &str) -> Vec<(PathBuf, Names)> {
    let mut found = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let names = match controllers {
            "" => V2,
            _ if controllers.split(',').any(|name| name == "memory") => V1,
            _ => continue,
        };
        if let Some((root, mount)) = mounts.lines().find_map(|line| mount_of(line, names)) {
            // A mount of a part of the tree shows paths below that part.
            let below = Path::new(path).strip_prefix(&root).unwrap_or(Path::new(""));
            let inner: PathBuf = mount.join(below).components().collect();
            let levels = inner.ancestors().take_while(|dir| dir.starts_with(&mount));
            found.extend(levels.map(|directory| (directory.to_owned(), names)));
        }
    }
    found
}

/// Root and mount point from a line of mountinfo, if it mounts memory cgroups of this kind.
fn mount_of(line: &str, names: Names) -> Option<(PathBuf, PathBuf)> {
    let (place, kind) = line.split_once(" - ")?;
    let mut kind = kind.split(' ');
    let (name, options) = (kind.next()?, kind.nth(1)?);
    let is_meant = match names == V2 {
        true => name == "cgroup2",
        false => name == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    let mut place = place.split(' ').skip(3);
    let (root, mount) = (place.next()?, place.next()?);
    // The kernel writes a space in a path as `\040`.
    let path = |text: &str| PathBuf::from(text.replace("\\040", " "));
    is_meant.then(|| (path(root), path(mount)))
}

fn limit_of((directory, names): &(PathBuf, Names)) -> Option<u64> {
    let limit = fs::read_to_string(directory.join(names.limit)).ok()?;
    // `max`, or in version 1 a number near 2^63: no limit.
    limit.trim().parse().ok().filter(|limit| *limit < 1 << 62)
}

/// The limit of a cgroup and what counts against it, if it has a limit.
fn look(cgroup: &(PathBuf, Names)) -> Option<Level> {
    let limit = limit_of(cgroup)?;
    let (directory, names) = cgroup;
    let usage = fs::read_to_string(directory.join(names.usage)).ok()?;
    let usage: u64 = usage.trim().parse().ok()?;
    let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
    let lines = stat.lines().filter_map(|line| line.split_once(' '));
    let cached = lines.filter(|(name, _)| names.cached.contains(name));
    let cached: u64 = cached.filter_map(|(_, n)| n.parse::<u64>().ok()).sum();
    Some(Level {
        directory: directory.clone(),
        limit,
        used: usage.saturating_sub(cached),
    })
}

#[cfg(all(test, not(callgate_loom)))]
mod tests;
