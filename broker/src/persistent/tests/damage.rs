//! Files that were cut or changed, or that belong to others.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};

use callgate_layout::Code;

use super::*;
use crate::persistent::trailer;

const LEN: usize = 5000;

/// A saved share, with the bytes of its file.
fn saved() -> (TempDir, Store, Vec<u8>) {
    let (directory, store) = scene();
    save(&store, TAG, 1, &value(1, LEN));
    let bytes = fs::read(path(&store, TAG)).unwrap();
    (directory, store, bytes)
}

/// Replaces the file of the share.
fn put(store: &Store, bytes: &[u8]) {
    let path = path(store, TAG);
    let _ = fs::remove_file(&path);
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

/// Asserts that nothing is found, that the file was removed, and that the share can be made anew.
#[track_caller]
fn assert_removed(directory: &TempDir, store: &Store, what: &str) {
    assert!(found(store, TAG, Way::Copied).is_none(), "{what}");
    assert_eq!(names(directory), [""; 0], "{what}");
}

/// A broker that is killed while it writes would leave such a file, if files got their names earlier than at the very end.
#[test]
fn a_file_that_is_cut_anywhere_is_no_share() {
    let (directory, store, bytes) = saved();
    let trailer = trailer::length(&facts(TAG, 1, &value(1, LEN))) as usize;
    assert_eq!(bytes.len(), LEN + trailer);
    let ends = (LEN - 2..bytes.len()).chain((0..LEN).step_by(61));
    for len in ends {
        put(&store, &bytes[..len]);
        assert_removed(&directory, &store, &format!("{len} bytes"));
    }
    put(&store, &[&bytes[..], b"x"].concat());
    assert_removed(&directory, &store, "a byte more");
    put(&store, &bytes);
    assert!(found(&store, TAG, Way::Copied).is_some(), "all of it");
}

/// A wrong length or name in the trailer must not be believed, and a value with a wrong byte must not be read.
#[test]
fn a_file_of_which_a_byte_is_changed_is_no_share() {
    let (directory, store, bytes) = saved();
    let places = (LEN - 3..bytes.len()).chain((0..LEN).step_by(61));
    for (turn, at) in places.enumerate() {
        let way = [Way::Copied, Way::InPlace][turn % 2];
        for bit in [0, 7] {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            put(&store, &changed);
            assert!(found(&store, TAG, way).is_none(), "byte {at}, bit {bit}");
            assert_eq!(names(&directory), [""; 0], "byte {at}, bit {bit}");
        }
    }
}

/// Lengths whose sum overflows, or that ask for more memory than there is.
#[test]
fn a_trailer_that_lies_is_no_share() {
    let (directory, store, bytes) = saved();
    let footer = bytes.len() - trailer::FOOTER;
    for at in [0, 8, 16, 24, 28, 32, 36, 40, 48, 64, 80, 96, 104] {
        for lie in [[0; 8], [0xff; 8], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]] {
            let mut lying = bytes.clone();
            lying[footer + at..footer + at + 8].copy_from_slice(&lie);
            put(&store, &lying);
            let expected = lying == bytes;
            let found = found(&store, TAG, Way::Copied).is_some();
            assert_eq!(found, expected, "{lie:?} at {at}");
            assert_eq!(names(&directory).len(), usize::from(expected));
        }
    }
}

/// A file of a later broker, or of another program, with right checksums: its fields may mean anything.
#[test]
fn a_trailer_of_another_format_is_no_share() {
    let (directory, store, bytes) = saved();
    let footer = bytes.len() - trailer::FOOTER;
    let form = 40;
    let number = 8;
    let (format, magic) = (96, 104);
    let cases = [(form, 2_u64), (number, 0), (format, 2), (magic, 7)];
    // The highest number has none after it.
    for (at, value) in cases.into_iter().chain([(number, u64::MAX)]) {
        let mut other = bytes.clone();
        other[footer + at..footer + at + 8].copy_from_slice(&value.to_le_bytes());
        put(&store, &with_checksum(other));
        assert_removed(&directory, &store, &format!("{value} at {at}"));
    }
    // Names that no plugin can have.
    for wrong in [b'\n', 0xff] {
        let mut other = bytes.clone();
        other[LEN] = wrong;
        put(&store, &with_checksum(other));
        assert_removed(&directory, &store, "a name");
    }
    put(&store, &with_checksum(bytes));
    assert!(found(&store, TAG, Way::Copied).is_some(), "the same again");
}

