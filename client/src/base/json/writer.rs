//! Writing JSON into a buffer, up to a length.

use core::fmt;
use std::io;

use callgate_layout::buffer::Buffer;
use serde_json::ser::CompactFormatter;

use super::digits::{Digits, MANY, ONE};
use super::fault::{Fault, Result, Why};
use super::{JsonType, LEVELS, strings};
use crate::base::buffers::Pool;

/// Appends JSON to a buffer.
#[derive(Debug)]
pub struct Writer<'w> {
    out: &'w mut Buffer,
    /// The pool from which larger buffers come.
    pool: Option<&'w Pool>,
    /// The longest text, in bytes.
    most: usize,
    /// How many more levels may begin.
    levels: u32,
    /// The reason why serde_json failed, whose own errors cannot hold it.
    failed: Option<Fault>,
}

impl<'w> Writer<'w> {
    /// Writes into a buffer, replacing its content. It grows to `most` bytes.
    pub(crate) fn new(out: &'w mut Buffer, pool: Option<&'w Pool>, most: usize) -> Writer<'w> {
        out.clear();
        Writer {
            out,
            pool,
            most,
            levels: LEVELS,
            failed: None,
        }
    }

    /// Allows one more level, for the list of parameters.
    pub(crate) fn for_arguments(mut self) -> Writer<'w> {
        self.levels += 1;
        self
    }

    /// Appends text that is already JSON.
    #[inline(always)]
    pub fn put(&mut self, text: &str) -> Result<()> {
        self.put_bytes(text.as_bytes())
    }

    #[inline(always)]
    fn put_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.out.len() + bytes.len();
        if end > self.out.capacity() || end > self.most {
            self.make_room(end)?;
        }
        self.out
            .extend(bytes)
            .map_err(|why| Fault::new(Why::OutOfMemory(why.0)))
    }

    #[cold]
    fn make_room(&mut self, end: usize) -> Result<()> {
        if end > self.most {
            return Err(Fault::new(Why::TooLong { most: self.most }));
        }
        if let Some(pool) = self.pool {
            pool.enlarge(self.out, end);
        }
        Ok(())
    }

    /// Begins an array, an object or a newtype.
    #[inline]
    pub fn open(&mut self, text: &str) -> Result<()> {
        self.enter()?;
        self.put(text)
    }

    /// Ends what [`open`](Self::open) has begun.
    #[inline]
    pub fn close(&mut self, text: &str) -> Result<()> {
        self.levels += 1;
        self.put(text)
    }

    #[inline]
    pub(super) fn enter(&mut self) -> Result<()> {
        match self.levels.checked_sub(1) {
            Some(left) => self.levels = left,
            None => return Err(Fault::new(Why::TooDeep)),
        }
        Ok(())
    }

    /// Writes a member: `before`, which has its name, and its value.
    #[inline]
    pub fn field<T: JsonType>(
        &mut self,
        before: &str,
        name: &'static str,
        value: &T,
    ) -> Result<()> {
        self.put(before)?;
        value.write(self).map_err(|fault| fault.within(name))
    }

    /// Writes a variant with content: `before`, which has its name, and the content.
    #[inline]
    pub fn variant(
        &mut self,
        before: &str,
        name: &'static str,
        write: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<()> {
        self.open(before)?;
        write(self).map_err(|fault| fault.within(name))?;
        self.close("}")
    }

    /// Writes the content of a newtype.
    #[inline]
    pub fn newtype<T: JsonType>(&mut self, value: &T) -> Result<()> {
        self.open("")?;
        value.write(self)?;
        self.close("")
    }

    /// Writes a list.
    #[inline]
    pub(super) fn list<'t, T: JsonType + 't>(
        &mut self,
        elements: impl Iterator<Item = &'t T>,
    ) -> Result<()> {
        self.open("[")?;
        for (index, element) in elements.enumerate() {
            if index > 0 {
                self.put(",")?;
            }
            element.write(self).map_err(|fault| fault.at(index))?;
        }
        self.close("]")
    }

    /// Writes an integer.
    #[inline]
    pub(super) fn integer(&mut self, (is_negative, magnitude): (bool, u64)) -> Result<()> {
        let mut text = Digits::<ONE>::new();
        text.integer(is_negative, magnitude);
        self.put_bytes(text.bytes())
    }

    /// Writes a list of short elements: many are written into a small buffer, and copied at once.
    #[inline]
    pub(super) fn short_list<T>(
        &mut self,
        list: impl Iterator<Item = T>,
        write: impl Fn(&mut Digits<MANY>, T),
    ) -> Result<()> {
        self.open("[")?;
        let mut text = Digits::<MANY>::new();
        for (index, element) in list.enumerate() {
            if !text.has_room() {
                self.put_bytes(text.bytes())?;
                text.clear();
            }
            if index > 0 {
                text.push(*b",       ", 1);
            }
            write(&mut text, element);
        }
        self.put_bytes(text.bytes())?;
        self.close("]")
    }

    /// Writes one element of a tuple.
    #[inline]
    pub fn element<T: JsonType>(&mut self, index: usize, value: &T) -> Result<()> {
        if index > 0 {
            self.put(",")?;
        }
        value.write(self).map_err(|fault| fault.at(index))
    }

    /// The present length of the text, in bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.out.len()
    }

    /// The text from this place on.
    #[inline]
    pub(super) fn since(&self, start: usize) -> &[u8] {
        &self.out[start..]
    }

    /// Writes a number or another scalar, by serde_json's writer.
    #[inline]
    pub(super) fn scalar(
        &mut self,
        write: impl FnOnce(&mut CompactFormatter, &mut Self) -> io::Result<()>,
    ) -> Result<()> {
        write(&mut CompactFormatter, self).map_err(|why| self.cause(&why))
    }

    /// Writes a text.
    #[inline]
    pub(super) fn text(&mut self, text: &str) -> Result<()> {
        let is_plain = strings::plain(text.as_bytes()) == text.len();
        if !is_plain {
            return self.escaped(text);
        }
        self.put("\"")?;
        self.put(text)?;
        self.put("\"")
    }

    /// Writes a text with characters that have to be escaped, as serde_json does.
    fn escaped(&mut self, text: &str) -> Result<()> {
        self.put("\"")?;
        let mut rest = text.as_bytes();
        loop {
            let (run, special) = rest.split_at(strings::plain(rest));
            self.put_bytes(run)?;
            let [byte, behind @ ..] = special else {
                return self.put("\"");
            };
            match byte {
                b'"' => self.put("\\\"")?,
                b'\\' => self.put("\\\\")?,
                b'\n' => self.put("\\n")?,
                b'\t' => self.put("\\t")?,
                b'\r' => self.put("\\r")?,
                0x8 => self.put("\\b")?,
                0xc => self.put("\\f")?,
                _ => self.put(&format!("\\u{byte:04x}"))?,
            }
            rest = behind;
        }
    }

    /// Writes a number of `serde_json`.
    pub(super) fn number(&mut self, number: &serde_json::Number) -> Result<()> {
        serde_json::to_writer(&mut *self, number).map_err(|why| self.cause(&why))
    }

    /// How many more levels may begin.
    pub(super) fn levels(&self) -> u32 {
        self.levels
    }

    /// The reason why this writer made serde_json fail, if it did.
    #[cold]
    pub(super) fn take_failed(&mut self) -> Option<Fault> {
        self.failed.take()
    }

    #[cold]
    fn cause(&mut self, why: &dyn fmt::Display) -> Fault {
        let other = || Fault::mismatch("what JSON can say", why.to_string());
        self.take_failed().unwrap_or_else(other)
    }
}

impl io::Write for Writer<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put_bytes(bytes).map_err(|fault| {
            self.failed = Some(fault);
            io::ErrorKind::Other.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
