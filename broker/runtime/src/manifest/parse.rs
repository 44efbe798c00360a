//! Parses the document of a manifest, key by key.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::capabilities::Capabilities;
use super::error::{ManifestError, Wrong};
use super::fields::{Node, Table};
use super::plugin::{Manifest, PluginType, Resources};
use super::reserved::Reserved;
use super::{backend, document, names, restart, settings, versions};

/// Keys that the runtime keeps for hosts and does not interpret.
const OTHERS: [&str; 9] = [
    "author",
    "frontend",
    "icon",
    "license",
    "managed_services",
    "permissions",
    "proxy_mounts",
    "public_schema",
    "sidebar",
];

/// Keys that the runtime interprets.
const KNOWN: [&str; 15] = [
    "name",
    "version",
    "api_version",
    "type",
    "extends",
    "description",
    "backend",
    "runtime_capabilities",
    "client_capabilities",
    "serve_ready_handshake",
    "restart",
    "trust",
    "resources",
    "settings",
    "dependencies",
];

/// The most capabilities of a plugin. There is a limit because the runtime searches them for each frame.
const MOST_CAPABILITIES: usize = 1024;

/// The largest amount of any resource, in MiB: one MiB less than an exbibyte.
const MOST_MB: u64 = (1 << 40) - 1;

impl Manifest {
    /// Reads the manifest of a plugin's folder. In addition a runtime refuses manifests that claim a gate which its host
    /// [reserves](crate::Builder::reserved).
    ///
    /// # Errors
    ///
    /// The folder has no manifest or two, the file cannot be read, or its content is not allowed; in the last case the error names the
    /// file, the key, what was found there and what is allowed.
    pub fn read(folder: &Path) -> Result<Manifest, ManifestError> {
        Manifest::read_with(folder, &Reserved::ours())
    }

    /// The same, and refuses manifests that claim one of the `reserved` gates.
    pub(crate) fn read_with(folder: &Path, reserved: &Reserved) -> Result<Manifest, ManifestError> {
        // Made absolute because the program is started in this folder, whatever the host's working directory is.
        let folder = std::path::absolute(folder).map_err(|source| ManifestError::Unreadable {
            file: folder.to_owned(),
            source,
        })?;
        let (file, document) = document::read(&folder)?;
        match manifest((&folder, &file), &document, reserved) {
            Ok(manifest) => Ok(manifest),
            Err(wrong) => Err(wrong.in_file(&file)),
        }
    }

    /// The name in the manifest of a folder, whatever else is wrong with the manifest; `None` if no plugin may have the name.
    pub(crate) fn name_in(folder: &Path) -> Option<String> {
        let (_, document) = document::read(folder).ok()?;
        let name = document.get("name")?.as_str()?;
        names::check_name(name).is_ok().then(|| name.to_owned())
    }
}

fn manifest(
    (folder, file): (&Path, &Path),
    document: &Value,
    reserved: &Reserved,
) -> Result<Manifest, Wrong> {
    let keys = [&KNOWN[..], &OTHERS[..]].concat();
    let table = Node::document(document).table(&keys)?;
    let name = names::own_name(&table.required("name", "the plugin's name")?)?;
    table.maybe("trust", trust)?;
    let api_version = table.maybe("api_version", versions::api_version)?;
    let (declared, capabilities) = capabilities(&table, &name, reserved)?;
    Ok(Manifest {
        folder: folder.to_owned(),
        file: file.to_owned(),
        version: versions::version(&table.required("version", "three numbers as in 1.0.2")?)?,
        api_version: api_version.unwrap_or_else(|| "*".to_owned()),
        plugin_type: table.maybe("type", plugin_type)?.unwrap_or_default(),
        extends: table.maybe("extends", extends)?.unwrap_or_default(),
        description: text(&table, "description")?,
        backend: backend::backend(
            &table.required("backend", "a table that has `entry` or `command`")?,
        )?,
        declared,
        capabilities,
        client_capabilities: list(&table, "client_capabilities")?,
        has_serve_ready: table
            .maybe("serve_ready_handshake", Node::flag)?
            .unwrap_or(false),
        restart: table
            .maybe("restart", restart::restart)?
            .unwrap_or_default(),
        resources: table.maybe("resources", resources)?.unwrap_or_default(),
        settings: table
            .maybe("settings", settings::settings)?
            .unwrap_or_default(),
        dependencies: table
            .maybe("dependencies", dependencies)?
            .unwrap_or_default(),
        others: others(&table),
        name,
    })
}

