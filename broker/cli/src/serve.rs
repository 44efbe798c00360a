//! `callgate serve`

use std::io::{self, Write};
use std::path::PathBuf;

use callgate_client::{Code, Error};
use clap::Args;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::output::Failed;
use crate::{Common, Outcome, policy};
use callgate::{Broker, StartError};

/// What plugins may do.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A JSON file that says what plugins may do, each by its name or a pattern of names:
    /// {"plugins": {"Rack": {"capabilities": ["gate.provide:Rack.*", "gate.call:*"], "limits":
    /// {"gates": 16}}}}. Limits are gates, opens, links and extent_mib; "bus_extent_mib": 1024, beside
    /// "plugins", is the most of the last for all together; "strict": true is as --strict
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Refuse plugins that the policy file does not name, instead of letting them do everything
    #[arg(long)]
    strict: bool,
}

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
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
    if options.strict {
        builder = builder.strict(true);
    }
    if let Some(file) = &options.policy {
        builder =
            policy::read(file, builder).map_err(|text| Error::new(Code::InvalidArgument, text))?;
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
