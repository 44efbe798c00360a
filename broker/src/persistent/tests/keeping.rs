//! Saved versions are found again.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;

use callgate_layout::Code;
use callgate_layout::control::Form;
use callgate_layout::sys::memfd;

use super::*;
use crate::persistent::files::Unfinished;

/// Values of lengths around the size of a piece that is copied at once; found by a store that did not save them.
#[test]
fn what_is_saved_is_found_by_the_next_store() {
    let (directory, mut keeper) = scene();
    for len in [1, 7, 4096, 256 << 10, (256 << 10) + 1, 3 << 20] {
        let bytes = value(3, len);
        save(&keeper, TAG, 3, &bytes);
        drop(keeper);
        keeper = store(&directory);
        for way in [Way::Copied, Way::InPlace] {
            let (found, read) = found(&keeper, TAG, way).unwrap();
            assert_eq!(found, facts(TAG, 3, &bytes));
            assert!(read == bytes, "{len} bytes differ");
        }
    }
}

/// A plugin must not be able to change what others read as a plain slice.
#[test]
fn a_copy_is_sealed_for_good_and_the_file_is_for_reading() {
    let (_directory, store) = scene();
    save(&store, TAG, 1, &value(1, 9000));
    let sealed = store
        .find(TAG, Way::Copied, u64::MAX)
        .unwrap()
        .unwrap()
        .file;
    assert!(memfd::is_sealed_for_good(sealed.as_fd()));
    assert_eq!(memfd::len(sealed.as_fd()).unwrap(), 9000);
    let in_place = store
        .find(TAG, Way::InPlace, u64::MAX)
        .unwrap()
        .unwrap()
        .file;
    for file in [sealed, in_place] {
        assert!(File::from(file).write(b"x").is_err());
    }
}

/// A reader that keeps the old file mapped must neither see the new one nor keep it from being saved.
#[test]
fn a_new_version_takes_the_place_of_the_one_before() {
    let (directory, store) = scene();
    let (old, new) = (value(1, 9000), value(2, 5000));
    save(&store, TAG, 1, &old);
    let reader = store.find(TAG, Way::InPlace, u64::MAX).unwrap().unwrap();
    save(&store, TAG, 2, &new);
    assert_eq!(names(&directory).len(), 1);
    let (facts, bytes) = found(&store, TAG, Way::Copied).unwrap();
    assert!(facts.name.number == 2 && bytes == new);
    assert!(read(reader.file, reader.kept.len) == old);
}

#[test]
fn a_removed_share_is_found_no_more_and_its_readers_keep_it() {
    let (directory, store) = scene();
    let bytes = value(1, 9000);
    save(&store, TAG, 1, &bytes);
    save(&store, "Other", 1, &bytes);
    let reader = store.find(TAG, Way::InPlace, u64::MAX).unwrap().unwrap();
    assert!(store.remove(TAG).unwrap());
    assert!(!store.remove(TAG).unwrap());
    assert!(found(&store, TAG, Way::Copied).is_none());
    assert!(found(&store, "Other", Way::Copied).is_some());
    assert_eq!(names(&directory).len(), 1);
    assert!(read(reader.file, reader.kept.len) == bytes);
}

/// Persistent shares take memory even if no plugin uses them, so they are listed.
#[test]
fn all_that_is_kept_is_listed_by_tag() {
    let (directory, keeper) = scene();
    assert_eq!(keeper.list().unwrap(), []);
    save(&keeper, "B", 7, &value(7, 300));
    let memory = memfd::sealed("test", &value(1, 400)).unwrap();
    let mut slice = facts("A", 1, &value(1, 400));
    slice.form = Form::Slice;
    keeper.save(&slice, memory.as_fd()).unwrap();
    let other = Store::new(directory.path(), BusName::said("other"), 64 * MIB);
    save(&other, "C", 1, &value(1, 300));
    drop(other);
    let all = [slice, facts("B", 7, &value(7, 300))];
    assert_eq!(keeper.list().unwrap(), all);
    // A damaged file is left out, and listing changes nothing.
    std::fs::write(path(&keeper, "A"), "x").unwrap();
    assert_eq!(keeper.list().unwrap(), all[1..]);
    assert_eq!(names(&directory).len(), 3);
}

