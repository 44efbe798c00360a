//! Tests of the store, in a directory of its own instead of `/dev/shm` itself.

mod damage;
mod keeping;
mod kills;
mod places;

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use callgate_layout::control::{Form, VersionName};
use callgate_layout::sys::memfd;
use tempfile::TempDir;

use super::{BusName, Store, Way};
use crate::shares::Kept;

pub(super) const TAG: &str = "Osc.Table";
const MIB: u64 = 1 << 20;

/// A store of the bus `test`, which may keep 64 MiB.
pub(super) fn store(directory: &TempDir) -> Store {
    Store::new(directory.path(), BusName::said("test"), 64 * MIB)
}

pub(super) fn scene() -> (TempDir, Store) {
    // In `/dev/shm`, because files of other file systems have blocks of other sizes.
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = store(&directory);
    (directory, store)
}

pub(super) fn facts(tag: &str, number: u64, value: &[u8]) -> Kept {
    Kept {
        tag: tag.into(),
        name: VersionName {
            incarnation: 0x1234_5678_9abc_def0,
            number,
        },
        len: value.len() as u64,
        form: Form::Archive,
        maker: "Maker".to_owned(),
        signature: "(Table)".to_owned(),
        // A schema with one parameter.
        schema: [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7].into(),
    }
}

/// Bytes that differ for each number.
pub(super) fn value(number: u64, len: usize) -> Vec<u8> {
    let mix = |at: usize| (at as u64 ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    (0..len).map(|at| mix(at) as u8).collect()
}

#[track_caller]
pub(super) fn save(store: &Store, tag: &str, number: u64, value: &[u8]) {
    let memory = memfd::sealed("test", value).unwrap();
    store
        .save(&facts(tag, number, value), memory.as_fd())
        .unwrap();
}

/// The version that is found, and the bytes of its value.
pub(super) fn found(store: &Store, tag: &str, way: Way) -> Option<(Kept, Vec<u8>)> {
    let found = store.find(tag, way, u64::MAX).unwrap()?;
    let len = found.kept.len;
    Some((found.kept, read(found.file, len)))
}

pub(super) fn read(file: OwnedFd, len: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    File::from(file).take(len).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The file of a share.
pub(super) fn path(store: &Store, tag: &str) -> PathBuf {
    store.folder.path(tag)
}

/// The names of all files in the directory except the lock.
pub(super) fn names(directory: &TempDir) -> Vec<String> {
    let lock = BusName::said("test").lock();
    let entries = std::fs::read_dir(directory.path()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| *name != lock).collect();
    names.sort();
    names
}
