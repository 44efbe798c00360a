//! Describes how a child ended, for the plugins that called it.

use callgate::supervision::{Exit, Status};
use serde_json::json;

use crate::bridge::LastWords;
use crate::log::LogLine;

/// The most lines that are quoted; the newest ones.
pub(super) const MOST_LINES: usize = 8;
/// The most bytes quoted of each line.
const MOST_BYTES: usize = 200;

/// The part of a line that is quoted.
pub(super) fn told(line: &LogLine) -> &str {
    &line.text[..line.text.floor_char_boundary(MOST_BYTES)]
}

/// Describes how a child ended: its exit, the error if one is known, and its last lines on stderr.
pub(super) fn last_words(
    name: &str,
    (exit, status): (Exit, Option<&Status>),
    stderr: &[LogLine],
) -> LastWords {
    let lines: Vec<&str> = stderr.iter().map(told).collect();
    let mut message = format!("plugin `{name}` has ended ({exit})");
    let mut context = exit.to_context();
    let was_killed = status.is_some_and(|status| status.was_killed);
    if let Some(fault) = status.and_then(|status| status.last_fault.as_ref()) {
        message.push_str(&format!(", {}: {}", fault.code, fault.why));
        context["fault"] = json!({"code": fault.code, "why": fault.why});
    } else if was_killed {
        message.push_str(", killed because it did not end in its grace");
    }
    if let Some(last) = lines.last() {
        message.push_str(&format!("; its last line on stderr: {last}"));
    }
    context["stderr"] = json!(lines);
    LastWords { message, context }
}
