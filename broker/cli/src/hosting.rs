//! A broker that a command runs until SIGINT or SIGTERM: what `callgate serve` and `callgate run` have in common.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_client::{Code, Error};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::notify::Manager;
use crate::output::Failed;
use crate::{Common, policy};
use callgate::{Broker, Builder, StartError, systemd};

/// What plugins may do.
#[derive(Debug, Args)]
pub(crate) struct Hosting {
    /// A JSON file that says what plugins may do, each by its name or a pattern of names:
    /// {"plugins": {"Rack": {"capabilities": ["gate.provide:Rack.*", "gate.call:*"], "limits":
    /// {"gates": 16}}}}. Capabilities are gate.provide, gate.call, gate.subscribe, topic.send, share.create and share.read, each with a
    /// pattern. Limits are gates, opens, links, extent_mib, schema_mib, share_mib, shares and requests_per_second; "bus_extent_mib": 1024 and
    /// "bus_share_mib": 4096, beside "plugins", are the most of extent_mib and of share_mib for all together, and "persistent_mib": 4096
    /// the most that is kept of persistent shares; "strict": true is as --strict. The file is read once:
    /// after a change, start the broker again. A gate that its plugin may not provide then stays away until the
    /// plugin provides it anew
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Refuse plugins that the policy file does not name, instead of letting them do everything. `callgate ls` is a plugin,
    /// too: it needs "callgate-ls-*": {"capabilities": []}
    #[arg(long)]
    strict: bool,
}

/// A broker that listens.
#[derive(Debug)]
pub(crate) struct Hosted {
    pub(crate) broker: Broker,
    manager: Option<Arc<Manager>>,
}

impl Hosted {
    /// Starts a broker at the socket that the arguments or the environment name, or that a service manager has passed. Must
    /// be called while the process has one thread. Also returns the SIGINT and SIGTERM that come from just before the
    /// broker starts.
    pub(crate) fn start(common: &Common, options: &Hosting) -> Result<(Hosted, Signals), Failed> {
        // While there is one thread: only then the variables are removed.
        let service = systemd::take().map_err(|text| Error::new(Code::InvalidArgument, text))?;
        // From here on the signals wait for the command, so that none ends the broker unclean.
        let signals = Signals::new([SIGINT, SIGTERM])
            .map_err(|error| Failed::Other(format!("signals: {error}")))?;
        let manager = service.notify.as_deref().and_then(manager);
        let passed = service.listener;
        let broker = start(|| {
            let mut builder = configured(options)?;
            if let (Some(manager), Some(watchdog)) = (manager.clone(), service.watchdog) {
                builder =
                    builder.signs_of_life(watchdog / 2, move |plugins| manager.alive(plugins));
            }
            let passed = passed.as_ref().map(OwnedFd::try_clone).transpose();
            let passed =
                passed.map_err(|error| Error::new(Code::System, format!("the socket: {error}")))?;
            place(builder, passed, named_socket(common))
        })?;
        Ok((Hosted { broker, manager }, signals))
    }

    /// Prints where the broker listens, and tells the manager of services.
    pub(crate) fn say_ready(&self, common: &Common) -> io::Result<()> {
        let path = self.broker.socket().map(Path::to_owned).unwrap_or_default();
        say_where(common, &path)?;
        if let Some(manager) = &self.manager {
            manager.ready(&path);
        }
        Ok(())
    }

    /// Tells the manager of services that the broker is about to end.
    pub(crate) fn say_stopping(&self) {
        if let Some(manager) = &self.manager {
            manager.stopping();
        }
    }
}

/// How long another broker may hold the lock of the socket: a broker that was killed holds it until the kernel has
/// ended it.
const ENDING: Duration = Duration::from_secs(1);

/// Starts a broker; calls `configure` again for each attempt.
fn start(configure: impl Fn() -> Result<Builder, Error>) -> Result<Broker, Error> {
    let begun = Instant::now();
    loop {
        match configure()?.start() {
            Err(StartError::AlreadyRunning { .. }) if begun.elapsed() < ENDING => {
                std::thread::sleep(Duration::from_millis(20));
            }
            started => return started.map_err(|error| Error::new(code(&error), error.to_string())),
        }
    }
}

/// The service manager that started this process. Without one the broker runs all the same.
fn manager(address: &OsStr) -> Option<Arc<Manager>> {
    match Manager::at(address) {
        Ok(manager) => Some(Arc::new(manager)),
        Err(error) => {
            tracing::warn!("NOTIFY_SOCKET is no address that can be told anything: {error}");
            None
        }
    }
}

/// The builder of a broker with the policy that the options name.
fn configured(options: &Hosting) -> Result<Builder, Error> {
    let mut builder = Broker::builder().non_dumpable(true);
    if options.strict {
        builder = builder.strict(true);
    }
    match &options.policy {
        Some(file) => {
            policy::read(file, builder).map_err(|text| Error::new(Code::InvalidArgument, text))
        }
        None => Ok(builder),
    }
}

/// The socket that the user names.
fn named_socket(common: &Common) -> Option<PathBuf> {
    let variable = || std::env::var_os("CALLGATE_SOCKET").map(PathBuf::from);
    common.socket.clone().or_else(variable)
}

/// Sets where the broker listens: at the socket that the service manager passed, otherwise at the named one.
fn place(
    builder: Builder,
    passed: Option<OwnedFd>,
    named: Option<PathBuf>,
) -> Result<Builder, Error> {
    let Some(passed) = passed else {
        return Ok(match named {
            Some(path) => builder.socket(path),
            None => builder,
        });
    };
    let listener = passed.try_clone().map(UnixListener::from);
    let address = listener.and_then(|listener| listener.local_addr()).ok();
    let path = address.as_ref().and_then(SocketAddr::as_pathname);
    if let (Some(path), Some(named)) = (path, named)
        && path != named
        && !is_same_file(path, &named)
    {
        let text = format!(
            "the socket {} was passed to this process, and --socket or CALLGATE_SOCKET names {}: leave the \
             latter out, or name the same",
            path.display(),
            named.display()
        );
        return Err(Error::new(Code::InvalidArgument, text));
    }
    Ok(builder.listener(passed))
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    one.canonicalize()
        .is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Prints where the broker listens.
fn say_where(common: &Common, path: &Path) -> io::Result<()> {
    let path = path.display().to_string();
    let mut out = io::stdout().lock();
    if common.json {
        writeln!(out, "{}", serde_json::json!({ "socket": path }))?;
    } else {
        writeln!(out, "listening on {path}")?;
    }
    out.flush()
}

/// The code for a broker that did not start, so that programs can tell its reasons apart.
fn code(error: &StartError) -> Code {
    match error {
        StartError::PathTooLong { .. } | StartError::InTheWay(_) | StartError::Given { .. } => {
            Code::InvalidArgument
        }
        StartError::Directory { .. } => Code::PermissionDenied,
        StartError::AlreadyRunning { .. } => Code::NameTaken,
        _ => Code::System,
    }
}
