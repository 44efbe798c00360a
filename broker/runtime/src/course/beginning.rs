//! Begins a life, on the worker: starts the process and connects it to the bus.

use std::fs;
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::Arc;

use callgate_layout::sys::limits;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::hearing::Manners;
use super::life::{Life, Linked, Process, Speech};
use super::pace::Pace;
use super::plan::Plan;
use super::settings::Limits;
use super::source::Source;
use super::surroundings::Surroundings;
use super::way_back::WayBack;
use crate::frame::{self, Stream};
use crate::manifest::Transport;
use crate::process::{Pipe, Started, Stdin};

/// Everything that the worker needs to begin a life.
pub(super) struct Beginning {
    pub(super) number: u64,
    pub(super) plan: Arc<Plan>,
    pub(super) limits: Limits,
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) way_back: Arc<WayBack>,
}

impl Beginning {
    pub(super) fn begin(self) -> Result<Box<Life>, String> {
        let data_dir = &self.plan.data_dir;
        let made = fs::create_dir_all(data_dir);
        made.map_err(|error| {
            format!(
                "its data folder {} cannot be made: {error}",
                data_dir.display()
            )
        })?;
        match self.plan.manifest.backend().transport {
            Transport::Stdio => self.begin_on_pipes(),
            Transport::Shm => self.begin_linked(),
        }
    }

    /// Starts a child, and makes it a plugin of the bus.
    fn begin_on_pipes(self) -> Result<Box<Life>, String> {
        let started = self
            .plan
            .launch
            .start()
            .map_err(|error| error.to_string())?;
        let Started {
            child,
            stdin,
            stdout,
            stderr,
        } = started;
        let way_back = self.way_back.clone();
        let stdin = Stdin::new(stdin, self.limits.queued_bytes, move || {
            way_back.stdin_changed();
        });
        let way_back = self.way_back.clone();
        let bridge = self.surroundings.connect(&self.plan, &stdin, way_back)?;
        let has_serve_ready = self.plan.manifest.has_serve_ready_handshake();
        let speech = Speech {
            stdin,
            bridge: Arc::new(bridge),
            way_back: self.way_back.clone(),
            manners: Manners::new(has_serve_ready, self.limits.malformed_frames),
            turn_at: None,
            pings: 0,
            is_lent: false,
        };
        let streams = (Stream::Stdout, stdout, stderr);
        Ok(self.life(Process::Own(child), Some(speech), streams))
    }

    /// Has the broker start a program that links the client. All its output goes to its log.
    fn begin_linked(self) -> Result<Box<Life>, String> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map_err(|errno| limits::explain(&errno.into()));
        let ((stdout, stdout_end), (stderr, stderr_end)) = (pipe()?, pipe()?);
        let ours = |end: OwnedFd| Pipe::new(end).map_err(|error| error.to_string());
        let (stdout, stderr) = (ours(stdout)?, ours(stderr)?);
        let mut command = self.plan.launch.command();
        command
            .stdin(Stdio::null())
            .stdout(stdout_end)
            .stderr(stderr_end);
        let child = self.surroundings.spawn(&self.plan, command)?;
        let way_back = self.way_back.clone();
        child.on_change(move || way_back.process_changed());
        // Changes before `on_change` was set are not reported, so the loop is told once to look.
        self.way_back.process_changed();
        let streams = (Stream::Stderr, stdout, stderr);
        Ok(self.life(Process::Linked(Linked::new(child)), None, streams))
    }

    fn life(
        &self,
        process: Process,
        speech: Option<Speech>,
        (as_stream, stdout, stderr): (Stream, Pipe, Pipe),
    ) -> Box<Life> {
        let limits = frame::Limits::default();
        Box::new(Life {
            number: self.number,
            process,
            speech,
            stdout: Source::new(stdout, as_stream, limits),
            stderr: Source::new(stderr, Stream::Stderr, limits),
            closed: None,
            is_in_line: false,
            pace: Pace::new(&self.limits),
            paused: None,
            judged_at: None,
            has_ended: false,
        })
    }
}
