//! A pull reader of JSON (RFC 8259): the caller says what it expects, and the reader reads that or fails.

use core::str;

use super::LEVELS;
use super::fault::{Fault, Result, Why, excerpt};

/// How many bytes of memory values may take in any case, and how many times their text's length: a few bytes of
/// text can stand for a large value (`{}` for a struct of defaults, `null` for an `Option` of an array).
const MEMORY: usize = 256 << 20;
const TIMES: usize = 16;

/// Reads a JSON text from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    /// The index of the next byte.
    at: usize,
    /// How many more levels may begin.
    levels: u32,
    /// How many more bytes of memory the values may take.
    memory: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the beginning of a text; fails if it is not UTF-8.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Reader<'a>> {
        let text = str::from_utf8(bytes).map_err(|why| {
            let at = why.valid_up_to();
            Fault::new(Why::Syntax {
                expected: "UTF-8",
                at,
            })
        })?;
        Ok(Reader::of_text(text))
    }

    pub(super) fn of_text(text: &'a str) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            levels: LEVELS,
            memory: MEMORY.max(text.len().saturating_mul(TIMES)),
        }
    }

    /// A reader of another text, with as many levels left.
    pub(super) fn at_same_level<'b>(&self, text: &'b str) -> Reader<'b> {
        Reader {
            text,
            at: 0,
            levels: self.levels,
            memory: self.memory,
        }
    }

    /// Allows one more level, for the list of parameters.
    pub(crate) fn for_arguments(mut self) -> Reader<'a> {
        self.levels += 1;
        self
    }

    /// Limits the memory of values, for tests.
    #[cfg(test)]
    pub(super) fn with_memory(mut self, memory: usize) -> Reader<'a> {
        self.memory = memory;
        self
    }

    /// The index of the next byte.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// The bytes from the present place on.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    /// The text between two places; empty if one of them is inside a character.
    #[inline]
    pub(super) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or("")
    }

    #[inline]
    pub(super) fn advance(&mut self, by: usize) {
        self.at += by;
    }

    /// The next byte, without taking it.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space, and returns the next byte without taking it.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Skips white space, and takes the next byte if it is this one.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.next() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes a word whose first byte was seen.
    #[inline]
    pub(super) fn word(&mut self, word: &'static str) -> Result<()> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.syntax(word));
        }
        self.at += word.len();
        Ok(())
    }

    /// Fails if anything but white space follows.
    pub(crate) fn end(&mut self) -> Result<()> {
        match self.next() {
            None => Ok(()),
            Some(_) => Err(self.syntax("the end")),
        }
    }

    /// Begins a level.
    #[inline]
    pub(super) fn enter(&mut self) -> Result<()> {
        match self.levels.checked_sub(1) {
            Some(left) => self.levels = left,
            None => return Err(Fault::new(Why::TooDeep)),
        }
        Ok(())
    }

    /// Ends a level.
    #[inline]
    pub(super) fn leave(&mut self) {
        self.levels += 1;
    }

    /// Counts memory that a value allocates; fails if it is too much.
    #[inline]
    pub(super) fn hold(&mut self, bytes: usize) -> Result<()> {
        match self.memory.checked_sub(bytes) {
            Some(left) => self.memory = left,
            None => return Err(Fault::new(Why::TooMuch)),
        }
        Ok(())
    }

    /// How many more bytes of memory values may take.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Counts memory of which the caller has checked that it is not too much.
    #[inline]
    pub(super) fn held(&mut self, bytes: usize) {
        self.memory = self.memory.saturating_sub(bytes);
    }

    pub(super) fn levels(&self) -> u32 {
        self.levels
    }

    /// Reads the content of a newtype.
    #[inline]
    pub fn newtype<T: super::JsonType>(&mut self) -> Result<T> {
        self.enter()?;
        let value = T::read(self)?;
        self.leave();
        Ok(value)
    }

    /// The fault of a text that is not JSON at this place.
    #[cold]
    pub(super) fn syntax(&self, expected: &'static str) -> Fault {
        Fault::new(Why::Syntax {
            expected,
            at: self.at,
        })
    }

    /// The fault of a value of another type at this place.
    #[cold]
    pub(super) fn wrong(mut self, expected: &str) -> Fault {
        let found = match self.next() {
            Some(b'n') => {
                let expected = expected.to_owned();
                return Fault::new(Why::Null { expected });
            }
            Some(b't' | b'f') => "a truth value".to_owned(),
            Some(b'"') => "a text".to_owned(),
            Some(b'[') => "a list".to_owned(),
            Some(b'{') => "an object".to_owned(),
            Some(b'-' | b'0'..=b'9') => match self.literal() {
                Ok(literal) => excerpt(literal),
                Err(fault) => return fault,
            },
            _ => return self.syntax("a value"),
        };
        Fault::mismatch(expected, found)
    }
}
