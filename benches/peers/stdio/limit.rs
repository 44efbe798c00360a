//! The limit: the same child, and nothing between it and the caller but two pipes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::process::command;
use super::{Caller, Params, echo};
use crate::Result;
use crate::systems::Setup;

/// A request, with what the runtime says in one.
#[derive(Serialize)]
struct Request<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    id: &'a str,
    action: &'a str,
    params: Params<'a>,
    user: User<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct User<'a> {
    id: &'a str,
    display_name: &'a str,
    avatar_url: Option<&'a str>,
    role: &'a str,
}

#[derive(Deserialize)]
struct Response<'a> {
    id: &'a str,
    #[serde(borrow)]
    result: Params<'a>,
}

pub(super) struct Pipes {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: Vec<u8>,
}

impl Pipes {
    pub(super) fn start(setup: &Setup) -> Result<Pipes> {
        let command = command(echo::ID, setup)?;
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take().ok_or("no pipe")?;
        let stdout = child.stdout.take().ok_or("no pipe")?;
        let mut pipes = Pipes {
            child,
            stdin,
            stdout: BufReader::with_capacity(64 << 10, stdout),
            line: Vec::new(),
        };
        pipes.read_line()?;
        Ok(pipes)
    }

    fn send(&mut self, number: u64) -> Result<()> {
        let name = "Caller";
        let request = Request {
            kind: "request",
            id: &id(number),
            action: "echo",
            params: Params::of(number),
            user: User {
                id: name,
                display_name: name,
                avatar_url: None,
                role: "plugin",
            },
        };
        self.line.clear();
        serde_json::to_writer(&mut self.line, &request)?;
        self.line.push(b'\n');
        Ok(self.stdin.write_all(&self.line)?)
    }

    fn receive(&mut self, number: u64) -> Result<()> {
        self.read_line()?;
        let frame = self.line.strip_prefix(b"IPC:").ok_or("no frame")?;
        let response: Response<'_> = serde_json::from_slice(frame)?;
        if response.id != id(number) {
            return Err(format!("{} was answered and not {number}", response.id).into());
        }
        response.result.check(number)
    }

    fn read_line(&mut self) -> Result<()> {
        self.line.clear();
        match self.stdout.read_until(b'\n', &mut self.line)? {
            0 => Err("the child has ended".into()),
            _ => Ok(()),
        }
    }
}

/// As long as the runtime's ids.
fn id(number: u64) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

impl Caller for Pipes {
    fn call(&mut self, number: u64) -> Result<()> {
        self.send(number)?;
        self.receive(number)
    }

    fn call_many(&mut self, first: u64, count: u64, open: u64) -> Result<()> {
        let end = first + count;
        for number in first..end {
            if number >= first + open {
                self.receive(number - open)?;
            }
            self.send(number)?;
        }
        (end - open.min(count)..end).try_for_each(|number| self.receive(number))
    }

    fn processes(&self) -> (u32, Vec<u32>) {
        (self.child.id(), Vec::new())
    }
}

impl Drop for Pipes {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
