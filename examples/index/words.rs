//! The shared type: the words of a file, how often each occurs, and in which lines.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::Path;
use std::time::UNIX_EPOCH;

use callgate_client::gate_type;

/// The tag under which the plugins find the index.
pub(crate) const TAG: &str = "Index.Words";

/// The index of a file.
///
/// `gate_type` is enough to share it. It also makes `ArchivedIndex`: the index in the form in which it lies in shared
/// memory, where readers search it without a copy.
#[gate_type]
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Index {
    /// The file that was indexed, and its state then.
    pub(crate) source: Source,
    /// How many words there are in all.
    pub(crate) total: u64,
    /// Each word once, in order.
    pub(crate) words: Vec<Entry>,
}

/// A file in a certain state.
#[gate_type]
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) len: u64,
    /// When it was last changed, in nanoseconds since 1970; 0 if the file system does not record it.
    pub(crate) changed: u64,
}

/// A word: letters and digits of any script, in lower case.
#[gate_type]
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) word: String,
    pub(crate) count: u64,
    /// The lines in which it occurs, counted from 1.
    pub(crate) lines: Vec<u32>,
}

impl Source {
    /// The present state of a file.
    pub(crate) fn look(path: &Path) -> io::Result<Source> {
        Ok(Source::of(path, &fs::metadata(path)?))
    }

    fn of(path: &Path, metadata: &Metadata) -> Source {
        let changed = metadata.modified().ok();
        let changed = changed.and_then(|changed| changed.duration_since(UNIX_EPOCH).ok());
        Source {
            path: path.to_string_lossy().into_owned(),
            len: metadata.len(),
            changed: changed.map_or(0, |changed| changed.as_nanos() as u64),
        }
    }
}

impl Index {
    /// Reads a file and counts its words.
    pub(crate) fn read(path: &Path) -> io::Result<Index> {
        // Note the file's state before reading it: if the file changes meanwhile, the index counts as out of date.
        let source = Source::look(path)?;
        let bytes = fs::read(path)?;
        Ok(Index::of(source, &String::from_utf8_lossy(&bytes)))
    }

    fn of(source: Source, text: &str) -> Index {
        let mut words = BTreeMap::<String, Entry>::new();
        let mut total = 0;
        for (number, line) in (1..).zip(text.lines()) {
            for word in split(line) {
                let entry = words
                    .entry(word)
                    .or_insert_with_key(|word| Entry::new(word));
                entry.count += 1;
                total += 1;
                if entry.lines.last() != Some(&number) {
                    entry.lines.push(number);
                }
            }
        }
        Index {
            source,
            total,
            words: words.into_values().collect(),
        }
    }
}

impl Entry {
    fn new(word: &str) -> Entry {
        Entry {
            word: word.to_owned(),
            count: 0,
            lines: Vec::new(),
        }
    }
}

impl ArchivedIndex {
    /// Whether the index was made from this state of the file.
    pub(crate) fn is_of(&self, source: &Source) -> bool {
        let own = &self.source;
        own.path.as_str() == source.path && own.len == source.len && own.changed == source.changed
    }

    /// Looks a word up in the archived index, without a copy.
    pub(crate) fn find(&self, word: &str) -> Option<&ArchivedEntry> {
        let word = word.to_lowercase();
        let found = self
            .words
            .binary_search_by(|entry| entry.word.as_str().cmp(&word));
        found.ok().map(|at| &self.words[at])
    }
}

fn split(line: &str) -> impl Iterator<Item = String> {
    let words = line.split(|c: char| !c.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_and_their_lines_known() {
        let text = "The cat, the dog.\n\nA cat's tail\nÄpfel, äpfel!";
        let index = Index::of(Source::default(), text);
        let row = |entry: &Entry| (entry.word.clone(), entry.count, entry.lines.clone());
        let rows: Vec<_> = index.words.iter().map(row).collect();
        let expected = [
            ("a", 1, vec![3]),
            ("cat", 2, vec![1, 3]),
            ("dog", 1, vec![1]),
            ("s", 1, vec![3]),
            ("tail", 1, vec![3]),
            ("the", 2, vec![1]),
            ("äpfel", 2, vec![4]),
        ];
        let expected = expected.map(|(word, count, lines)| (word.to_owned(), count, lines));
        assert_eq!(rows, expected);
        assert_eq!(index.total, 10);
    }

    #[test]
    fn a_file_that_was_written_to_is_in_another_state() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        fs::write(&path, "one").unwrap();
        let index = Index::read(&path).unwrap();
        assert_eq!(Source::look(&path).unwrap(), index.source);
        fs::write(&path, "one two").unwrap();
        assert_ne!(Source::look(&path).unwrap(), index.source);
    }
}
