//! Frames on the standard streams of this process.

use std::io::{BufRead, BufReader, StdinLock, Write};

use serde_json::{Value, json};

/// The frames that come on stdin.
pub(super) struct Pipes {
    input: BufReader<StdinLock<'static>>,
    line: Vec<u8>,
}

impl Pipes {
    /// Reports that the plugin is ready.
    pub(super) fn begin() -> Pipes {
        say(&json!({"type": "ready"}));
        Pipes {
            input: BufReader::with_capacity(64 << 10, std::io::stdin().lock()),
            line: Vec::new(),
        }
    }

    /// The next request. Answers pings that come before it. `None` at the end of stdin.
    pub(super) fn request(&mut self) -> Option<Value> {
        loop {
            self.line.clear();
            if self.input.read_until(b'\n', &mut self.line).ok()? == 0 {
                return None;
            }
            let frame: Value = serde_json::from_slice(&self.line).ok()?;
            match frame["type"].as_str()? {
                "ping" => say(&json!({"type": "pong", "nonce": frame["nonce"]})),
                "request" => return Some(frame),
                _ => {}
            }
        }
    }

    /// Echoes the parameters of requests until one has another action than `echo`. Returns that one without answering
    /// it.
    pub(super) fn echo(&mut self) -> Option<Value> {
        loop {
            let request = self.request()?;
            match request["action"] == "echo" {
                true => respond(&request["id"], &request["params"]),
                false => return Some(request),
            }
        }
    }
}

/// Writes a frame.
pub(super) fn say(frame: &Value) {
    put(format!("IPC:{frame}\n").as_bytes());
}

pub(super) fn respond(id: &Value, result: &Value) {
    say(&json!({"type": "response", "id": id, "result": result}));
}

/// Writes bytes to stdout; ends this process if nobody reads them.
pub(super) fn put(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
        std::process::exit(74);
    }
}
