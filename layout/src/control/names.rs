//! What plugins and gates may be called.

use super::{MAX_GATE_NAME, MAX_PLUGIN_NAME};

/// What is wrong with a plugin's name, if anything is.
pub fn check_plugin_name(name: &str) -> Result<(), String> {
    check_name("a plugin's name", name, MAX_PLUGIN_NAME)
}

/// What is wrong with a gate's name, if anything is.
pub fn check_gate_name(name: &str) -> Result<(), String> {
    check_name("a gate's name", name, MAX_GATE_NAME)
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
