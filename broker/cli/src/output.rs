//! What the commands print, and how they fail.

use std::io::{self, Write};
use std::process::ExitCode;

use callgate_client::{Code, Error};
use serde_json::{Value, json};

use callgate::shown::{shown, shown_json};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// An error of the bus.
    Bus(Error),
    /// Everything else, for people.
    Other(String),
    /// The command has already printed why.
    Silently,
    /// The output cannot be written, for example because the program that read it has ended.
    Output(io::Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Bus(error)
    }
}

impl From<io::Error> for Failed {
    fn from(error: io::Error) -> Failed {
        Failed::Output(error)
    }
}

/// Prints why a command failed, and returns its exit code.
pub(crate) fn report(failed: &Failed, json: bool) -> ExitCode {
    // If the error itself cannot be printed, the exit code still reports it.
    let _ = match failed {
        Failed::Bus(error) if json => print_json(error),
        Failed::Bus(error) => writeln!(io::stderr(), "{}", text(error)),
        Failed::Other(text) => writeln!(io::stderr(), "{}", shown(text)),
        Failed::Output(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            writeln!(io::stderr(), "writing the output: {error}")
        }
        Failed::Output(_) | Failed::Silently => Ok(()),
    };
    match failed {
        Failed::Bus(error) if error.code() == Code::BrokerGone => ExitCode::from(3),
        Failed::Bus(error) if error.code() == Code::InvalidArgument => ExitCode::from(2),
        _ => ExitCode::from(1),
    }
}

/// The most bytes of a handler's context that people are shown.
const MOST_OF_CONTEXT: usize = 2000;

/// An error as one line, with the handler's context if it has one.
fn text(error: &Error) -> String {
    let mut text = shown(&error.to_string()).into_owned();
    let context = error.context().and_then(Value::as_object);
    let context = context.filter(|_| error.code() == Code::HandlerError);
    let mut context = context.cloned().unwrap_or_default();
    if let Some(code) = context.remove("handler_code") {
        let code = code
            .as_str()
            .map_or_else(|| code.to_string(), str::to_owned);
        text.push_str(&format!("; the handler's code is {}", shown(&code)));
    }
    if !context.is_empty() {
        let context = shown_json(&Value::from(context));
        let (first, rest) = context.split_at(context.floor_char_boundary(MOST_OF_CONTEXT));
        let cut = if rest.is_empty() { "" } else { " […]" };
        text.push_str(&format!("; its context is {first}{cut}"));
    }
    text
}

fn print_json(error: &Error) -> io::Result<()> {
    let document = json!({ "error": {
        "code": error.code().as_str(), "message": error.message(), "context": error.context(),
    }});
    writeln!(io::stdout(), "{}", shown_json(&document))
}

/// Prints a table. Columns are as wide as their longest cell; the last one is not padded.
pub(crate) fn table(out: &mut impl Write, title: &str, rows: &[Vec<String>]) -> io::Result<()> {
    if rows.len() < 2 {
        return writeln!(out, "{title}: none");
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    writeln!(out, "{title}")?;
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
