//! Text that plugins chose, made fit for a terminal or a log.
//!
//! Names, versions and error messages come from plugins, which are not trusted. A program that prints
//! them passes them through here first, so that the terminal shows them and does not obey them.

use std::borrow::Cow;
use std::fmt::Write;

/// Whether a terminal would do something else with a character than show it: control characters,
/// of which U+009B begins an escape sequence as ESC does, those that change the direction of the text
/// around them, and those that nobody can see. The joiners that some languages need are let pass.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text of a plugin's or of a peer's on one line: what a terminal would obey, or not show, is
/// written as `\u{1b}`.
pub fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match is_hidden(c) {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// A JSON document without such characters. Those outside of ASCII, which JSON leaves as they are,
/// can only stand in strings, where they may be written as escapes.
pub fn shown_json(document: &serde_json::Value) -> String {
    shown_json_text(&document.to_string())
}

/// The same of the text of a document, on one line.
pub fn shown_json_text(text: &str) -> String {
    if !text.contains(is_hidden) {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if matches!(c, '\n' | '\r' | '\t') {
            // In a string they are escapes, so these stand between values.
            shown.push(' ');
        } else if is_hidden(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a string cannot fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(c);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn nothing_hidden_is_left(text in any::<String>()) {
            prop_assert!(!shown(&text).contains(is_hidden));
            let document = serde_json::json!({ "text": text });
            let json = shown_json(&document);
            prop_assert!(!json.contains(is_hidden));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), document);
        }
    }

    #[test]
    fn what_can_be_seen_stays_as_it_is() {
        for text in ["Rack.Filter", "Größe → 3 µs", "می\u{200c}خواهم", "e\u{301}"] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(
            shown("a\u{1b}[2J\u{9b}m\n\u{202e}"),
            "a\\u{1b}[2J\\u{9b}m\\u{a}\\u{202e}"
        );
    }
}