/// When a plugin publishes on a share that nobody uses, numbers must go on: an old number would stand for another version.
#[test]
fn numbers_go_on_where_the_file_is() {
    let (_directory, store) = scene();
    save(&store, TAG, 7, &value(7, 300));
    let bytes = value(8, 400);
    let memory = memfd::sealed("test", &bytes).unwrap();
    let saved = |name, of: &Kept| {
        let kept = Kept { name, ..of.clone() };
        store.save(&kept, memory.as_fd())
    };
    let new = facts(TAG, 1, &bytes);
    let unknown = VersionName {
        incarnation: 99,
        number: 1,
    };
    let incarnation = new.name.incarnation;
    let next = |number| VersionName {
        incarnation,
        number,
    };
    assert_eq!(saved(unknown, &new).unwrap(), next(8));
    assert_eq!(found(&store, TAG, Way::Copied).unwrap().0.name, next(8));
    // A broker that knows the share has numbered the version itself.
    assert_eq!(saved(next(9), &new).unwrap(), next(9));
    let returned = VersionName {
        incarnation: 5,
        number: 30,
    };
    assert_eq!(saved(returned, &new).unwrap(), returned);
    // A value of another type cannot be a version of this share.
    let slice = Kept {
        form: Form::Slice,
        ..new
    };
    let failure = saved(unknown, &slice).unwrap_err();
    assert_eq!(failure.code, Code::ShareTypeMismatch as u16, "{failure:?}");
    assert_eq!(found(&store, TAG, Way::Copied).unwrap().0.name, returned);
}

/// One plugin must not be able to fill the machine's memory for as long as it runs.
#[test]
fn more_than_the_bus_may_keep_is_refused_and_the_rest_stays() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let store = Store::new(directory.path(), BusName::said("test"), MIB);
    let bytes = value(1, 600 << 10);
    save(&store, TAG, 1, &bytes);
    // The file that is replaced does not count beside the new one.
    save(&store, TAG, 2, &bytes);
    let memory = memfd::sealed("test", &bytes).unwrap();
    let failure = store.save(&facts("Other", 1, &bytes), memory.as_fd());
    let failure = failure.unwrap_err();
    assert_eq!(failure.code, Code::Overloaded as u16);
    for part in ["Other", "1 MiB", "persistent_mib", "callgate share rm"] {
        assert!(failure.message.contains(part), "{failure:?}");
    }
    assert_eq!(found(&store, TAG, Way::Copied).unwrap().0.name.number, 2);
    assert_eq!(names(&directory).len(), 1);
    assert!(store.remove(TAG).unwrap());
    save(&store, "Other", 1, &bytes);
}

/// Otherwise a write could fail half-way, or the kernel kill the process for want of memory.
#[test]
fn what_is_begun_has_all_its_memory() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let path = directory.path().join("new");
    // Left by a broker that was killed.
    std::fs::write(&path, "half").unwrap();
    let unfinished = Unfinished::make(path.clone(), MIB).unwrap();
    let file = unfinished.file();
    assert_eq!(file.metadata().unwrap().len(), MIB);
    assert_eq!(memfd::allocated(file.as_fd()).unwrap(), MIB);
    drop(unfinished);
    assert!(!path.exists());
    let more = u64::MAX >> 1;
    assert!(Unfinished::make(path.clone(), more).is_err());
    assert!(!path.exists());
}

/// An incomplete file must not get the share's name, and must not be left behind.
#[test]
fn a_value_that_cannot_be_copied_leaves_the_last_version() {
    let (directory, store) = scene();
    save(&store, TAG, 1, &value(1, 5000));
    let memory = memfd::sealed("test", &value(2, 5000)).unwrap();
    let mut long = facts(TAG, 2, &value(2, 5000));
    long.len = 9000;
    let failure = store.save(&long, memory.as_fd()).unwrap_err();
    assert_eq!(failure.code, Code::System as u16, "{failure:?}");
    assert!(failure.message.contains(TAG), "{failure:?}");
    assert_eq!(found(&store, TAG, Way::Copied).unwrap().0.name.number, 1);
    assert_eq!(names(&directory).len(), 1);
}
