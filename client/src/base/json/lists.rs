//! Reading arrays and objects, and skipping values.

use std::borrow::Cow;

use super::fault::{Fault, Result};
use super::reader::Reader;

impl<'a> Reader<'a> {
    /// Begins an array.
    #[inline]
    pub(super) fn open_array(&mut self, expected: &str) -> Result<()> {
        if !self.take(b'[') {
            return Err(self.clone().wrong(expected));
        }
        self.enter()
    }

    /// Whether there is another element after `index` others. If not, the array has ended.
    #[inline]
    pub(super) fn has_element(&mut self, index: usize) -> Result<bool> {
        self.goes_on(index > 0, b']', "`,` or `]`")
    }

    /// Begins an object.
    #[inline]
    pub(super) fn open_object(&mut self, expected: &str) -> Result<()> {
        if !self.take(b'{') {
            return Err(self.clone().wrong(expected));
        }
        self.enter()
    }

    /// Reads the name of the next member; its value comes next. `None` if the object has ended.
    #[inline]
    pub(super) fn member(&mut self, is_first: bool) -> Result<Option<Cow<'a, str>>> {
        if !self.goes_on(!is_first, b'}', "`,` or `}`")? {
            return Ok(None);
        }
        if self.next() != Some(b'"') {
            return Err(self.syntax("a name"));
        }
        let name = self.string()?;
        self.colon()?;
        Ok(Some(name))
    }

    #[inline]
    pub(super) fn colon(&mut self) -> Result<()> {
        match self.take(b':') {
            true => Ok(()),
            false => Err(self.syntax("`:`")),
        }
    }

    #[inline]
    fn goes_on(&mut self, has_some: bool, end: u8, expected: &'static str) -> Result<bool> {
        match self.next() {
            Some(b',') if has_some => self.advance(1),
            Some(byte) if byte == end => {
                self.advance(1);
                self.leave();
                return Ok(false);
            }
            _ if has_some => return Err(self.syntax(expected)),
            _ => {}
        }
        Ok(true)
    }

    /// Skips a value, and returns its text.
    pub(super) fn skip(&mut self) -> Result<&'a str> {
        self.next();
        let start = self.place();
        let outside = self.levels();
        // A bit for each open level, the innermost one lowest: whether it is an object. There are fewer levels than
        // bits.
        let mut objects: u128 = 0;
        // Whether the innermost level has had a value.
        let mut has_some = false;
        loop {
            if self.levels() < outside {
                let goes_on = match objects & 1 {
                    0 => self.has_element(usize::from(has_some))?,
                    _ => self.skip_name(has_some)?,
                };
                if !goes_on {
                    objects >>= 1;
                    has_some = true;
                    if self.levels() == outside {
                        break;
                    }
                    continue;
                }
            }
            match self.next() {
                Some(b'[') => {
                    self.open_array("")?;
                    (objects, has_some) = (objects << 1, false);
                }
                Some(b'{') => {
                    self.open_object("")?;
                    (objects, has_some) = (objects << 1 | 1, false);
                }
                other => {
                    self.skip_scalar(other)?;
                    has_some = true;
                    if self.levels() == outside {
                        break;
                    }
                }
            }
        }
        Ok(self.slice(start, self.place()))
    }

    fn skip_name(&mut self, has_some: bool) -> Result<bool> {
        if !self.goes_on(has_some, b'}', "`,` or `}`")? {
            return Ok(false);
        }
        if self.next() != Some(b'"') {
            return Err(self.syntax("a name"));
        }
        self.skip_string()?;
        self.colon()?;
        Ok(true)
    }

    fn skip_scalar(&mut self, first: Option<u8>) -> Result<()> {
        match first {
            Some(b'"') => self.skip_string(),
            Some(b'n') => self.word("null"),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            _ => self.literal().map(drop),
        }
    }

    /// The fault of a list with a wrong number of elements, which begins at the reader's place.
    #[cold]
    pub(super) fn wrong_count(mut self, expected: usize) -> Fault {
        match self.count() {
            Ok(found) => Fault::mismatch(
                format!("a list of {expected}"),
                format!("a list of {found}"),
            ),
            Err(fault) => fault,
        }
    }

    /// Skips a list, and returns the number of its elements.
    pub(super) fn count(&mut self) -> Result<usize> {
        self.open_array("a list")?;
        let mut count = 0;
        while self.has_element(count)? {
            self.skip()?;
            count += 1;
        }
        Ok(count)
    }
}
