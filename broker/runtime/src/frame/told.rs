//! The results of splitting and parsing in a form that fuzzers can compare.

use super::{FRAME_CAP, Incoming, Limits, Line, Outgoing, Splitter, Stream, parse};

/// The result for one line on stdout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A log line, and whether it was cut.
    Log(String, bool),
    /// A frame that was refused, and the reason.
    Malformed(Vec<u8>, String),
    /// A frame that is a call, and the arguments for its gate.
    Service(Vec<u8>, String),
    /// A frame that is an answer, and the line that passes it on.
    Response(Vec<u8>, Vec<u8>),
    /// Any other frame.
    Other(Vec<u8>),
    /// The stream was refused.
    Fatal,
}

/// Splits and parses the bytes of a stdout that arrives in pieces of these sizes, repeated in turn, with these small limits.
#[must_use]
pub fn told(stdout: &[u8], sizes: &[usize], frame: usize, log_line: usize) -> Vec<Told> {
    let lent = frame / 2;
    let limits = Limits {
        frame,
        log_line,
        lent,
    };
    let mut splitter = Splitter::new(Stream::Stdout, limits);
    let (mut told, mut rest) = (Vec::new(), stdout);
    for size in sizes.iter().cycle() {
        let piece = &rest[..rest.len().min((*size).max(1))];
        match splitter.push(piece, &mut |line| told.push(line_told(line))) {
            Ok(count) => rest = &rest[count..],
            Err(_) => {
                told.push(Told::Fatal);
                break;
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    splitter.end(&mut |line| told.push(line_told(line)));
    told
}

fn line_told(line: Line<'_>) -> Told {
    match line {
        Line::Log { text, is_cut } => Told::Log(text.into_owned(), is_cut),
        Line::Frame(frame) => frame_told(frame),
        Line::Large(large) => frame_told(large.frame()),
    }
}

fn frame_told(frame: &[u8]) -> Told {
    let bytes = frame.to_vec();
    match parse(frame) {
        Err(malformed) => Told::Malformed(bytes, malformed.to_string()),
        Ok(Incoming::Service(service)) => Told::Service(bytes, service.arguments()),
        Ok(Incoming::Response(response)) => {
            let answer = Outgoing::Response {
                id: &response.id,
                outcome: response.outcome.as_ref().copied(),
            };
            Told::Response(bytes, answer.to_line(FRAME_CAP).unwrap_or_default())
        }
        Ok(_) => Told::Other(bytes),
    }
}
