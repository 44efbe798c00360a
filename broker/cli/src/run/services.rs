//! The services beside the plugins: `data.kv`, `data.config`, `schedule.*`.

use std::fs;
use std::path::{Path, PathBuf};

use callgate_client::{Code, Error};
use callgate_runtime::Manifest;
use callgate_services::{Services, ServicesError};

use super::folder::has_manifest;
use callgate::{BrokerHandle, Policy};

/// The services' name on the bus.
const NAME: &str = "callgate-services";
/// The services' folder, inside the folder of the data or of the plugins. It is hidden, so no plugin can have this
/// name.
const FOLDER: &str = ".callgate";

/// Starts the services. They store their data in a subfolder of `folder`.
pub(super) fn start(broker: &BrokerHandle, folder: &Path) -> Result<Services, Error> {
    let system = |error| Error::new(Code::System, format!("the services: {error}"));
    // This policy lets the services join a strict bus.
    let policy = Policy::new()
        .provide("data.kv")
        .provide("data.config")
        .provide("schedule.register")
        .provide("schedule.unregister")
        .call("*.schedule.tick");
    let socket = broker.connect_as(NAME, policy).map_err(system)?;
    let services = Services::builder(folder.join(FOLDER)).descriptor(socket);
    services.start().map_err(|error| match error {
        ServicesError::Bus(error) => error,
        ServicesError::Folder { .. } => {
            let text = format!("{error}; --data names another place");
            Error::new(Code::System, text)
        }
        error => Error::new(Code::System, error.to_string()),
    })
}

/// Passes the settings in the manifests of these folders to the services.
pub(super) fn tell_all(services: &Services, roots: &[PathBuf]) {
    for root in roots {
        if has_manifest(root) {
            tell(services, root);
            continue;
        }
        let entries = fs::read_dir(root).into_iter().flatten().flatten();
        entries.for_each(|entry| tell(services, &entry.path()));
    }
}

/// Passes the settings in a plugin's manifest to the services.
pub(super) fn tell(services: &Services, folder: &Path) {
    // The runtime reports manifests that are invalid.
    if let Ok(manifest) = Manifest::read(folder) {
        let settings = manifest.settings().iter();
        let defaults = settings.filter_map(|(key, setting)| {
            let default = setting.default.clone()?;
            Some((key.clone(), default))
        });
        services.set_defaults(manifest.name(), defaults);
    }
}
