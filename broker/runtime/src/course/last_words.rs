//! How a child ended, for those who called it.

use callgate::supervision::{Exit, Status};
use serde_json::json;

use crate::bridge::LastWords;
use crate::log::LogLine;

/// The most lines that are told; the newest ones.
pub(super) const MOST_LINES: usize = 8;
/// The most bytes of each.
const MOST_BYTES: usize = 200;

/// As much of a line as is told.
pub(super) fn told(line: &LogLine) -> &str {
    &line.text[..line.text.floor_char_boundary(MOST_BYTES)]
}

/// How a child ended: its exit, what was wrong where more is known than that, and its last lines on stderr.
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
