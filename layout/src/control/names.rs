//! Checks of the names of plugins, gates, topics and shares.

use super::{MAX_GATE_NAME, MAX_PLUGIN_NAME};

/// Checks a plugin's name; the error says what is wrong with it.
pub fn check_plugin_name(name: &str) -> Result<(), String> {
    check_name("a plugin's name", name, MAX_PLUGIN_NAME)
}

/// Checks the name of a gate, a topic or a share; the error says what is wrong with it. A name that ends in `.` is a
/// prefix and no name.
pub fn check_gate_name(name: &str) -> Result<(), String> {
    check_name("a gate's name", name, MAX_GATE_NAME)?;
    check_star(name)?;
    match name.ends_with('.') {
        true => Err("a gate's name ends in `.`, as prefixes do".to_owned()),
        false => Ok(()),
    }
}

/// Checks a prefix of gates' names; the error says what is wrong with it. A prefix ends in `.` and stands for every
/// longer name that begins with it.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    check_name("a prefix", prefix, MAX_GATE_NAME)?;
    check_star(prefix)?;
    match prefix.ends_with('.') {
        true => Ok(()),
        false => Err("a prefix does not end in `.`".to_owned()),
    }
}

/// Refuses a star: it would make the name a pattern, so that nobody could subscribe to that one name, or write a
/// policy for it alone.
fn check_star(name: &str) -> Result<(), String> {
    match name.contains('*') {
        true => {
            Err("`*` belongs to patterns: no gate, topic or share has it in its name".to_owned())
        }
        false => Ok(()),
    }
}

fn check_name(what: &str, name: &str, max: usize) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!("{what} is empty"));
    }
    if name.len() > max {
        return Err(format!("{what} has {} bytes, more than {max}", name.len()));
    }
    match name.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("{what} contains the control character {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name of which a part is not shown, or that is as long as a page, would be shown everywhere.
    #[test]
    fn names_have_a_length_and_no_control_characters() {
        for (check, most) in [
            (check_plugin_name as fn(&str) -> _, MAX_PLUGIN_NAME),
            (check_gate_name, MAX_GATE_NAME),
        ] {
            assert_eq!(check("Größe.Ü"), Ok(()));
            assert_eq!(check(&"x".repeat(most)), Ok(()));
            assert!(check("Größe.").is_ok() == (most == MAX_PLUGIN_NAME));
            for wrong in ["", "a\nb", "\u{7f}", &"x".repeat(most + 1)] {
                assert!(check(wrong).is_err(), "{wrong:?}");
            }
        }
        // Nobody could subscribe to it by its name.
        for wrong in ["*", "a.*", "*.a", "a*b"] {
            let why = check_gate_name(wrong).unwrap_err();
            assert!(why.contains("patterns"), "{why}");
        }
    }

    /// A prefix that stands for names which do not begin with it and a dot would take other plugins' gates.
    #[test]
    fn a_prefix_ends_in_a_dot() {
        let longest = format!("{}.", "x".repeat(MAX_GATE_NAME - 1));
        for prefix in [".", "a.", "a.b.", "Größe.", &longest] {
            assert_eq!(check_prefix(prefix), Ok(()));
            assert!(check_gate_name(prefix).is_err(), "{prefix}");
        }
        for wrong in ["", "a", "a.b", "a\n.", "*.", "a.*.", &format!("x{longest}")] {
            assert!(check_prefix(wrong).is_err(), "{wrong:?}");
        }
    }
}
