//! Names of plugins.

use super::error::Wrong;
use super::fields::Node;

/// The most bytes of a plugin's name: a gate's name must have room for the name of an action after it.
const MOST_BYTES: usize = 64;

/// The first words of the names of the services' and the runtime's gates. A plugin of such a name would get the right to provide all gates
/// that begin with it.
const RESERVED: [&str; 16] = [
    "broadcast",
    "callgate",
    "core",
    "data",
    "event",
    "events",
    "file",
    "http",
    "permissions",
    "presence",
    "resources",
    "runtime",
    "schedule",
    "services",
    "storage",
    "voice",
];

/// Prefix of the names that the runtime, the services and the command line have on the bus.
const OURS: &str = "callgate-";

/// Whether a text is a name: `^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$`.
pub(super) fn is_name(text: &str) -> bool {
    let is_word = |word: &str| {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        !word.is_empty() && word.chars().all(fits)
    };
    let begins_well = text.starts_with(|c: char| c.is_ascii_lowercase());
    begins_well && text.len() <= MOST_BYTES && text.split('-').all(is_word)
}

/// Refuses a name that no plugin may have; the error describes the names that are allowed.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!(
            "small letters and digits in words that `-` joins, the first one a letter, {MOST_BYTES} bytes at most"
        ));
    }
    // The policy of such a plugin would replace the policy of the runtime, the services or the command line.
    let is_ours = name.starts_with(OURS);
    match is_ours || RESERVED.contains(&name) {
        true => Err(format!(
            "any name but those that gates of services and of the runtime begin with ({}), or the runtime, the services \
             and the command line have themselves (`{OURS}…`)",
            RESERVED.join(", ")
        )),
        false => Ok(()),
    }
}

/// Reads the plugin's own name from its manifest.
pub(super) fn own_name(node: &Node<'_>) -> Result<String, Wrong> {
    let name = node.any_text()?;
    match check_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(allowed) => Err(node.wrong(allowed)),
    }
}
