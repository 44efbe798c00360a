//! `callgate serve`

use std::io::{self, Write};

use callgate_client::{Code, Error};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::output::Failed;
use super::{Common, Outcome};
use crate::{Broker, StartError};

pub(super) fn run(common: &Common) -> Outcome {
    // From here on the signals wait for the loop below, so that none ends the broker unclean.
    let mut signals = Signals::new([SIGINT, SIGTERM])
        .map_err(|error| Failed::Other(format!("signals: {error}")))?;
    let socket = common
        .socket
        .clone()
        .or_else(|| std::env::var_os("CALLGATE_SOCKET").map(Into::into));
    let mut builder = Broker::builder().non_dumpable(true);
    if let Some(socket) = socket {
        builder = builder.socket(socket);
    }
    // Each plugin takes the broker some four descriptors; a soft limit is for programs that use
    // select, which this one does not.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    let broker = builder
        .start()
        .map_err(|error| Error::new(code(&error), error.to_string()))?;
    let path = broker
        .socket()
        .map(|path| path.display().to_string())
        .unwrap_or_default();
    let mut out = io::stdout().lock();
    if common.json {
        writeln!(out, "{}", serde_json::json!({ "socket": path }))?;
    } else {
        writeln!(out, "listening on {path}")?;
    }
    out.flush()?;
    signals.forever().next();
    broker.stop();
    Ok(())
}

/// The code for a broker that did not start, so that programs can tell its reasons apart.
fn code(error: &StartError) -> Code {
    match error {
        StartError::PathTooLong { .. } | StartError::InTheWay(_) => Code::InvalidArgument,
        StartError::Directory { .. } => Code::PermissionDenied,
        StartError::AlreadyRunning { .. } => Code::NameTaken,
        _ => Code::System,
    }
}
