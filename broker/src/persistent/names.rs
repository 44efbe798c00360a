//! The names of the files of persistent shares.
//!
//! | name | file |
//! |---|---|
//! | `callgate.BUS` | the lock of a bus |
//! | `callgate.BUS.TAG` | the last complete version of a share |
//! | `callgate.BUS.TAG.new` | a version that is being written |
//!
//! BUS and TAG are hashes in hexadecimal digits, because paths of sockets have slashes, and tags can be longer than a file's name. The hash
//! of a tag has 256 bits, made of two of 128: XXH3 is not made to withstand a search for a second text of the same hash, and a plugin that
//! may make one share must not be able to replace another one.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

/// The end of the name of a file that is being written.
const UNFINISHED: &str = ".new";
/// Number of digits of the hash of a tag.
const DIGITS: usize = 64;
/// The seed for names that embedded brokers are given, so that none of them hashes like the path of a socket.
const SAID: u64 = 1;
/// The seeds of the two halves of a tag's hash.
const HALVES: [u64; 2] = [0, 1];

/// The name of a bus, as a hash, by which its files are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BusName(pub(super) u128);

impl BusName {
    /// The bus whose plugins connect to this socket. Different paths of the same socket give the same bus.
    pub(crate) fn of_socket(path: &Path) -> BusName {
        let directory = callgate_layout::socket::directory_of(path);
        let whole = directory.canonicalize().ok().zip(path.file_name());
        let whole = whole.map_or_else(|| path.to_owned(), |(directory, name)| directory.join(name));
        BusName(xxh3_128(whole.as_os_str().as_bytes()))
    }

    /// The bus of a broker that was given this name.
    pub(crate) fn said(name: &str) -> BusName {
        BusName(xxh3_128_with_seed(name.as_bytes(), SAID))
    }

    /// The name of the lock file.
    pub(super) fn lock(self) -> String {
        format!("callgate.{:032x}", self.0)
    }

    /// The name of the file of a share.
    pub(super) fn file(self, tag: &str) -> String {
        let [one, other] = HALVES.map(|seed| xxh3_128_with_seed(tag.as_bytes(), seed));
        format!("{}.{one:032x}{other:032x}", self.lock())
    }

    /// The name of the file into which a version of a share is written.
    pub(super) fn unfinished(self, tag: &str) -> String {
        self.file(tag) + UNFINISHED
    }

    /// The kind of a file of this bus by its name; `None` for other files.
    pub(super) fn kind(self, file: &str) -> Option<Kind> {
        let rest = file.strip_prefix(&self.lock())?.strip_prefix('.')?;
        let (hash, end) = rest.split_at_checked(DIGITS)?;
        let is_hash = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match end {
            "" if is_hash => Some(Kind::Share),
            UNFINISHED if is_hash => Some(Kind::Unfinished),
            _ => None,
        }
    }
}

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A complete version.
    Share,
    /// A version that is being written, or whose writing was interrupted.
    Unfinished,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two brokers of one socket would each have files of their own if one was started with a relative path.
    #[test]
    fn a_socket_has_one_name_however_its_path_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::os::unix::fs::symlink(&inner, directory.path().join("link")).unwrap();
        let name = BusName::of_socket(&inner.join("bus.sock"));
        for other in ["inner/../inner/./bus.sock", "link/bus.sock"] {
            assert_eq!(BusName::of_socket(&directory.path().join(other)), name);
        }
        assert_ne!(BusName::of_socket(&inner.join("other.sock")), name);
        assert_ne!(
            BusName::said(inner.join("bus.sock").to_str().unwrap()),
            name
        );
    }

    /// The sweep must neither remove another bus's files nor files that are not the store's.
    #[test]
    fn names_say_what_a_file_is() {
        let (bus, other) = (BusName::said("one"), BusName::said("other"));
        let (share, unfinished) = (bus.file("A.B"), bus.unfinished("A.B"));
        assert_eq!(bus.kind(&share), Some(Kind::Share));
        assert_eq!(bus.kind(&unfinished), Some(Kind::Unfinished));
        let none = ["", ".", ".x", ".new", ".é"].map(|end| bus.lock() + end);
        let none = none
            .into_iter()
            .chain([format!("{share}.old"), format!("{share}0")]);
        for name in none.chain([other.file("A.B"), other.unfinished("A.B"), String::new()]) {
            assert_eq!(bus.kind(&name), None, "{name}");
        }
    }
}
