//! Texts: finding their end, and reading their escapes.

use std::borrow::Cow;

use super::fault::{Fault, Result, Why};
use super::reader::Reader;

/// Each byte of a word of eight.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of a word that end a run of plain characters: a quote, a backslash, or a control character. The
/// lowest marked byte is right; those above it need not be.
fn special(word: u64) -> u64 {
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\'))) | control
}

/// The number of plain bytes before the first that is not.
#[inline]
pub(super) fn plain(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let found = special(u64::from_le_bytes(*word));
        if found != 0 {
            return index * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let start = words.len() * 8;
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    let rest = bytes.get(start..).unwrap_or(&[]);
    start + rest.iter().position(is_special).unwrap_or(rest.len())
}

impl<'a> Reader<'a> {
    /// Reads a text whose quote was seen.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>> {
        self.advance(1);
        let start = self.place();
        self.advance(plain(self.rest()));
        let run = self.slice(start, self.place());
        if self.peek() == Some(b'"') {
            self.advance(1);
            return Ok(Cow::Borrowed(run));
        }
        self.escaped(run).map(Cow::Owned)
    }

    /// Reads the rest of a text that has escapes.
    #[cold]
    fn escaped(&mut self, begun: &str) -> Result<String> {
        let mut text = String::new();
        append(&mut text, begun)?;
        loop {
            let start = self.place();
            self.advance(plain(self.rest()));
            append(&mut text, self.slice(start, self.place()))?;
            match self.peek() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(text);
                }
                Some(b'\\') => {
                    let c = self.escape()?;
                    append(&mut text, c.encode_utf8(&mut [0; 4]))?;
                }
                _ => return Err(self.syntax("a character or the text's end")),
            }
        }
    }

    /// Skips a text whose quote was seen.
    pub(super) fn skip_string(&mut self) -> Result<()> {
        self.advance(1);
        loop {
            self.advance(plain(self.rest()));
            match self.peek() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(());
                }
                Some(b'\\') => self.escape().map(drop)?,
                _ => return Err(self.syntax("a character or the text's end")),
            }
        }
    }

    /// Reads an escape, from its backslash on.
    fn escape(&mut self) -> Result<char> {
        self.advance(1);
        let c = match self.peek() {
            Some(c @ (b'"' | b'\\' | b'/')) => char::from(c),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode(),
            _ => return Err(self.syntax("an escape")),
        };
        self.advance(1);
        Ok(c)
    }

    /// Reads a character by its number: one above U+FFFF is a pair of surrogates.
    fn unicode(&mut self) -> Result<char> {
        let first = self.hex()?;
        let number = match first {
            0xD800..=0xDBFF => {
                if !self.rest().starts_with(b"\\u") {
                    return Err(self.syntax("the second surrogate"));
                }
                self.advance(1);
                match self.hex()? {
                    second @ 0xDC00..=0xDFFF => {
                        0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
                    }
                    _ => return Err(self.syntax("the second surrogate")),
                }
            }
            number => number,
        };
        char::from_u32(number).ok_or_else(|| self.syntax("a pair of surrogates"))
    }

    /// Reads the `u` and its four digits.
    fn hex(&mut self) -> Result<u32> {
        self.advance(1);
        let mut number = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            number = number * 16 + digit.ok_or_else(|| self.syntax("four hexadecimal digits"))?;
            self.advance(1);
        }
        Ok(number)
    }
}

/// Appends to a text; fails if there is no memory for it.
pub(super) fn append(text: &mut String, part: &str) -> Result<()> {
    let reserved = text.try_reserve(part.len());
    reserved.map_err(|_| Fault::new(Why::OutOfMemory(part.len())))?;
    text.push_str(part);
    Ok(())
}
