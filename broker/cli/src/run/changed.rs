//! What `--watch` does about a plugin whose folder has changed.

use std::path::Path;

use callgate_runtime::{Runtime, RuntimeError};
use serde_json::json;

use super::folder::has_manifest;
use super::report::Report;

/// Restarts the plugin of a folder, starts one that is new, or stops one whose folder has gone.
pub(super) fn changed(runtime: &Runtime, report: &mut Report, folder: &Path) {
    let known = runtime.plugins().into_iter();
    let known = known.map(|status| (status.name, status.folder));
    match known.into_iter().find(|(_, of)| of == folder) {
        Some((name, _)) if !folder.exists() => gone(runtime, report, &name),
        Some((name, _)) => again(runtime, report, &name),
        None if has_manifest(folder) => new(runtime, report, folder),
        None => {}
    }
}

fn again(runtime: &Runtime, report: &mut Report, name: &str) {
    if let Err(error) = runtime.reload(name) {
        return goes_on(report, name, &error);
    }
    report.say(
        &json!({ "notice": "changed", "plugin": name }),
        &format!("{name}: its files have changed"),
    );
    // One that was stopped because its folder had gone; whoever was stopped by somebody stays so.
    if report.is_back(name)
        && let Err(error) = runtime.start_plugin(name)
    {
        return goes_on(report, name, &error);
    }
    report.awaits(name);
}

fn goes_on(report: &Report, name: &str, error: &RuntimeError) {
    let why = error.to_string();
    report.say(
        &json!({ "notice": "unusable", "plugin": name, "why": why }),
        &format!("{name}: it goes on as it was: {why}"),
    );
}

fn gone(runtime: &Runtime, report: &mut Report, name: &str) {
    if let Err(error) = runtime.stop_plugin(name) {
        return goes_on(report, name, &error);
    }
    report.has_gone(name);
    report.say(
        &json!({ "notice": "gone", "plugin": name }),
        &format!("{name}: its folder has gone, it is stopped"),
    );
}

fn new(runtime: &Runtime, report: &mut Report, folder: &Path) {
    let shown = folder.display().to_string();
    match runtime.add_folder(folder) {
        Ok(name) => {
            report.awaits(&name);
            report.say(
                &json!({ "notice": "new", "plugin": name, "folder": shown }),
                &format!("{name}: it is new in {shown}"),
            );
        }
        Err(error) => {
            let why = error.to_string();
            report.say(
                &json!({ "notice": "unusable", "folder": shown, "why": why }),
                &format!("{shown}: it is left out: {why}"),
            );
        }
    }
}