/// The declared capabilities: all of `runtime_capabilities`, and those entries of `permissions` that are capabilities. Plugins written for
/// other runtimes of the protocol put everything into `permissions`, together with permissions for their hosts.
fn capabilities(
    table: &Table<'_>,
    name: &str,
    reserved: &Reserved,
) -> Result<(Vec<String>, Capabilities), Wrong> {
    let mut capabilities = Capabilities::new(name);
    let mut declared = Vec::new();
    if let Some(list) = table.get("runtime_capabilities") {
        let nodes = list.list()?;
        if nodes.len() > MOST_CAPABILITIES {
            return Err(list.wrong(format!(
                "a list of {MOST_CAPABILITIES} capabilities at most"
            )));
        }
        for node in nodes {
            let text = node.any_text()?;
            let capability = text.parse().and_then(|capability| {
                reserved.check(&capability)?;
                Ok(capability)
            });
            let capability = capability.map_err(|allowed: String| node.wrong(allowed))?;
            capabilities.add(capability);
            declared.push(text.to_owned());
        }
    }
    let permissions = table.get("permissions");
    let permissions = permissions.filter(|node| node.value().is_array());
    let permissions = permissions.map(|node| node.list()).transpose()?;
    let texts = permissions.iter().flatten().filter_map(|node| {
        let text = node.value().as_str()?;
        Some((node, text))
    });
    for (node, permission) in texts.take(MOST_CAPABILITIES) {
        if let Ok(capability) = permission.parse() {
            let checked = reserved.check(&capability);
            checked.map_err(|allowed| node.wrong(allowed))?;
            capabilities.add(capability);
            declared.push(permission.to_owned());
        }
    }
    Ok((declared, capabilities))
}

fn text(table: &Table<'_>, name: &str) -> Result<String, Wrong> {
    let text = table.maybe(name, |node| node.any_text().map(str::to_owned))?;
    Ok(text.unwrap_or_default())
}

fn list(table: &Table<'_>, name: &str) -> Result<Vec<String>, Wrong> {
    Ok(table.maybe(name, Node::texts)?.unwrap_or_default())
}

fn trust(node: &Node<'_>) -> Result<(), Wrong> {
    match node.value().as_str() {
        Some("same-user") => Ok(()),
        Some("isolated") => Err(node.wrong(
            "`same-user`; this version cannot draw a kernel boundary around a plugin, and does not start one that demands it",
        )),
        _ => Err(node.wrong("`same-user`")),
    }
}

fn plugin_type(node: &Node<'_>) -> Result<PluginType, Wrong> {
    match node.value().as_str() {
        Some("core") => Ok(PluginType::Core),
        Some("standalone") => Ok(PluginType::Standalone),
        Some("extension") => Ok(PluginType::Extension),
        _ => Err(node.wrong("`core`, `standalone` or `extension`")),
    }
}

fn extends(node: &Node<'_>) -> Result<Vec<String>, Wrong> {
    match node.value() {
        Value::String(_) => Ok(vec![node.text()?.to_owned()]),
        Value::Array(_) => node.texts(),
        _ => Err(node.wrong("the name of a plugin, or a list of names")),
    }
}

fn resources(node: &Node<'_>) -> Result<Resources, Wrong> {
    let table = node.table(&["memory_mb", "cpu_weight", "disk_mb"])?;
    Ok(Resources {
        memory_mb: table.maybe("memory_mb", |node| node.number(1..=MOST_MB))?,
        cpu_weight: table.maybe("cpu_weight", |node| node.number(1..=10_000))?,
        disk_mb: table.maybe("disk_mb", |node| node.number(1..=MOST_MB))?,
    })
}

fn dependencies(node: &Node<'_>) -> Result<BTreeMap<String, String>, Wrong> {
    if node.value().is_array() {
        let names = node.texts()?.into_iter();
        return Ok(names.map(|name| (name, "*".to_owned())).collect());
    }
    if !node.value().is_object() {
        return Err(
            node.wrong("a list of plugins' names, or a table of ranges of versions by name")
        );
    }
    let entries = node.entries()?.into_iter();
    entries
        .map(|(name, node)| Ok((name.to_owned(), versions::range(&node)?.text)))
        .collect()
}

fn others(table: &Table<'_>) -> BTreeMap<&'static str, Value> {
    let found = OTHERS.iter().filter_map(|name| {
        let node = table.get(name)?;
        Some((*name, node.value().clone()))
    });
    found.collect()
}
