//! What plugins, gates, topics and shares may be called.

use super::{MAX_GATE_NAME, MAX_PLUGIN_NAME};

/// What is wrong with a plugin's name, if anything is.
pub fn check_plugin_name(name: &str) -> Result<(), String> {
    check_name("a plugin's name", name, MAX_PLUGIN_NAME)
}

/// What is wrong with the name of a gate, a topic or a share, if anything is. A name that ends in `.` is a prefix's.
pub fn check_gate_name(name: &str) -> Result<(), String> {
    check_name("a gate's name", name, MAX_GATE_NAME)?;
    check_star(name)?;
    match name.ends_with('.') {
        true => Err("a gate's name ends in `.`, as prefixes do".to_owned()),
        false => Ok(()),
    }
}

/// What is wrong with a prefix of gates' names, if anything is. It ends in `.` and stands for every longer
/// name that begins with it.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    check_name("a prefix", prefix, MAX_GATE_NAME)?;
    check_star(prefix)?;
    match prefix.ends_with('.') {
        true => Ok(()),
        false => Err("a prefix does not end in `.`".to_owned()),
    }
}

/// A name with a star could not be told from a pattern: nobody could subscribe to it, or have a policy for it alone.
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
