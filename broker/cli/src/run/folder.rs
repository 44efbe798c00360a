//! Folders of plugins.

use std::ffi::OsStr;
use std::path::Path;

use callgate_runtime::{Manifest, ManifestError};

/// Whether a folder is that of a plugin, even if its manifest is invalid.
pub(super) fn has_manifest(folder: &Path) -> bool {
    !matches!(Manifest::read(folder), Err(ManifestError::Missing { .. }))
}

/// Whether a file of this name is a manifest.
pub(super) fn is_manifest(name: &OsStr) -> bool {
    name == "manifest.json" || name == "plugin.toml"
}
