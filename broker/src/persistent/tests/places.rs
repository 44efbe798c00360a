//! The store's directory and its lock: one broker at a time uses the files.

use std::fs;
use std::os::unix::fs::symlink;

use callgate_layout::Code;
use callgate_layout::control::Failure;

use super::*;

fn try_save(store: &Store) -> Result<(), Failure> {
    let bytes = value(1, 5000);
    let memory = memfd::sealed("test", &bytes).unwrap();
    let saved = store.save(&facts(TAG, 1, &bytes), memory.as_fd());
    saved.map(drop)
}

/// Two brokers of one name would write into each other's files, and remove them.
#[test]
fn a_second_broker_of_a_name_has_no_persistent_shares() {
    let (directory, first) = scene();
    try_save(&first).unwrap();
    let second = store(&directory);
    let mine = format!("process {}", std::process::id());
    let refused = [
        try_save(&second),
        second.find(TAG, Way::Copied, u64::MAX).map(drop),
        second.remove(TAG).map(drop),
        second.sweep(),
    ];
    for failure in refused {
        let failure = failure.unwrap_err();
        assert_eq!(failure.code, Code::System as u16, "{failure:?}");
        assert!(failure.message.contains(&mine), "{failure:?}");
    }
    drop(first);
    assert!(found(&second, TAG, Way::Copied).is_some());
    assert!(second.remove(TAG).unwrap());
    // A bus without persistent shares leaves no files.
    drop(second);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// A broker that never saves anything would leave a lock file behind each time it is killed.
#[test]
fn what_needs_no_file_takes_no_lock() {
    let (directory, store) = scene();
    store.sweep().unwrap();
    assert!(found(&store, TAG, Way::Copied).is_none());
    assert!(!store.remove(TAG).unwrap());
    assert_eq!(store.list().unwrap(), []);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

/// What a killed broker has left takes memory; for good, if its tag is never made again.
#[test]
fn what_was_left_unfinished_is_swept() {
    let (directory, first) = scene();
    save(&first, "Other", 1, &value(1, 300));
    drop(first);
    let left = BusName::said("test").unfinished(TAG);
    let another = BusName::said("other").unfinished(TAG);
    for name in [&left, &another] {
        fs::write(directory.path().join(name), "half").unwrap();
    }
    symlink(
        "/nowhere",
        directory.path().join(BusName::said("test").unfinished("X")),
    )
    .unwrap();
    let second = store(&directory);
    second.sweep().unwrap();
    let kept = BusName::said("test").file("Other");
    let mut expected = [another, kept];
    expected.sort();
    assert_eq!(names(&directory), expected);
    // Removed also by a broker that does not sweep, when it saves for the first time.
    drop(second);
    fs::write(directory.path().join(&left), "half").unwrap();
    let third = store(&directory);
    try_save(&third).unwrap();
    assert!(!names(&directory).contains(&left));
}

/// systemd-logind removes all files of a user who has logged out (RemoveIPC), also the lock.
#[test]
fn a_broker_whose_lock_was_removed_takes_it_again_unless_another_one_has() {
    let (directory, first) = scene();
    try_save(&first).unwrap();
    let lock = directory.path().join(BusName::said("test").lock());
    fs::remove_file(&lock).unwrap();
    try_save(&first).unwrap();
    assert!(lock.exists());
    fs::remove_file(&lock).unwrap();
    let second = store(&directory);
    try_save(&second).unwrap();
    assert!(try_save(&first).is_err());
    drop(second);
    try_save(&first).unwrap();
}

/// Another user can make files in `/dev/shm` whose names are easily known.
#[test]
fn what_is_another_user_s_is_neither_used_nor_taken_for_a_lock() {
    let (directory, first) = scene();
    let lock = directory.path().join(BusName::said("test").lock());
    let nobody = nix::unistd::Uid::from_raw(65534);
    let give_away = |path: &std::path::Path| nix::unistd::chown(path, Some(nobody), None);
    try_save(&first).unwrap();
    if give_away(&path(&first, TAG)).is_err() {
        println!("skipped: only the super-user gives files away");
        return;
    }
    assert!(found(&first, TAG, Way::Copied).is_none());
    drop(first);
    fs::write(&lock, "").unwrap();
    give_away(&lock).unwrap();
    let second = store(&directory);
    let failure = try_save(&second).unwrap_err();
    assert!(failure.message.contains("user 65534"), "{failure:?}");
}

/// A container may not have the directory.
#[test]
fn a_directory_that_is_missing_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("shm"), BusName::said("test"), MIB);
    assert!(found(&store, TAG, Way::Copied).is_none());
    assert_eq!(store.list().unwrap(), []);
    let failure = try_save(&store).unwrap_err();
    assert_eq!(failure.code, Code::System as u16);
    assert!(failure.message.contains("/shm/"), "{failure:?}");
}
