//! What is running, and what `--watch` does about a plugin whose folder has changed.

use std::path::Path;

use callgate::supervision::State;
use callgate_runtime::{PluginStatus, Runtime, RuntimeError};
use callgate_services::Services;
use serde_json::json;

use super::folder::has_manifest;
use super::report::Report;
use super::services;

/// The plugins, the services, and the report about them.
pub(super) struct Running<'a> {
    pub(super) runtime: &'a Runtime,
    pub(super) services: &'a Services,
    pub(super) report: Report,
}

impl Running<'_> {
    /// Restarts the plugin of a folder, starts a new one, or stops one whose folder was removed.
    pub(super) fn changed(&mut self, folder: &Path) {
        let plugins = self.runtime.plugins().into_iter();
        let mut known = plugins.filter(|status| status.folder == folder);
        match known.next() {
            Some(status) if !folder.exists() => self.gone(&status.name),
            Some(status) => self.again(&status, folder),
            None if has_manifest(folder) => self.new_one(folder),
            None => self.runtime.forget_folder(folder),
        }
    }

    fn again(&mut self, status: &PluginStatus, folder: &Path) {
        let name = &*status.name;
        services::tell(self.services, folder);
        if let Err(error) = self.runtime.reload(name) {
            return self.goes_on(name, &error);
        }
        // It was stopped because its folder was removed. A plugin that somebody has stopped stays stopped.
        let is_back = self.report.is_back(name);
        let stays = match status.supervision.state == State::Stopped && !is_back {
            true => format!("; it stays stopped (`callgate start {name}`)"),
            false => String::new(),
        };
        self.report.say(
            &json!({ "notice": "changed", "plugin": name }),
            &format!("{name}: its files have changed{stays}"),
        );
        if is_back && let Err(error) = self.runtime.start_plugin(name) {
            self.goes_on(name, &error);
        }
    }

    fn goes_on(&self, name: &str, error: &RuntimeError) {
        let why = error.to_string();
        self.report.say(
            &json!({ "notice": "unusable", "plugin": name, "why": why }),
            &format!("{name}: it goes on as it was: {why}"),
        );
    }

    fn gone(&mut self, name: &str) {
        // The kernel may report the removal of a folder in several events.
        if self.report.is_gone(name) {
            return;
        }
        if let Err(error) = self.runtime.stop_plugin(name) {
            return self.goes_on(name, &error);
        }
        self.report.has_gone(name);
        self.report.say(
            &json!({ "notice": "gone", "plugin": name }),
            &format!("{name}: its folder has gone, it is stopped"),
        );
    }

    fn new_one(&mut self, folder: &Path) {
        services::tell(self.services, folder);
        let shown = folder.display().to_string();
        match self.runtime.add_folder(folder) {
            Ok(name) => self.report.say(
                &json!({ "notice": "new", "plugin": name, "folder": shown }),
                &format!("{name}: it is new in {shown}"),
            ),
            Err(error) => {
                let why = error.to_string();
                self.report.say(
                    &json!({ "notice": "unusable", "folder": shown, "why": why }),
                    &format!("{shown}: it is left out: {why}"),
                );
            }
        }
    }
}
