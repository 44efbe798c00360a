//! Memory files, and maps of them.

use std::io::{ErrorKind, Read, Seek, Write};

use super::*;
use crate::sys::mapping::Mapping;

fn truncate(fd: &OwnedFd, len: i64) -> Result<(), Errno> {
    ftruncate(fd, len)
}

/// Nobody can shrink a new file: a map of it would fault.
#[test]
fn the_size_of_a_new_file_cannot_be_changed() {
    let file = create("test", 5000).unwrap();
    assert!(has_sealed_size(file.as_fd()));
    assert_eq!(
        File::from(file.try_clone().unwrap())
            .metadata()
            .unwrap()
            .len(),
        5000
    );
    assert_eq!(truncate(&file, 4999), Err(Errno::EPERM));
    assert_eq!(truncate(&file, 5001), Err(Errno::EPERM));
    let plain = memfd_create("test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
    assert!(!has_sealed_size(plain.as_fd()));
    for seal in [SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_GROW] {
        let half = memfd_create("test", MFdFlags::MFD_ALLOW_SEALING).unwrap();
        add(half.as_fd(), seal).unwrap();
        assert!(!has_sealed_size(half.as_fd()), "both are needed");
    }
    let (pipe, _) = io::pipe().unwrap();
    assert!(!has_sealed_size(pipe.as_fd()));
}

/// The reader of a listing cannot change it and have it pass for the broker's.
#[test]
fn a_sealed_file_holds_its_bytes_for_good() {
    let fd = sealed("test", b"as it is").unwrap();
    let mut file = File::from(fd.try_clone().unwrap());
    file.rewind().unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, "as it is");
    assert!(file.write_all(b"!").is_err() && has_sealed_size(fd.as_fd()));
    file.rewind().unwrap();
    assert!(file.write_all(b"!").is_err());
    let more = add(fd.as_fd(), SealFlag::F_SEAL_FUTURE_WRITE);
    assert_eq!(more.unwrap_err().kind(), ErrorKind::PermissionDenied);
}

/// After the seal only a process that has the file mapped writes to it, and nobody frees what is allocated.
#[test]
fn a_writer_is_the_last_one() {
    const LEN: usize = 64 << 10;
    let file = create("test", LEN).unwrap();
    assert_eq!(allocated(file.as_fd()).unwrap(), 0);
    allocate(file.as_fd(), LEN).unwrap();
    assert_eq!(allocated(file.as_fd()).unwrap(), LEN as u64);
    let open = |writable| reopen(file.as_fd(), writable);
    assert!(File::from(open(false).unwrap()).write(b"x").is_err());
    let writer = Mapping::writable(open(true).unwrap(), LEN).unwrap();
    seal_writer(file.as_fd()).unwrap();
    assert!(Mapping::writable(file.try_clone().unwrap(), LEN).is_err());
    assert!(Mapping::read_only(file.try_clone().unwrap(), LEN).is_ok());
    assert!(writer.is_writable());
    assert!(seal_seals(file.as_fd()).is_err(), "no more seals");
}

/// A peer cannot seal a doorbell: doorbells stay writable.
#[test]
fn seals_can_be_kept_as_they_are() {
    let file = create("test", 4096).unwrap();
    seal_seals(file.as_fd()).unwrap();
    assert!(seal_writer(file.as_fd()).is_err());
    assert!(Mapping::writable(file, 4096).is_ok());
}

/// A peer's file that is too short, or could shrink, is not mapped.
#[test]
fn only_whole_files_of_a_sealed_size_are_mapped() {
    let file = |len| create("test", len).unwrap();
    for (has, wanted, is_whole) in [(4096, 4096, true), (8192, 4096, true), (4095, 4096, false)] {
        let read = Mapping::read_only(file(has), wanted);
        assert_eq!(read.is_ok(), is_whole, "{has}");
        assert_eq!(
            Mapping::writable(file(has), wanted).is_ok(),
            is_whole,
            "{has}"
        );
    }
    let unsealed = || unsealed("test", 4096).unwrap();
    assert!(Mapping::read_only(unsealed(), 4096).is_err());
    assert!(Mapping::writable(unsealed(), 4096).is_err());
    let map = Mapping::read_only(file(8192), 4096).unwrap();
    assert_eq!(
        (map.len(), map.is_empty(), map.is_writable()),
        (4096, false, false)
    );
    let map = Mapping::writable(file(8192), 8192).unwrap();
    assert!(map.is_writable() && map.len() == 8192);
}

/// Maps are not inherited by a forked child, are not in a core dump, and end with their last view.
#[test]
fn a_map_is_this_process_s_alone_and_goes() {
    const LEN: usize = 12 << 12;
    let map = Mapping::writable(create("test-of-maps", LEN).unwrap(), LEN).unwrap();
    let flags = || {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let (_, ours) = maps.split_once("test-of-maps")?;
        let line = ours.lines().find(|line| line.starts_with("VmFlags:"))?;
        Some(line.to_owned())
    };
    let shown = flags().expect("it is mapped");
    let has = |flag| shown.split_whitespace().any(|word| word == flag);
    assert!(has("dc") && has("dd"), "{shown}");
    drop(map);
    assert_eq!(flags(), None);
}

/// Nobody can change memory that is sealed for good: a reader of a share takes it for a plain slice.
#[test]
fn what_is_sealed_for_good_nobody_changes() {
    const LEN: usize = 64 << 10;
    let file = create("test", LEN).unwrap();
    let map = Mapping::writable(file.try_clone().unwrap(), LEN).unwrap();
    let busy = seal_for_good(file.as_fd()).unwrap_err();
    assert_eq!(busy.kind(), ErrorKind::ResourceBusy);
    assert!(!is_sealed_for_good(file.as_fd()));
    drop(map);
    seal_for_good(file.as_fd()).unwrap();
    assert!(is_sealed_for_good(file.as_fd()) && is_in_memory(file.as_fd()));
    assert_eq!(len(file.as_fd()).unwrap(), LEN as u64);
    assert!(File::from(file.try_clone().unwrap()).write(b"x").is_err());
    assert!(Mapping::writable(file.try_clone().unwrap(), LEN).is_err());
    assert!(Mapping::read_only(file, LEN).is_ok());
}

/// A file that a plugin sends counts as sealed for good only if nobody can change it.
#[test]
fn what_could_change_is_not_sealed_for_good() {
    let (pipe, _) = io::pipe().unwrap();
    let disk = File::open("/proc/self/exe").unwrap();
    for other in [pipe.as_fd(), disk.as_fd()] {
        assert!(!is_sealed_for_good(other) && !is_in_memory(other));
    }
    let all = [
        SealFlag::F_SEAL_SHRINK,
        SealFlag::F_SEAL_GROW,
        SealFlag::F_SEAL_WRITE,
        SealFlag::F_SEAL_SEAL,
    ];
    for missing in all {
        let file = unsealed("test", 4096).unwrap();
        let seals = all.iter().filter(|seal| **seal != missing);
        seals.for_each(|seal| add(file.as_fd(), *seal).unwrap());
        assert!(has_seals(file.as_fd(), for_good().difference(missing)));
        assert!(!is_sealed_for_good(file.as_fd()), "{missing:?}");
    }
}
