//! What a gate takes and gives, held against what a caller expects.

use callgate_layout::control::{Availability, MAX_PARAMS, MAX_TEXT, Shape};

/// Parameters and fingerprint of each half, as far as they are provided: function, action.
pub(crate) type Shapes = [Option<(u8, u128)>; 2];

/// What is not acceptable about a shape, if anything is.
pub(crate) fn check(shape: &Shape) -> Result<(), String> {
    if shape.params > MAX_PARAMS {
        let params = shape.params;
        let message = format!("a gate takes at most {MAX_PARAMS} parameters, not {params}");
        return Err(message);
    }
    if shape.signature.len() > MAX_TEXT {
        let message = format!("a signature has at most {MAX_TEXT} bytes");
        return Err(message);
    }
    // A listing shows it to people; escaped, each such character is six.
    if let Some(c) = shape.signature.chars().find(|c| c.is_control()) {
        return Err(format!("a signature contains the control character {c:?}"));
    }
    Ok(())
}

/// How what is provided suits what is wanted.
///
/// The number of parameters counts first: it is the plainer thing to say.
pub(crate) fn compare(provided: Option<&Shape>, wanted: &Shape) -> Availability {
    let Some(provided) = provided else {
        return Availability::Absent;
    };
    let signature = provided.signature.clone();
    if provided.params != wanted.params {
        Availability::LengthMismatch { signature }
    } else if provided.fingerprint != wanted.fingerprint {
        Availability::TypeMismatch { signature }
    } else {
        Availability::Ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line break in a signature would forge lines wherever a listing is printed, and control
    /// characters make it many times as long.
    #[test]
    fn control_characters_and_what_is_too_long_are_refused() {
        let shape = |signature: &str| Shape {
            params: 1,
            fingerprint: 7,
            signature: signature.into(),
        };
        assert_eq!(check(&shape("(u32) -> Größe")), Ok(()));
        assert_eq!(check(&shape(&"x".repeat(MAX_TEXT))), Ok(()));
        assert!(check(&shape(&"x".repeat(MAX_TEXT + 1))).is_err());
        for params in 0..=u8::MAX {
            let shape = Shape {
                params,
                ..shape("()")
            };
            assert_eq!(check(&shape).is_ok(), params <= MAX_PARAMS, "{params}");
        }
        for odd in ["(u32)\n", "\u{1b}[2J", "\0"] {
            assert!(check(&shape(odd)).is_err(), "{odd:?}");
        }
    }
}
