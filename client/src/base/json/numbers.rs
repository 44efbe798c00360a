//! Reading numbers from their literals, exactly: only floats are rounded, and only to their own precision.

use core::fmt::{self, Write};

use super::digits;
use super::fault::{Fault, Result, excerpt};
use super::reader::Reader;
use super::short::Short;

/// The most digits that a `u128` has.
const MOST_DIGITS: i64 = 39;
/// Beyond this exponent all floats are zero or infinite.
const FAR_EXPONENT: i64 = 1000;
/// Integers of up to this many digits are represented exactly by floats of 64 bits.
const EXACT_DIGITS: usize = 15;

impl<'a> Reader<'a> {
    /// Reads a number, and returns its literal.
    #[inline]
    pub(super) fn literal(&mut self) -> Result<&'a str> {
        self.next();
        let start = self.place();
        if self.peek() == Some(b'-') {
            self.advance(1);
        }
        match self.peek() {
            Some(b'0') => self.advance(1),
            _ => self.digits("a value")?,
        }
        if self.peek() == Some(b'.') {
            self.advance(1);
            self.digits("a digit")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.advance(1);
            if let Some(b'+' | b'-') = self.peek() {
                self.advance(1);
            }
            self.digits("a digit")?;
        }
        Ok(self.slice(start, self.place()))
    }

    /// Reads as many digits as there are; at least one.
    #[inline]
    fn digits(&mut self, expected: &'static str) -> Result<()> {
        let rest = self.rest();
        let count = digits::count(rest);
        if count == 0 {
            return Err(self.syntax(expected));
        }
        self.advance(count);
        Ok(())
    }

    /// Reads a number of a type.
    #[inline]
    pub(super) fn number_of<T: Literal>(&mut self, expected: &'static str) -> Result<T> {
        self.next();
        match T::short(self.rest()) {
            Some((number, len)) => {
                self.advance(len);
                Ok(number)
            }
            None => self.any_number(expected),
        }
    }

    /// Reads a number that is written in any form; fails for any other value.
    fn any_number<T: Literal>(&mut self, expected: &'static str) -> Result<T> {
        let literal = self.number(expected)?;
        let number = T::of_literal(literal);
        number.ok_or_else(|| out_of_range(expected, literal))
    }

    /// Reads a number, or refuses anything else.
    #[inline]
    pub(super) fn number(&mut self, expected: &str) -> Result<&'a str> {
        match self.next() {
            Some(b'-' | b'0'..=b'9') => self.literal(),
            _ => Err(self.clone().wrong(expected)),
        }
    }
}

/// The parts of a literal.
struct Parts<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
    exponent: &'a str,
}

impl<'a> Parts<'a> {
    fn of(literal: &'a str) -> Parts<'a> {
        let (is_negative, rest) = match literal.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, ""));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        Parts {
            is_negative,
            whole,
            fraction,
            exponent,
        }
    }

    fn digits(&self) -> impl DoubleEndedIterator<Item = u8> {
        self.whole.bytes().chain(self.fraction.bytes())
    }

    fn is_zero(&self) -> bool {
        self.digits().all(|digit| digit == b'0')
    }

    /// The number of leading zeros, and then of digits up to the last one that is not zero.
    fn significant(&self) -> (usize, usize) {
        let is_zero = |digit: &u8| *digit == b'0';
        let all = self.whole.len() + self.fraction.len();
        let leading = self.digits().take_while(is_zero).count();
        let trailing = self.digits().rev().take_while(is_zero).count();
        (leading, all.saturating_sub(leading + trailing))
    }

    /// How many places the digits, taken as one integer, have to be shifted to the left. An exponent that no
    /// literal can make up for counts as the largest.
    fn shift(&self) -> i64 {
        const FAR: i64 = 1 << 60;
        let (is_negative, digits) = match self.exponent.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, self.exponent.trim_start_matches('+')),
        };
        let size = digits.bytes().fold(0_i64, |size, digit| {
            let more = size.saturating_mul(10);
            more.saturating_add(i64::from(digit - b'0')).min(FAR)
        });
        let exponent = if is_negative { -size } else { size };
        exponent - self.fraction.len() as i64
    }

    /// The number without its sign; `None` if it is no integer, or needs more than 128 bits.
    fn magnitude(&self) -> Option<u128> {
        if self.is_zero() {
            return Some(0);
        }
        let (leading, count) = self.significant();
        let zeros = self.whole.len() + self.fraction.len() - leading - count;
        let shift = self.shift() + zeros as i64;
        if shift < 0 || count as i64 + shift > MOST_DIGITS {
            return None;
        }
        let mut significant = self.digits().skip(leading).take(count);
        let number = significant.try_fold(0_u128, |number, digit| {
            let tenfold = number.checked_mul(10)?;
            tenfold.checked_add(u128::from(digit - b'0'))
        });
        number?.checked_mul(10_u128.checked_pow(u32::try_from(shift).ok()?)?)
    }
}

