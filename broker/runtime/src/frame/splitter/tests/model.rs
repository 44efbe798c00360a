//! The model: the lines of a stream, found by a simple program that has the whole stream at once.

use super::*;

pub(super) fn lines(stream: Stream, limits: Limits, bytes: &[u8]) -> Vec<Kept> {
    let log_cap = match stream {
        Stream::Stdout => limits.log_line.min(limits.frame),
        Stream::Stderr => limits.log_line,
    };
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes);
    let mut lines = Vec::new();
    let mut rest = bytes;
    loop {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let line = &rest[..end.unwrap_or(rest.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let frame = line.strip_prefix(MARK);
        let frame = frame.filter(|_| stream == Stream::Stdout);
        let is_fatal = stream == Stream::Stdout && frame.unwrap_or(line).len() > limits.frame;
        match (frame, end) {
            (Some(_), _) if is_fatal => {}
            (Some(frame), Some(_)) => lines.push(Kept::Frame(frame.to_vec())),
            (None, None) if line.is_empty() => {}
            _ => lines.push(log_line(line, log_cap)),
        }
        if is_fatal {
            lines.push(Kept::Fatal);
            return lines;
        }
        match end {
            Some(end) => rest = &rest[end + 1..],
            None => return lines,
        }
    }
}

fn log_line(line: &[u8], most: usize) -> Kept {
    if line.len() <= most {
        return Kept::Log(String::from_utf8_lossy(line).into_owned());
    }
    let (mut text, mut chunks) = (String::new(), line[..most].utf8_chunks().peekable());
    while let Some(chunk) = chunks.next() {
        text.push_str(chunk.valid());
        let invalid = chunk.invalid();
        let may_go_on = str::from_utf8(invalid).is_err_and(|error| error.error_len().is_none());
        let is_begun = chunks.peek().is_none() && may_go_on;
        if !invalid.is_empty() && !is_begun {
            text.push('\u{FFFD}');
        }
    }
    Kept::Cut(text)
}
