//! The frames that come on stdin.

use std::collections::VecDeque;
use std::io::{BufRead, Write};

use serde_json::Value;

pub(crate) struct Frames {
    /// Frames that were read while waiting for another one.
    kept: VecDeque<Value>,
    pub(crate) answers_pings: bool,
}

impl Frames {
    pub(crate) fn new() -> Frames {
        Frames {
            kept: VecDeque::new(),
            answers_pings: true,
        }
    }

    /// The next frame that has what `wanted` has; `None` at the end of stdin.
    pub(crate) fn wait(&mut self, wanted: &Value) -> Result<Option<Value>, String> {
        let known = self.kept.iter().position(|frame| has(frame, wanted));
        if let Some(frame) = known.and_then(|at| self.kept.remove(at)) {
            return Ok(Some(frame));
        }
        while let Some(frame) = self.next()? {
            if has(&frame, wanted) {
                return Ok(Some(frame));
            }
            self.kept.push_back(frame);
        }
        Ok(None)
    }

    /// The next frame that is no ping; if pings are not answered, the next frame of any kind.
    pub(crate) fn next(&mut self) -> Result<Option<Value>, String> {
        loop {
            let mut line = Vec::new();
            let read = std::io::stdin().lock().read_until(b'\n', &mut line);
            if read.map_err(|error| error.to_string())? == 0 {
                return Ok(None);
            }
            let frame: Value = serde_json::from_slice(&line)
                .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&line)))?;
            if frame["type"] != "ping" || !self.answers_pings {
                return Ok(Some(frame));
            }
            let mut pong = serde_json::json!({"type": "pong"});
            if let Some(nonce) = frame.get("nonce") {
                pong["nonce"] = nonce.clone();
            }
            send(&pong.to_string())?;
        }
    }
}

/// Writes one frame.
pub(crate) fn send(json: &str) -> Result<(), String> {
    put(
        &mut std::io::stdout().lock(),
        format!("IPC:{json}\n").as_bytes(),
    )
}

/// Writes bytes and flushes them.
pub(crate) fn put(out: &mut impl Write, bytes: &[u8]) -> Result<(), String> {
    let written = out.write_all(bytes).and_then(|()| out.flush());
    written.map_err(|error| format!("writing: {error}"))
}

/// Whether a frame has all that another has.
fn has(frame: &Value, wanted: &Value) -> bool {
    match (frame, wanted) {
        (Value::Object(frame), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, value)| frame.get(key).is_some_and(|found| has(found, value))),
        (frame, wanted) => frame == wanted,
    }
}