/// Reads an integer from any literal with an integer value, such as `1e3`.
#[cold]
fn signed_magnitude(literal: &str) -> Option<(bool, u128)> {
    let parts = Parts::of(literal);
    Some((parts.is_negative, parts.magnitude()?))
}

fn is_plain(literal: &str) -> bool {
    !literal
        .bytes()
        .any(|byte| matches!(byte, b'.' | b'e' | b'E'))
}

/// The fault of a literal that the type cannot hold.
#[cold]
pub(super) fn out_of_range(expected: &str, literal: &str) -> Fault {
    Fault::mismatch(expected, excerpt(literal))
}

/// A type of numbers.
pub(super) trait Literal: Short {
    /// Reads the number of a literal; `None` if the type cannot hold it. Exact for integer types, and for integers
    /// that are written without fraction and exponent; otherwise the nearest float.
    fn of_literal(literal: &str) -> Option<Self>;
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Literal for $type {
            #[inline]
            fn of_literal(literal: &str) -> Option<$type> {
                // If this fails, the literal may still be `1.0`, `1e2` or `-0`.
                if let Ok(number) = literal.parse() {
                    return Some(number);
                }
                let (is_negative, magnitude) = signed_magnitude(literal)?;
                match is_negative {
                    false => magnitude.try_into().ok(),
                    true => 0_i128.checked_sub_unsigned(magnitude)?.try_into().ok(),
                }
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

macro_rules! floats {
    ($($type:ty: $exact:expr,)*) => {$(
        impl Literal for $type {
            #[inline]
            fn of_literal(literal: &str) -> Option<$type> {
                let number: $type = match literal.len() < SHORT {
                    true => literal.parse().ok()?,
                    false => normal(literal)?.parse().ok()?,
                };
                if !number.is_finite() || (number == 0.0 && !Parts::of(literal).is_zero()) {
                    return None;
                }
                let is_exact = literal.len() <= $exact
                    || !is_plain(literal)
                    || has_digits(format_args!("{number:.0}"), literal);
                is_exact.then_some(number)
            }
        }
    )*};
}
floats! { f32: F32_DIGITS, f64: EXACT_DIGITS, }

/// Integers of up to this many digits are represented exactly by floats of 32 bits.
const F32_DIGITS: usize = 7;

/// Longer literals may have an exponent of so many digits that the standard library does not read all of them.
const SHORT: usize = 1000;

/// Rewrites a long literal so that its exponent is one that floats have; `None` if there is none.
#[cold]
fn normal(literal: &str) -> Option<String> {
    let parts = Parts::of(literal);
    let (leading, count) = parts.significant();
    let sign = if parts.is_negative { "-" } else { "" };
    if count == 0 {
        return Some(format!("{sign}0"));
    }
    let place = parts.whole.len() as i64 + parts.fraction.len() as i64 + parts.shift();
    let exponent = place - leading as i64;
    if exponent.abs() > FAR_EXPONENT {
        return None;
    }
    let mut text = String::new();
    text.try_reserve(count + 32).ok()?;
    text.push_str(sign);
    text.push_str("0.");
    text.extend(parts.digits().skip(leading).take(count).map(char::from));
    write!(text, "e{exponent}").ok()?;
    Some(text)
}

/// Whether a float, formatted, has the digits of a literal.
fn has_digits(number: fmt::Arguments<'_>, literal: &str) -> bool {
    let mut expected = Expected(literal.as_bytes());
    expected.write_fmt(number).is_ok() && expected.0.is_empty()
}

/// A writer that fails unless exactly this text is written.
struct Expected<'a>(&'a [u8]);

impl Write for Expected<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 = self.0.strip_prefix(text.as_bytes()).ok_or(fmt::Error)?;
        Ok(())
    }
}
