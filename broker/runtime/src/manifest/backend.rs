//! How a plugin's program is started.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use super::error::Wrong;
use super::fields::Node;

/// Environment variables that the runtime sets, so that a manifest may not.
const SET_BY_RUNTIME: [&str; 4] = [
    "CALLGATE_FD",
    "PLUGIN_API_VERSION",
    "PLUGIN_DATA_DIR",
    "PLUGIN_SLUG",
];

/// How a plugin is connected to the bus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Transport {
    /// `stdio`: the plugin speaks frames on its pipes.
    #[default]
    Stdio,
    /// `shm`: the plugin links the client.
    Shm,
}

/// The value of `backend` in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backend {
    /// `entry`: a file of the folder, with no `..` in its path.
    pub entry: Option<PathBuf>,
    /// `command`: program and arguments. A program with a `/` is looked up in the folder, one without in `PATH`.
    pub command: Option<Vec<String>>,
    /// `transport`.
    pub transport: Transport,
    /// `env`: variables added to the environment.
    pub env: BTreeMap<String, String>,
}

pub(super) fn backend(node: &Node<'_>) -> Result<Backend, Wrong> {
    let table = node.table(&["entry", "command", "transport", "env"])?;
    let backend = Backend {
        entry: table.maybe("entry", entry)?,
        command: table.maybe("command", command)?,
        transport: table.maybe("transport", transport)?.unwrap_or_default(),
        env: table.maybe("env", env)?.unwrap_or_default(),
    };
    match backend.entry.is_none() && backend.command.is_none() {
        true => Err(table.missing("entry", "a file of the folder; or a `backend.command`")),
        false => Ok(backend),
    }
}

fn entry(node: &Node<'_>) -> Result<PathBuf, Wrong> {
    let path = Path::new(node.text()?);
    let mut parts = path.components();
    let is_inside = parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    match is_inside && path.file_name().is_some() {
        true => Ok(path.to_owned()),
        false => Err(node.wrong("a file of the plugin's folder, by a relative path without `..`")),
    }
}

fn command(node: &Node<'_>) -> Result<Vec<String>, Wrong> {
    let allowed =
        || node.wrong("a list of the program and its arguments: [\"python3\", \"main.py\"]");
    let words = node.list().map_err(|_| allowed())?;
    let [program, arguments @ ..] = &words[..] else {
        return Err(allowed());
    };
    let mut command = vec![program.text()?.to_owned()];
    for argument in arguments {
        let text = argument.any_text()?;
        if text.contains('\0') {
            return Err(argument.wrong("a text without NUL"));
        }
        command.push(text.to_owned());
    }
    Ok(command)
}

fn transport(node: &Node<'_>) -> Result<Transport, Wrong> {
    match node.value().as_str() {
        Some("stdio") => Ok(Transport::Stdio),
        Some("shm") => Ok(Transport::Shm),
        _ => Err(node.wrong("`stdio` or `shm`")),
    }
}

fn env(node: &Node<'_>) -> Result<BTreeMap<String, String>, Wrong> {
    let mut env = BTreeMap::new();
    for (name, node) in node.entries()? {
        if SET_BY_RUNTIME.contains(&name) {
            let set = SET_BY_RUNTIME.join(", ");
            return Err(node.wrong(format!(
                "variables that the runtime does not set itself ({set})"
            )));
        }
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(node.wrong("variables whose name is not empty and has no `=` and no NUL"));
        }
        let value = node.any_text()?;
        if value.contains('\0') {
            return Err(node.wrong("a text without NUL"));
        }
        env.insert(name.to_owned(), value.to_owned());
    }
    Ok(env)
}
