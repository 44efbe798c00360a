//! Starting a child.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};

use callgate_layout::sys::{limits, spawn, standard};

use super::child::Child;
use super::pipe::Pipe;

/// A program to start, with its environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Launch {
    /// The program: an absolute path, or a name that is looked up in `PATH`.
    pub(crate) program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// The working directory: the plugin's folder.
    pub(crate) folder: PathBuf,
    /// The whole environment: nothing is inherited from this process.
    pub(crate) environment: Vec<(OsString, OsString)>,
}

/// A child that runs, and this process's ends of its pipes.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) child: Child,
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: Pipe,
    pub(crate) stderr: Pipe,
}

impl Launch {
    /// Builds the command without starting it.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(&self.folder);
        command.env_clear().envs(self.environment.iter().cloned());
        command
    }

    /// Starts the child as the leader of a process group. The kernel kills the child when the calling thread ends, so that thread must live
    /// as long as the runtime.
    pub(crate) fn start(&self) -> io::Result<Started> {
        let mut command = self.command();
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        spawn::inherit_only_streams(&mut command);
        spawn::end_with_starter(&mut command);
        // The standard library panics if the exec fails and the kernel has already reaped the child, which it does where SIGCHLD is
        // ignored.
        let spawned = catch_unwind(AssertUnwindSafe(|| command.spawn()));
        let lost = || {
            let why = "the reason is lost, because this program ignores SIGCHLD";
            Err(io::Error::other(why))
        };
        let spawned = spawned.unwrap_or_else(|_| lost());
        let mut spawned = spawned.map_err(|error| self.explain(&error))?;
        let pipes = take_pipes(&mut spawned);
        let child = Child::new(spawned)?;
        let (stdin, stdout, stderr) = pipes?;
        Ok(Started {
            child,
            stdin,
            stdout,
            stderr,
        })
    }

    fn explain(&self, error: &io::Error) -> io::Error {
        let (program, why) = (self.program.display(), limits::explain(error));
        io::Error::new(
            error.kind(),
            format!("`{program}` cannot be started: {why}"),
        )
    }
}

/// This process's ends of the pipes, set to non-blocking.
fn take_pipes(child: &mut process::Child) -> io::Result<(OwnedFd, Pipe, Pipe)> {
    let missing = || io::Error::other("the standard library made no pipe");
    let stdin: OwnedFd = child.stdin.take().ok_or_else(missing)?.into();
    let stdout: OwnedFd = child.stdout.take().ok_or_else(missing)?.into();
    let stderr: OwnedFd = child.stderr.take().ok_or_else(missing)?.into();
    let stdin = standard::above(stdin)?;
    super::pipe::never_block(&stdin)?;
    Ok((stdin, Pipe::new(stdout)?, Pipe::new(stderr)?))
}
