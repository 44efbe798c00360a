//! Names of plugins.

use super::error::Wrong;
use super::fields::Node;

/// The most bytes of a name, so that names of actions fit behind it.
const MOST_BYTES: usize = 64;

/// What the gates of services and of the runtime begin with. The prefix of a plugin with such a name would stand for
/// gates that it is not to answer.
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

/// What the names begin with under which the runtime, the services and the command line are on the bus.
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

/// What is allowed instead of a name that no plugin may have.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    if !is_name(name) {
        return Err(format!(
            "small letters and digits in words that `-` joins, the first one a letter, {MOST_BYTES} bytes at most"
        ));
    }
    // A plugin of such a name would have its policy in the place of theirs.
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

/// The name of a plugin whose manifest this is.
pub(super) fn own_name(node: &Node<'_>) -> Result<String, Wrong> {
    let name = node.any_text()?;
    match check_name(name) {
        Ok(()) => Ok(name.to_owned()),
        Err(allowed) => Err(node.wrong(allowed)),
    }
}
