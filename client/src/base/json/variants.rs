//! Enums: the variant's name, with what is in it.

use super::JsonType;
use super::fault::{Fault, Result, excerpt};
use super::reader::Reader;

/// The variant of an enum that is being read.
#[derive(Debug)]
pub struct Variant {
    index: usize,
    name: &'static str,
    /// Whether something is in it: it is an object, or else its name alone.
    is_object: bool,
}

impl Variant {
    /// Its position among the names.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The fault of a position beyond the names.
    pub fn unknown(&self) -> Fault {
        unknown(&[], self.name)
    }
}

impl Reader<'_> {
    /// Begins the variant of an enum that has these: its name alone, or an object with that as its only
    /// member, of which the value comes next.
    pub fn variant(
        &mut self,
        expected: &'static str,
        names: &'static [&'static str],
    ) -> Result<Variant> {
        let (name, is_object) = match self.next() {
            Some(b'"') => (self.string()?, false),
            Some(b'{') => {
                self.open_object(expected)?;
                let name = self.member(true)?;
                (name.ok_or_else(|| unknown(names, "none"))?, true)
            }
            _ => return Err(self.clone().wrong(expected)),
        };
        let found = names.iter().enumerate().find(|(_, known)| **known == name);
        let (index, name) = found.ok_or_else(|| unknown(names, &name))?;
        Ok(Variant {
            index,
            name,
            is_object,
        })
    }

    /// Reads what is in a variant. Its name alone is as good as null in it, or as an object without members
    /// where that takes no null.
    pub fn content<T: JsonType>(&mut self, variant: &Variant) -> Result<T> {
        let outcome = match variant.is_object {
            true => T::read(self),
            false => self.alone(),
        };
        outcome.map_err(|fault| fault.within(variant.name))
    }

    /// Reads what a name alone stands for. A sender that has no fields in the variant did not say null, so
    /// a struct of which all fields may be missing can stand in the variant as its fields could.
    fn alone<T: JsonType>(&mut self) -> Result<T> {
        match self.within("null", T::read) {
            Err(fault) if fault.is_null() => self.within("{}", T::read).map_err(|_| fault),
            outcome => outcome,
        }
    }

    /// Reads what is in a variant, by a function; its name alone is as good as `alone` in it.
    pub fn content_by<T>(
        &mut self,
        variant: &Variant,
        alone: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
    ) -> Result<T> {
        let outcome = match variant.is_object {
            true => read(self),
            false => self.within(alone, read),
        };
        outcome.map_err(|fault| fault.within(variant.name))
    }

    /// Reads a text that stands for a value at this place.
    fn within<T>(
        &mut self,
        text: &'static str,
        read: impl FnOnce(&mut Reader<'_>) -> Result<T>,
    ) -> Result<T> {
        let mut reader = self.at_same_level(text);
        let value = read(&mut reader)?;
        self.held(self.memory().saturating_sub(reader.memory()));
        Ok(value)
    }

    /// Ends the variant.
    pub fn end_variant(&mut self, variant: &Variant) -> Result<()> {
        if !variant.is_object {
            return Ok(());
        }
        match self.member(false)? {
            None => Ok(()),
            Some(name) => Err(Fault::mismatch("one variant", "another one").under(&name)),
        }
    }
}

/// The fault of a variant that there is not.
#[cold]
fn unknown(names: &[&str], found: &str) -> Fault {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let expected = format!("one of {}", excerpt_of(&names));
    Fault::mismatch(expected, format!("{:?}", excerpt(found)))
}

/// The most variants that are named.
const MOST_NAMED: usize = 16;

fn excerpt_of(names: &[String]) -> String {
    match names.get(..MOST_NAMED) {
        Some(first) if names.len() > MOST_NAMED => format!("{}, …", first.join(", ")),
        _ => names.join(", "),
    }
}
