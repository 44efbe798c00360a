//! Numbers, booleans, characters, text and null.

use serde_json::Number;
use serde_json::ser::Formatter;

use super::fault::{Fault, Result};
use super::numbers::{Literal, out_of_range};
use super::strings::append;
use super::{JsonType, Reader, Writer};

macro_rules! integers {
    ($($type:ident: $parts:expr;)*) => {$(
        impl JsonType for $type {
            #[inline]
            fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
                writer.integer($parts(*self))
            }

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<$type> {
                reader.number_of(stringify!($type))
            }

            fn write_list(list: &[$type], writer: &mut Writer<'_>) -> Result<()> {
                writer.short_list(list.iter(), |text, number| {
                    let (is_negative, magnitude) = $parts(*number);
                    text.integer(is_negative, magnitude);
                })
            }

            fn read_list(reader: &mut Reader<'_>) -> Result<Vec<$type>> {
                reader.numbers()
            }
        }
    )*};
}

#[inline]
fn unsigned(number: impl Into<u64>) -> (bool, u64) {
    (false, number.into())
}

#[inline]
fn signed(number: impl Into<i64>) -> (bool, u64) {
    let number = number.into();
    (number < 0, number.unsigned_abs())
}

integers! {
    u8: unsigned; u16: unsigned; u32: unsigned; u64: unsigned;
    i8: signed; i16: signed; i32: signed; i64: signed;
}

// Beyond 64 bits many JSON readers would round, so such integers are written as text.
macro_rules! wide {
    ($($type:ident: $min:expr;)*) => {$(
        impl JsonType for $type {
            fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
                match ($min..=u64::MAX as $type).contains(self) {
                    true => writer.put(&self.to_string()),
                    false => writer.put(&format!("\"{self}\"")),
                }
            }

            fn read(reader: &mut Reader<'_>) -> Result<$type> {
                let number = match reader.next() {
                    Some(b'"') => {
                        let text = reader.string()?;
                        return whole(&text)
                            .then(|| <$type as Literal>::of_literal(&text))
                            .flatten()
                            .ok_or_else(|| out_of_range(stringify!($type), &format!("{text:?}")));
                    }
                    _ => reader.number(stringify!($type))?,
                };
                <$type as Literal>::of_literal(number)
                    .ok_or_else(|| out_of_range(stringify!($type), number))
            }
        }
    )*};
}

wide! {
    u128: 0;
    i128: i64::MIN as i128;
}

/// Whether a text is an integer in JSON's form, without fraction and exponent.
fn whole(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let starts_well = digits == "0" || !digits.starts_with('0');
    starts_well && !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

macro_rules! floats {
    ($($type:ident $write:ident,)*) => {$(
        impl JsonType for $type {
            #[inline]
            fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
                if !self.is_finite() {
                    return Err(Fault::mismatch("a finite number", self.to_string()));
                }
                writer.scalar(|formatter, out| formatter.$write(out, *self))
            }

            #[inline]
            fn read(reader: &mut Reader<'_>) -> Result<$type> {
                reader.number_of(stringify!($type))
            }

            fn read_list(reader: &mut Reader<'_>) -> Result<Vec<$type>> {
                reader.numbers()
            }
        }
    )*};
}

floats! { f32 write_f32, f64 write_f64, }

impl JsonType for bool {
    #[inline]
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        match self {
            true => writer.put("true"),
            false => writer.put("false"),
        }
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<bool> {
        match reader.next() {
            Some(b't') => reader.word("true").map(|()| true),
            Some(b'f') => reader.word("false").map(|()| false),
            _ => Err(reader.clone().wrong("bool")),
        }
    }

    fn write_list(list: &[bool], writer: &mut Writer<'_>) -> Result<()> {
        writer.short_list(list.iter(), |text, is_true| match is_true {
            true => text.push(*b"true    ", 4),
            false => text.push(*b"false   ", 5),
        })
    }
}

impl JsonType for char {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        writer.text(self.encode_utf8(&mut [0; 4]))
    }

    fn read(reader: &mut Reader<'_>) -> Result<char> {
        if reader.next() != Some(b'"') {
            return Err(reader.clone().wrong("char"));
        }
        let text = reader.string()?;
        only_char(&text).ok_or_else(|| Fault::mismatch("char", "a text of another length"))
    }
}

/// The character of a text that has exactly one.
pub(super) fn only_char(text: &str) -> Option<char> {
    let mut chars = text.chars();
    chars.next().filter(|_| chars.next().is_none())
}

impl JsonType for String {
    #[inline]
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        writer.text(self)
    }

    #[inline]
    fn read(reader: &mut Reader<'_>) -> Result<String> {
        if reader.next() != Some(b'"') {
            return Err(reader.clone().wrong("String"));
        }
        match reader.string()? {
            std::borrow::Cow::Owned(text) => Ok(text),
            std::borrow::Cow::Borrowed(part) => {
                let mut text = String::new();
                append(&mut text, part)?;
                Ok(text)
            }
        }
    }
}

impl JsonType for () {
    fn write(&self, writer: &mut Writer<'_>) -> Result<()> {
        writer.put("null")
    }

    fn read(reader: &mut Reader<'_>) -> Result<()> {
        reader.nothing()
    }
}

/// The number of a literal in a `Value`: an integer of 64 bits if possible, otherwise a float.
pub(super) fn number(literal: &str) -> Option<Number> {
    // Only a float keeps the sign of zero.
    if literal != "-0" {
        if let Ok(number) = literal.parse::<u64>() {
            return Some(number.into());
        }
        if let Ok(number) = literal.parse::<i64>() {
            return Some(number.into());
        }
    }
    Number::from_f64(<f64 as Literal>::of_literal(literal)?)
}
