//! How a plugin is run, according to its manifest and the runtime's settings.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use callgate::supervision::Restart;

use super::{Name, Settings};
use crate::error::RuntimeError;
use crate::manifest::{API_VERSION, LaunchError, Manifest};
use crate::process::Launch;

/// The variables of this process's environment that a child gets.
const PASSED_ON: [&str; 2] = ["PATH", "HOME"];

/// How one plugin is run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) name: Name,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) restart: Restart,
    pub(super) launch: Launch,
    /// The plugin's folder for data, created before its first start.
    pub(super) data_dir: PathBuf,
}

impl Plan {
    /// Reads the manifest of a folder, and plans how the plugin is run.
    pub(crate) fn read(folder: &Path, settings: &Settings) -> Result<Plan, RuntimeError> {
        let manifest = Manifest::read_with(folder, &settings.reserved)?;
        Ok(Plan::of(manifest, settings)?)
    }

    fn of(manifest: Manifest, settings: &Settings) -> Result<Plan, LaunchError> {
        let data_dir = match &settings.data_dir {
            Some(all) => all.join(manifest.name()),
            None => manifest.folder().join("data"),
        };
        let backend = manifest.backend();
        if let (None, Some(entry)) = (&backend.command, &backend.entry)
            && !manifest.folder().join(entry).is_file()
        {
            let entry = entry.clone();
            return Err(LaunchError::NoEntry { entry });
        }
        let mut words = manifest.command_line(&settings.launchers)?.into_iter();
        let launch = Launch {
            program: words.next().unwrap_or_default(),
            arguments: words.collect(),
            folder: manifest.folder().to_owned(),
            environment: environment(&manifest, &data_dir),
        };
        Ok(Plan {
            name: manifest.name().into(),
            restart: manifest.restart().over(&settings.restart),
            manifest: Arc::new(manifest),
            launch,
            data_dir,
        })
    }
}

fn environment(manifest: &Manifest, data_dir: &Path) -> Vec<(OsString, OsString)> {
    let passed_on = PASSED_ON
        .iter()
        .filter_map(|name| Some((name.into(), env::var_os(name)?)));
    let mut all: Vec<(OsString, OsString)> = passed_on.collect();
    let own = manifest.backend().env.iter();
    all.extend(own.map(|(name, value)| (name.into(), value.into())));
    all.push(("PLUGIN_SLUG".into(), manifest.name().into()));
    all.push(("PLUGIN_API_VERSION".into(), API_VERSION.into()));
    all.push(("PLUGIN_DATA_DIR".into(), data_dir.into()));
    all
}
