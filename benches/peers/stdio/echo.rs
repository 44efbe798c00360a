//! The child: answers each request with its parameters.

use std::io::{BufRead, BufReader, Write};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Result;

/// The argument that makes a process the child.
pub(super) const ID: &str = "stdio-echo";

#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    nonce: Option<u64>,
}

/// Is the child.
pub(super) fn be() -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let mut input = BufReader::with_capacity(64 << 10, std::io::stdin().lock());
    let mut out = std::io::stdout().lock();
    out.write_all(b"IPC:{\"type\":\"ready\"}\n")?;
    let (mut line, mut answer) = (Vec::new(), Vec::new());
    while input.read_until(b'\n', &mut line)? > 0 {
        let frame: Incoming<'_> = serde_json::from_slice(&line)?;
        answer.clear();
        match (frame.kind, frame.id, frame.params) {
            ("request", Some(id), Some(params)) => writeln!(
                answer,
                r#"IPC:{{"type":"response","id":"{id}","result":{params}}}"#
            )?,
            _ => writeln!(
                answer,
                r#"IPC:{{"type":"pong","nonce":{}}}"#,
                frame.nonce.unwrap_or(0)
            )?,
        }
        out.write_all(&answer)?;
        line.clear();
    }
    Ok(())
}
