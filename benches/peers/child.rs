//! The callee's process: this program once more, told by hidden arguments what to be.
//!
//! It says `ready` when it can be called. On each `go` it serves until a call says stop, then
//! says `done` and sleeps until the next.

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::Result;
use crate::place;
use crate::scenario::Scenario;
use crate::systems::{Setup, System};

const READY: &str = "ready";
const GO: &str = "go";
const DONE: &str = "done";

/// Is the callee's process.
pub(crate) fn be(system: &dyn System, setup: &Setup) -> Result<()> {
    // A caller that fails must not leave a process behind that spins.
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let core = setup.scenario.cores().map(|(_, callee)| callee);
    if let Some(core) = core.filter(|_| setup.scenario.is_pinned_from_start()) {
        place::pin_process(core)?;
    }
    let mut server = system.server(setup)?;
    if let Some(core) = core {
        place::pin_process(core)?;
    }
    say(READY)?;
    for line in io::stdin().lines() {
        if line? != GO {
            return Err("told something that nobody says".into());
        }
        server.serve()?;
        say(DONE)?;
    }
    Ok(())
}

fn say(word: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{word}")?;
    Ok(out.flush()?)
}

/// A callee, as its caller sees it.
#[derive(Debug)]
pub(crate) struct Callee {
    child: Child,
    orders: Option<ChildStdin>,
    words: BufReader<ChildStdout>,
    /// Whether it waits for orders.
    rests: bool,
}

impl Callee {
    /// Starts one and waits until it can be called.
    pub(crate) fn start(system: &dyn System, scenario: Scenario, place: &Path) -> Result<Callee> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(
                [
                    "--serve",
                    system.id(),
                    "--scenario",
                    scenario.name(),
                    "--place",
                ]
                .map(OsStr::new),
            )
            .arg(place)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (orders, words) = (child.stdin.take(), child.stdout.take());
        let words = BufReader::new(words.ok_or("no pipe")?);
        let mut callee = Callee {
            child,
            orders,
            words,
            rests: false,
        };
        callee.expect(READY)?;
        callee.rests = true;
        Ok(callee)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it serve until a call says stop.
    pub(crate) fn go(&mut self) -> Result<()> {
        let orders = self.orders.as_mut().ok_or("no pipe")?;
        self.rests = false;
        Ok(writeln!(orders, "{GO}")?)
    }

    /// Waits until it has stopped.
    pub(crate) fn rest(&mut self) -> Result<()> {
        self.expect(DONE)?;
        self.rests = true;
        Ok(())
    }

    fn expect(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        if line.trim_end() == word {
            return Ok(());
        }
        Err(format!("the callee said {line:?} in the place of {word}").into())
    }
}

impl Drop for Callee {
    fn drop(&mut self) {
        // The end of its orders ends it, unless it is stuck in a block that failed.
        self.orders = None;
        if !self.rests {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
