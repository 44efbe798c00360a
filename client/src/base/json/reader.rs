//! A pull reader of JSON (RFC 8259): what is asked for is read, or refused.

use core::str;

use super::LEVELS;
use super::fault::{Fault, Result, Why, excerpt};

/// How much memory values may take in any case, and how many times their text's length: a few bytes of text can
/// stand for a large value (`{}` for a struct of defaults, `null` for an `Option` of an array).
const MEMORY: usize = 256 << 20;
const TIMES: usize = 16;

/// JSON that is read from its beginning to its end.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    /// Where the next byte is.
    at: usize,
    /// How many levels may still begin.
    levels: u32,
    /// How many bytes of memory its values may still take.
    memory: usize,
}

impl<'a> Reader<'a> {
    /// Reads a text from its beginning; an error where it is not UTF-8.
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

    /// Reads another text, with as many levels left.
    pub(super) fn at_same_level<'b>(&self, text: &'b str) -> Reader<'b> {
        Reader {
            text,
            at: 0,
            levels: self.levels,
            memory: self.memory,
        }
    }

    /// Lets the list of parameters be a level of its own.
    pub(crate) fn for_arguments(mut self) -> Reader<'a> {
        self.levels += 1;
        self
    }

    /// Lets values take no more memory than this.
    #[cfg(test)]
    pub(super) fn with_memory(mut self, memory: usize) -> Reader<'a> {
        self.memory = memory;
        self
    }

    /// Where it is.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// What comes next, from the present place on.
    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    /// The text between two places; empty where one of them is inside of a character.
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

    /// The first byte of what comes after white space.
    #[inline]
    pub(super) fn next(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Takes this byte, if it is what comes after white space.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.next() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// Takes a word of which the first byte has been seen.
    #[inline]
    pub(super) fn word(&mut self, word: &'static str) -> Result<()> {
        if !self.rest().starts_with(word.as_bytes()) {
            return Err(self.syntax(word));
        }
        self.at += word.len();
        Ok(())
    }

    /// Refuses anything but white space behind the value.
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

    /// Counts memory that a value takes elsewhere than where it is read; an error where it is too much.
    #[inline]
    pub(super) fn hold(&mut self, bytes: usize) -> Result<()> {
        match self.memory.checked_sub(bytes) {
            Some(left) => self.memory = left,
            None => return Err(Fault::new(Why::TooMuch)),
        }
        Ok(())
    }

    /// How much memory values may still take.
    #[inline]
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Counts memory that is no more than there may be.
    #[inline]
    pub(super) fn held(&mut self, bytes: usize) {
        self.memory = self.memory.saturating_sub(bytes);
    }

    pub(super) fn levels(&self) -> u32 {
        self.levels
    }

    /// Reads what is in a newtype.
    #[inline]
    pub fn newtype<T: super::JsonType>(&mut self) -> Result<T> {
        self.enter()?;
        let value = T::read(self)?;
        self.leave();
        Ok(value)
    }

    /// The text is no JSON here.
    #[cold]
    pub(super) fn syntax(&self, expected: &'static str) -> Fault {
        Fault::new(Why::Syntax {
            expected,
            at: self.at,
        })
    }

    /// What comes next is something else.
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
