//! Changes in a plugin's folder that are no changes of the plugin.

use std::ffi::OsStr;

/// Directories that other tools fill: installed packages and build output.
const DIRECTORIES: [&str; 3] = ["target", "node_modules", "__pycache__"];

/// Whether a file or directory with this name is ignored wherever it is: those in `DIRECTORIES`, hidden ones, and the
/// files that editors write beside the file that they save.
pub(super) fn is_ignored(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_hidden = name.starts_with('.');
    let is_of_an_editor = name.ends_with('~')
        || name.ends_with(".swp")
        || name.ends_with(".tmp")
        || (name.starts_with('#') && name.ends_with('#'))
        || name.ends_with("___jb_tmp___")
        || name.ends_with("___jb_old___")
        // Vim creates a file of this name to test whether it may write.
        || name == "4913";
    is_hidden || is_of_an_editor || name.ends_with(".pyc") || DIRECTORIES.contains(&&*name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_count_and_what_comes_of_them_does_not() {
        for name in [
            "main.py",
            "manifest.json",
            "plugin.toml",
            "src",
            "targets",
            "data.json",
            "a~b",
            "#1",
        ] {
            assert!(!is_ignored(name.as_ref()), "{name}");
        }
        for name in [
            ".git",
            "target",
            "node_modules",
            "__pycache__",
            "main.pyc",
            ".main.py.swp",
            "main.py~",
            "#main.py#",
            ".#main.py",
            "4913",
            "main.js___jb_tmp___",
            ".goutputstream-X",
            "main.py.tmp",
        ] {
            assert!(is_ignored(name.as_ref()), "{name}");
        }
    }
}