/// A file in which the checksum of the trailer was corrected.
fn with_checksum(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - trailer::FOOTER;
    let (before, footer) = bytes.split_at_mut(end);
    let footer: &mut [u8; trailer::FOOTER] = footer.try_into().unwrap();
    let sum = trailer::checksum(&[&before[LEN..]], footer);
    footer[trailer::CHECKSUM].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// A file that was renamed by hand, or copied from another bus: a reader would get the value of another tag.
#[test]
fn a_file_of_another_tag_or_bus_is_no_share() {
    let (directory, store, bytes) = saved();
    let other = path(&store, "Other");
    fs::rename(path(&store, TAG), &other).unwrap();
    assert!(found(&store, "Other", Way::Copied).is_none());
    assert_eq!(names(&directory), [""; 0]);
    let bus = Store::new(directory.path(), BusName::said("other"), 64 * MIB);
    fs::write(path(&bus, TAG), &bytes).unwrap();
    fs::set_permissions(path(&bus, TAG), Permissions::from_mode(0o600)).unwrap();
    assert_eq!(bus.list().unwrap(), []);
    assert!(found(&bus, TAG, Way::Copied).is_none());
    assert!(!path(&bus, TAG).exists());
}

/// With another mode, other users could have written the file, or still write it.
#[test]
fn a_file_that_others_may_use_is_no_share() {
    let (directory, store, bytes) = saved();
    for mode in [0o644, 0o660, 0o602, 0o400, 0o000, 0o4600] {
        put(&store, &bytes);
        fs::set_permissions(path(&store, TAG), Permissions::from_mode(mode)).unwrap();
        assert_removed(&directory, &store, &format!("{mode:o}"));
    }
}

/// By a symbolic link, the broker would read any file of its user, and map it for plugins.
#[test]
fn a_link_is_no_share_and_what_it_leads_to_stays() {
    let (directory, store, bytes) = saved();
    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, &bytes).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o600)).unwrap();
    fs::remove_file(path(&store, TAG)).unwrap();
    symlink(&elsewhere, path(&store, TAG)).unwrap();
    assert!(found(&store, TAG, Way::InPlace).is_none());
    assert_eq!(names(&directory), ["elsewhere"]);
    assert_eq!(fs::read(&elsewhere).unwrap(), bytes);
}

/// Opening a pipe waits for a process that writes into it.
#[test]
fn a_pipe_is_no_share() {
    let (directory, store, _) = saved();
    fs::remove_file(path(&store, TAG)).unwrap();
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::unistd::mkfifo(&path(&store, TAG), mode).unwrap();
    assert_removed(&directory, &store, "a pipe");
}

/// A process that maps a file with holes is killed if the kernel has no memory for them.
#[test]
fn a_file_with_holes_is_no_share() {
    let (directory, store) = scene();
    save(&store, TAG, 1, &vec![0; 64 << 10]);
    let bytes = fs::read(path(&store, TAG)).unwrap();
    fs::remove_file(path(&store, TAG)).unwrap();
    let file = File::create_new(path(&store, TAG)).unwrap();
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    // The same bytes, but the zeros were never written.
    file.write_all_at(&bytes[64 << 10..], 64 << 10).unwrap();
    assert_eq!(fs::read(path(&store, TAG)).unwrap(), bytes);
    assert_removed(&directory, &store, "holes");
}

/// A file that cannot be removed must not be used, nor end the broker.
#[test]
fn a_directory_in_the_place_of_a_file_is_no_share() {
    let (_directory, store, _) = saved();
    fs::remove_file(path(&store, TAG)).unwrap();
    fs::create_dir(path(&store, TAG)).unwrap();
    assert!(found(&store, TAG, Way::Copied).is_none());
    assert!(store.list().unwrap().is_empty());
    let memory = memfd::sealed("test", &value(1, LEN)).unwrap();
    let failure = store.save(&facts(TAG, 1, &value(1, LEN)), memory.as_fd());
    assert!(failure.unwrap_err().message.contains(TAG));
}

/// The broker copied the whole of a file, however large, before it checked whether there was room for it.
#[test]
fn a_file_that_is_too_large_is_not_read() {
    let (_directory, store, _) = saved();
    let len = LEN as u64;
    let refusal = |store: &Store, way: Way, room: u64| store.find(TAG, way, room).err();
    assert_eq!(refusal(&store, Way::Copied, len), None);
    assert_eq!(refusal(&store, Way::InPlace, 0), None, "nothing is copied");
    // If the file were read, it would be found damaged.
    let file = fs::OpenOptions::new()
        .write(true)
        .open(path(&store, TAG))
        .unwrap();
    file.write_all_at(b"x", 100).unwrap();
    let failure = refusal(&store, Way::Copied, len - 1).unwrap();
    assert_eq!(failure.code, Code::Overloaded as u16, "{failure:?}");
    let small = Store::new(&store.folder.directory, store.folder.bus, len - 1);
    drop(store);
    let failure = refusal(&small, Way::InPlace, u64::MAX).unwrap();
    assert!(failure.message.contains("persistent_mib"), "{failure:?}");
    assert!(small.has(TAG), "its owner may have lowered the limit");
}

/// A file with a schema that cannot be read kept its tag from all plugins until a person removed it.
#[test]
fn a_file_of_a_type_that_nobody_can_read_is_no_share() {
    let (directory, store, _) = saved();
    let bytes = value(1, LEN);
    let memory = memfd::sealed("test", &bytes).unwrap();
    let wrong: [fn(&mut Kept); 3] = [
        |kept| kept.schema = b"none".as_slice().into(),
        |kept| kept.schema[8] = 2,
        |kept| kept.signature = "(a\nb)".into(),
    ];
    for (case, change) in wrong.into_iter().enumerate() {
        let mut kept = facts(TAG, 1, &bytes);
        change(&mut kept);
        store.save(&kept, memory.as_fd()).unwrap();
        assert_removed(&directory, &store, &format!("case {case}"));
    }
}
