//! How a process ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::{Value, json};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
    /// Another part of this program took the exit status, and the kernel reports it only once.
    Unknown,
}

impl Exit {
    /// The context of errors about a process that has ended: `{"exit": {"code": 3}}`, `{"exit": {"signal": 9}}`, or `{"exit": null}` if it
    /// is unknown how the process ended.
    pub fn to_context(self) -> Value {
        match self {
            Exit::Code(code) => json!({"exit": {"code": code}}),
            Exit::Signal(signal) => json!({"exit": {"signal": signal}}),
            Exit::Unknown => json!({"exit": null}),
        }
    }
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        match (status.code(), status.signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => Exit::Unknown,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Unknown => f.write_str("unknown"),
        }
    }
}
