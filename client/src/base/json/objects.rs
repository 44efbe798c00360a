//! Structs: members of an object, by their names.

use super::JsonType;
use super::fault::{Fault, Result, excerpt};
use super::reader::Reader;

/// An object while its members are read.
#[derive(Debug)]
pub struct Object {
    /// The names of the fields.
    names: &'static [&'static str],
    /// The index of the field that probably comes next.
    next: usize,
    is_first: bool,
}

impl Reader<'_> {
    /// Begins the object of a struct with these fields.
    #[inline]
    pub fn object(
        &mut self,
        expected: &'static str,
        names: &'static [&'static str],
    ) -> Result<Object> {
        self.open_object(expected)?;
        Ok(Object {
            names,
            next: 0,
            is_first: true,
        })
    }

    /// Reads a struct without fields, or another empty value: null, an empty list, or an object, whose members are
    /// skipped.
    pub fn no_fields(&mut self, expected: &'static str) -> Result<()> {
        match self.next() {
            Some(b'n') => self.word("null"),
            Some(b'[') => self
                .tuple(0)
                .and_then(|mut tuple| self.end_tuple(&mut tuple)),
            _ => {
                let mut object = self.object(expected, &[])?;
                while self.next_field(&mut object)?.is_some() {}
                Ok(())
            }
        }
    }

    /// Reads `()`: null, an empty list, or an empty object.
    pub(super) fn nothing(&mut self) -> Result<()> {
        if self.next() != Some(b'{') {
            return self.no_fields("null");
        }
        let start = self.clone();
        self.open_object("null")?;
        match self.member(true)? {
            None => Ok(()),
            Some(_) => Err(start.wrong("null")),
        }
    }

    /// Returns the index of the next field, whose value comes next; `None` if the object has ended. Members that
    /// are no field are skipped.
    #[inline]
    pub fn next_field(&mut self, object: &mut Object) -> Result<Option<usize>> {
        loop {
            let Some(name) = self.member(object.is_first)? else {
                return Ok(None);
            };
            object.is_first = false;
            // Members usually come in the order in which the fields are declared.
            let likely = object.names.get(object.next);
            let found = match likely.is_some_and(|likely| *likely == name) {
                true => Some(object.next),
                false => object.names.iter().position(|field| *field == name),
            };
            if let Some(index) = found {
                object.next = index + 1;
                return Ok(Some(index));
            }
            self.skip().map_err(|fault| fault.under(&name))?;
        }
    }

    /// Reads a field; fails if it was there before.
    #[inline]
    pub fn field<T: JsonType>(&mut self, field: &mut Option<T>, name: &'static str) -> Result<()> {
        self.field_by(field, name, T::read)
    }

    /// Reads a field by a function; fails if it was there before.
    #[inline]
    pub fn field_by<T>(
        &mut self,
        field: &mut Option<T>,
        name: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T>,
    ) -> Result<()> {
        if field.is_some() {
            return Err(twice(name));
        }
        *field = Some(read(self).map_err(|fault| fault.within(name))?);
        Ok(())
    }

    /// The value of a field, or of a missing one if the type allows that.
    #[inline]
    pub fn present<T: JsonType>(&self, field: Option<T>, name: &'static str) -> Result<T> {
        let value = field.or_else(T::missing);
        value.ok_or_else(|| absent(name))
    }

    /// The value of a field that must not be missing.
    #[inline]
    pub fn required<T>(&self, field: Option<T>, name: &'static str) -> Result<T> {
        field.ok_or_else(|| absent(name))
    }
}

#[cold]
fn absent(name: &'static str) -> Fault {
    Fault::mismatch("a field of this name", "none").within(name)
}

/// The fault of a name that occurs twice.
#[cold]
pub(super) fn twice(name: &str) -> Fault {
    Fault::mismatch("one value", "two").under(&excerpt(name))
}
