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
    obey(|| {
        server.serve()?;
        Ok(String::new())
    })
}

/// Says that this process is ready, and from then on does what it is for as often as it is told to, and
/// says what that gave.
pub(crate) fn obey(mut serve: impl FnMut() -> Result<String>) -> Result<()> {
    say(READY)?;
    for line in io::stdin().lines() {
        if line? != GO {
            return Err("told something that nobody says".into());
        }
        let gave = serve()?;
        say(&format!("{DONE} {gave}"))?;
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
        let mut callee = Callee::begin(system.id(), scenario, place, 0)?;
        callee.wait_ready()?;
        Ok(callee)
    }

    /// Starts one of several, and does not wait for it.
    pub(crate) fn begin(id: &str, scenario: Scenario, place: &Path, nth: usize) -> Result<Callee> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(
                [
                    "--serve",
                    id,
                    "--scenario",
                    scenario.name(),
                    "--nth",
                    &nth.to_string(),
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
        Ok(Callee {
            child,
            orders,
            words,
            rests: false,
        })
    }

    /// Waits until it can be called.
    pub(crate) fn wait_ready(&mut self) -> Result<()> {
        self.expect(READY)?;
        self.rests = true;
        Ok(())
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

    /// Waits until it has stopped, and returns what it says that it gave.
    pub(crate) fn rest(&mut self) -> Result<String> {
        let gave = self.expect(DONE)?;
        self.rests = true;
        Ok(gave)
    }

    /// What follows the word that it is to say.
    fn expect(&mut self, word: &str) -> Result<String> {
        let mut line = String::new();
        self.words.read_line(&mut line)?;
        match line.strip_prefix(word) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(format!("the callee said {line:?} in the place of {word}").into()),
        }
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
