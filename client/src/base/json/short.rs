//! A fast way for numbers of few digits, as most are, and for lists of them.
//!
//! A number that this way does not take may still be valid; it is then read from its literal.

use super::compound::push;
use super::fault::Result;
use super::{JsonType, Reader, digits};

/// Integers up to this are represented exactly by floats of 64 bits, and so are the powers of ten that fit 64 bits.
const EXACT_SIGNIFICAND: u64 = 1 << 53;

impl Reader<'_> {
    /// Reads a list of numbers.
    #[inline]
    pub(super) fn numbers<T: JsonType + Short>(&mut self) -> Result<Vec<T>> {
        self.open_array("a list")?;
        let mut elements = Vec::new();
        while self.has_element(elements.len())? {
            // Reads one number in the general way: it also handles everything that the fast way does not take.
            push(&mut elements, self)?;
            self.more_numbers(&mut elements);
        }
        Ok(elements)
    }

    /// Appends the following numbers while they are short, are separated by nothing but a comma, and there is room
    /// for them.
    #[inline]
    fn more_numbers<T: Short>(&mut self, elements: &mut Vec<T>) {
        let most = (elements.capacity() - elements.len()).min(self.memory() / size_of::<T>());
        let (before, start) = (elements.len(), self.rest());
        let mut rest = start;
        while let [b',', after @ ..] = rest
            && elements.len() - before < most
            && let Some((number, len)) = T::short(after)
        {
            elements.push(number);
            rest = after.get(len..).unwrap_or(&[]);
        }
        self.advance(start.len() - rest.len());
        self.held((elements.len() - before) * size_of::<T>());
    }
}

/// A number that the fast way can read.
pub(super) trait Short: Sized {
    /// Reads a number of few digits, without exponent, from the beginning of the bytes. Returns it with its length
    /// in bytes; `None` if it has another form or the type cannot hold it.
    fn short(bytes: &[u8]) -> Option<(Self, usize)>;
}

/// An integer of few digits, with its sign and its length.
#[inline]
fn short_integer(bytes: &[u8]) -> Option<(bool, u64, usize)> {
    let (is_negative, bytes) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, bytes),
    };
    let (number, count) = digits::leading(bytes);
    let is_whole = match bytes.get(count) {
        Some(b'.' | b'e' | b'E') => false,
        // A number that begins with zero has no further digit.
        _ => count == 1 || (count > 1 && bytes.first() != Some(&b'0')),
    };
    let len = count + usize::from(is_negative);
    (is_whole && count <= digits::MOST).then_some((is_negative, number, len))
}

macro_rules! short_integers {
    ($($type:ty)*) => {$(
        impl Short for $type {
            #[inline]
            fn short(bytes: &[u8]) -> Option<($type, usize)> {
                let (is_negative, magnitude, len) = short_integer(bytes)?;
                let number = match is_negative {
                    false => magnitude.try_into().ok(),
                    true => 0_i64.checked_sub_unsigned(magnitude)?.try_into().ok(),
                };
                Some((number?, len))
            }
        }
    )*};
}
short_integers! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 }

/// A number of few digits, written without an exponent.
struct Decimal {
    is_negative: bool,
    /// The digits as an integer.
    significand: u64,
    /// How many of them come after the point.
    places: usize,
    /// Whether it is written without a point.
    is_whole: bool,
    len: usize,
}

impl Decimal {
    #[inline]
    fn of(bytes: &[u8]) -> Option<Decimal> {
        let (is_negative, unsigned) = match bytes {
            [b'-', digits @ ..] => (true, digits),
            _ => (false, bytes),
        };
        let (whole, count) = digits::leading(unsigned);
        let (fraction, places, is_whole) = match unsigned.get(count..)? {
            [b'.', behind @ ..] => {
                let (fraction, places) = digits::leading(behind);
                (fraction, places, false)
            }
            _ => (0, 0, true),
        };
        let len = usize::from(is_negative) + count + usize::from(!is_whole) + places;
        let starts_well = count == 1 || (count > 1 && unsigned.first() != Some(&b'0'));
        let ends_well = !matches!(bytes.get(len), Some(b'.' | b'e' | b'E'));
        if !starts_well || !ends_well || is_whole != (places == 0) || count + places > digits::MOST
        {
            return None;
        }
        Some(Decimal {
            is_negative,
            significand: whole * digits::POWERS[places] + fraction,
            places,
            is_whole,
            len,
        })
    }

    /// The nearest float, if one step computes it: a division of two integers that floats represent exactly, which
    /// rounds once.
    #[inline]
    fn quotient(&self) -> Option<f64> {
        if self.significand > EXACT_SIGNIFICAND {
            return None;
        }
        let number = self.significand as f64 / digits::POWERS[self.places] as f64;
        Some(if self.is_negative { -number } else { number })
    }
}

/// The nearest 32-bit float to a number of which this is the nearest 64-bit float; if `is_exact`, it has to be the
/// same number. `None` if that is not certain.
#[inline]
fn narrow(number: f64, is_exact: bool) -> Option<f32> {
    // The bits that are dropped. If they are exactly in the middle between two floats, the first rounding hides on
    // which side the number lies.
    const DROPPED: u64 = (1 << 29) - 1;
    const MIDDLE: u64 = 1 << 28;
    let dropped = number.to_bits() & DROPPED;
    let is_sure = if is_exact {
        dropped == 0
    } else {
        dropped != MIDDLE
    };
    is_sure.then_some(number as f32)
}

macro_rules! short_floats {
    ($($type:ty: $narrow:expr;)*) => {$(
        impl Short for $type {
            #[inline]
            fn short(bytes: &[u8]) -> Option<($type, usize)> {
                let decimal = Decimal::of(bytes)?;
                let quotient = decimal.quotient();
                let number = match quotient.and_then(|number| $narrow(number, decimal.is_whole)) {
                    Some(number) => number,
                    None if decimal.is_whole => return None,
                    None => str::from_utf8(bytes.get(..decimal.len)?).ok()?.parse().ok()?,
                };
                Some((number, decimal.len))
            }
        }
    )*};
}
short_floats! { f32: narrow; f64: |number, _| Some(number); }
