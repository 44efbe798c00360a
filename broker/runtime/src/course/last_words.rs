//! How a child ended, for those who called it.

use callgate::supervision::{Exit, Fault};
use serde_json::{Value, json};

/// The most lines that are told; the newest ones.
pub(super) const MOST_LINES: usize = 8;
/// The most bytes of each.
const MOST_BYTES: usize = 200;

/// How a child ended, with its last lines on stderr.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastWords {
    pub(crate) exit: Exit,
    /// What was wrong, where more is known than the exit.
    pub(crate) fault: Option<Fault>,
    pub(crate) lines: Vec<String>,
}

impl LastWords {
    pub(super) fn new(exit: Exit, fault: Option<Fault>, lines: Vec<String>) -> LastWords {
        let lines = lines.into_iter().map(|mut line| {
            line.truncate(line.floor_char_boundary(MOST_BYTES));
            line
        });
        LastWords {
            exit,
            fault,
            lines: lines.collect(),
        }
    }

    /// In a sentence: `plugin `x` has ended (code 3): Traceback …`.
    pub(crate) fn message(&self, name: &str) -> String {
        let mut text = format!("plugin `{name}` has ended ({})", self.exit);
        if let Some(fault) = &self.fault {
            text.push_str(&format!(", {}: {}", fault.code, fault.why));
        }
        if let Some(line) = self.lines.last() {
            text.push_str(": ");
            text.push_str(line);
        }
        text
    }

    /// What errors carry as context.
    pub(crate) fn context(&self) -> Value {
        let mut context = self.exit.to_context();
        context["stderr"] = json!(self.lines);
        if let Some(fault) = &self.fault {
            context["fault"] = json!({"code": fault.code, "why": fault.why});
        }
        context
    }
}
