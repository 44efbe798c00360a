//! Enums: the name of the variant, with its content.

use super::JsonType;
use super::fault::{Fault, Result, excerpt};
use super::reader::Reader;

/// The variant of an enum that is being read.
#[derive(Debug)]
pub struct Variant {
    index: usize,
    name: &'static str,
    /// Whether it has content: it is an object then, and otherwise only its name.
    is_object: bool,
}

impl Variant {
    /// The index of the variant among the names.
    #[inline]
    pub fn index(&self) -> usize {
        self.index
    }

    /// The fault of an index beyond the names.
    pub fn unknown(&self) -> Fault {
        unknown(&[], self.name)
    }
}

impl Reader<'_> {
    /// Begins the variant of an enum with these names. It is its name alone, or an object with the name as its only
    /// member, whose value comes next.
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

    /// Reads the content of a variant. A name alone stands for the content null, or for an object without members
    /// if null is not allowed.
    pub fn content<T: JsonType>(&mut self, variant: &Variant) -> Result<T> {
        let outcome = match variant.is_object {
            true => T::read(self),
            false => self.alone(),
        };
        outcome.map_err(|fault| fault.within(variant.name))
    }

    /// Reads the content for which a name alone stands. A sender whose variant has no fields writes the name alone
    /// and no null. So a receiver whose variant has a struct, all of whose fields may be missing, can read it.
    fn alone<T: JsonType>(&mut self) -> Result<T> {
        match self.within("null", T::read) {
            Err(fault) if fault.is_null() => self.within("{}", T::read).map_err(|_| fault),
            outcome => outcome,
        }
    }

    /// Reads the content of a variant by a function; a name alone stands for the text `alone`.
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

    /// Reads a given text instead of the one at this place.
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

/// The fault of an unknown variant.
#[cold]
fn unknown(names: &[&str], found: &str) -> Fault {
    let names: Vec<String> = names.iter().map(|name| format!("{name:?}")).collect();
    let expected = format!("one of {}", excerpt_of(&names));
    Fault::mismatch(expected, format!("{:?}", excerpt(found)))
}

/// How many variants an error names at most.
const MOST_NAMED: usize = 16;

fn excerpt_of(names: &[String]) -> String {
    match names.get(..MOST_NAMED) {
        Some(first) if names.len() > MOST_NAMED => format!("{}, …", first.join(", ")),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error that named each of a thousand variants.
    #[test]
    fn an_error_names_sixteen_variants_at_most() {
        let names = |count: usize| Vec::from_iter((0..count).map(|n| format!("\"V{n}\"")));
        let all = excerpt_of(&names(16));
        assert!(all.starts_with("\"V0\", \"V1\"") && all.ends_with(", \"V15\""));
        assert_eq!(excerpt_of(&names(17)), format!("{all}, …"));
        assert_eq!(excerpt_of(&names(1)), "\"V0\"");
    }
}
