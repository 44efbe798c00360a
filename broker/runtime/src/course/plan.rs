//! How a plugin is run, from its manifest and the runtime's settings.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use callgate::supervision::{Restart, When};

use super::{Name, Settings};
use crate::manifest::{API_VERSION, LaunchError, Manifest, RestartTable, RestartWhen};
use crate::process::Launch;

/// What of this process's environment a child gets.
const PASSED_ON: [&str; 2] = ["PATH", "HOME"];

/// How one plugin is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: Name,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) restart: Restart,
    pub(super) launch: Launch,
    /// Made before the first start.
    pub(super) data_dir: PathBuf,
}

impl Plan {
    pub(crate) fn of(manifest: Manifest, settings: &Settings) -> Result<Plan, LaunchError> {
        let data_dir = match &settings.data_dir {
            Some(all) => all.join(manifest.name()),
            None => manifest.folder().join("data"),
        };
        let mut words = manifest.command_line(&settings.launchers)?.into_iter();
        let launch = Launch {
            program: words.next().unwrap_or_default(),
            arguments: words.collect(),
            folder: manifest.folder().to_owned(),
            environment: environment(&manifest, &data_dir),
        };
        Ok(Plan {
            name: manifest.name().into(),
            restart: restart(&settings.restart, manifest.restart()),
            manifest: Arc::new(manifest),
            launch,
            data_dir,
        })
    }
}

fn environment(manifest: &Manifest, data_dir: &Path) -> Vec<(OsString, OsString)> {
    let passed_on = PASSED_ON.iter().filter_map(|name| Some((name.into(), env::var_os(name)?)));
    let mut all: Vec<(OsString, OsString)> = passed_on.collect();
    let own = manifest.backend().env.iter();
    all.extend(own.map(|(name, value)| (name.into(), value.into())));
    all.push(("PLUGIN_SLUG".into(), manifest.name().into()));
    all.push(("PLUGIN_API_VERSION".into(), API_VERSION.into()));
    all.push(("PLUGIN_DATA_DIR".into(), data_dir.into()));
    all
}

/// The runtime's way of supervising, but for what the manifest says.
fn restart(base: &Restart, table: &RestartTable) -> Restart {
    let mut restart = base.clone();
    match table.when {
        Some(RestartWhen::Always) => restart.when = When::Always,
        Some(RestartWhen::OnFailure) => restart.when = When::OnFailure,
        None => {}
    }
    set(&mut restart.ready_within, table.ready_within);
    set(&mut restart.ask_every, table.ask_every);
    set(&mut restart.call_deadline, table.call_deadline);
    set(&mut restart.stop_grace, table.stop_grace);
    set(&mut restart.steady_after, table.steady_after);
    set(&mut restart.quarantine_within, table.quarantine_within);
    if let Some(questions) = table.hung_after {
        restart.hung_after = questions;
    }
    if let Some(crashes) = table.quarantine_crashes {
        restart.quarantine_crashes = crashes;
    }
    if let Some(backoff) = &table.backoff {
        restart.backoff.clone_from(backoff);
    }
    restart
}

fn set(place: &mut Duration, time: Option<Duration>) {
    if let Some(time) = time {
        *place = time;
    }
}
