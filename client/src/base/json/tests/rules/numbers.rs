//! The numbers of the model: it works on their digits, and with the conversions of the standard library.

use callgate_layout::schema::{Primitive, Schema};

use super::model::Wire;

/// Converts a value to a number of the type `to`, written as that type writes it.
pub(super) fn convert(value: &Wire, to: Primitive) -> Option<Wire> {
    let literal = match (value, to) {
        (Wire::Number(literal), _) => literal,
        (Wire::Text(text), Primitive::U128 | Primitive::I128) if is_plain(text) => text,
        _ => return None,
    };
    let written = match to {
        Primitive::F32 => float32(literal)?,
        Primitive::F64 => float64(literal)?,
        _ => {
            let digits = integer(literal)?;
            if !holds(&digits, to) {
                return None;
            }
            digits
        }
    };
    let is_wide = written.parse::<i64>().is_err() && written.parse::<u64>().is_err();
    Some(
        match matches!(to, Primitive::U128 | Primitive::I128) && is_wide {
            true => Wire::Text(written),
            false => Wire::Number(written),
        },
    )
}

/// Whether a literal has neither a fraction nor an exponent.
fn is_plain(literal: &str) -> bool {
    let digits = literal.strip_prefix('-').unwrap_or(literal);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The digits of a literal, if it is a whole number.
fn integer(literal: &str) -> Option<String> {
    let (sign, rest) = match literal.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", literal),
    };
    let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent = exponent.parse::<i64>().ok()? - fraction.len() as i64;
    let digits = format!("{whole}{fraction}");
    let trimmed = digits.trim_end_matches('0');
    let exponent = exponent + (digits.len() - trimmed.len()) as i64;
    let trimmed = trimmed.trim_start_matches('0');
    if trimmed.is_empty() {
        return Some("0".to_owned());
    }
    let zeros = usize::try_from(exponent).ok().filter(|zeros| *zeros < 60)?;
    Some(format!("{sign}{trimmed}{}", "0".repeat(zeros)))
}

fn holds(digits: &str, to: Primitive) -> bool {
    match to {
        Primitive::U8 => digits.parse::<u8>().is_ok(),
        Primitive::U16 => digits.parse::<u16>().is_ok(),
        Primitive::U32 => digits.parse::<u32>().is_ok(),
        Primitive::U64 => digits.parse::<u64>().is_ok(),
        Primitive::U128 => digits.parse::<u128>().is_ok(),
        Primitive::I8 => digits.parse::<i8>().is_ok(),
        Primitive::I16 => digits.parse::<i16>().is_ok(),
        Primitive::I32 => digits.parse::<i32>().is_ok(),
        Primitive::I64 => digits.parse::<i64>().is_ok(),
        Primitive::I128 => digits.parse::<i128>().is_ok(),
        _ => false,
    }
}

macro_rules! floats {
    ($($name:ident $type:ty;)*) => {$(
        fn $name(literal: &str) -> Option<String> {
            let number: $type = literal.parse().ok()?;
            let is_zero = !literal.bytes().take_while(|byte| !b"eE".contains(byte)).any(|byte| (b'1'..=b'9').contains(&byte));
            let is_exact = !is_plain(literal) || integer(&format!("{number:.0}")) == integer(literal);
            let fits = number.is_finite() && (number != 0.0 || is_zero) && is_exact;
            fits.then(|| serde_json::to_string(&number).unwrap())
        }
    )*};
}

floats! { float32 f32; float64 f64; }

/// Converts the name of a member to a key of the type `to`.
pub(super) fn key(name: &str, to: &Schema) -> Option<String> {
    match to {
        Schema::String => Some(name.to_owned()),
        Schema::Primitive(Primitive::Char) => (name.chars().count() == 1).then(|| name.to_owned()),
        Schema::Primitive(Primitive::Bool) => {
            ["true", "false"].contains(&name).then(|| name.to_owned())
        }
        Schema::Primitive(number) => match convert(&Wire::Number(name.to_owned()), *number)? {
            Wire::Number(digits) => Some(digits),
            _ => None,
        },
        _ => None,
    }
}
