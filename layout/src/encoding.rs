//! The encodings of payloads.

// A derive makes the fields of archived structs, and leaves them undocumented.
#![allow(missing_docs)]

use rkyv::{Archive, Deserialize, Serialize};

/// The encoding of a call's payload; a result has the encoding of its call.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// As an archive, which both sides lay out alike.
    Archive,
    /// As JSON.
    Json,
}

/// A set of encodings: those that one side accepts or can write.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Encodings {
    archive: bool,
    json: bool,
}

impl Encodings {
    /// None at all.
    pub const NONE: Encodings = Encodings::new(false, false);
    /// Archives alone.
    pub const ARCHIVE: Encodings = Encodings::new(true, false);
    /// JSON alone.
    pub const JSON: Encodings = Encodings::new(false, true);
    /// Both.
    pub const BOTH: Encodings = Encodings::new(true, true);

    const fn new(archive: bool, json: bool) -> Encodings {
        Encodings { archive, json }
    }

    /// Whether an encoding is one of these.
    #[inline]
    pub const fn has(self, encoding: Encoding) -> bool {
        match encoding {
            Encoding::Archive => self.archive,
            Encoding::Json => self.json,
        }
    }

    /// Those that are in both sets.
    pub const fn common(self, other: Encodings) -> Encodings {
        Encodings::new(self.archive && other.archive, self.json && other.json)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        !self.archive && !self.json
    }

    /// The set for people: `archives and JSON`.
    pub const fn as_str(self) -> &'static str {
        match (self.archive, self.json) {
            (true, true) => "archives and JSON",
            (true, false) => "archives",
            (false, true) => "JSON",
            (false, false) => "nothing",
        }
    }
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_common_is_in_both() {
        let all = [
            Encodings::NONE,
            Encodings::ARCHIVE,
            Encodings::JSON,
            Encodings::BOTH,
        ];
        for (a, b) in all.into_iter().flat_map(|a| all.map(|b| (a, b))) {
            let common = a.common(b);
            for encoding in [Encoding::Archive, Encoding::Json] {
                assert_eq!(common.has(encoding), a.has(encoding) && b.has(encoding));
            }
            assert_eq!(common.is_empty(), common == Encodings::NONE, "{a:?} {b:?}");
        }
    }
}
