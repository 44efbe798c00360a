//! The settings that a plugin declares.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::Wrong;
use super::fields::Node;

/// A setting that a manifest declares.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Setting {
    /// The value that applies until somebody sets another one.
    pub default: Option<Value>,
    /// The whole declaration, as it is in the manifest.
    pub declared: Value,
}

/// Reads a table of settings by key, or a list of tables that each have a `key`. For a setting that is a table the default is its field
/// `default`; any other value is the default itself.
pub(super) fn settings(node: &Node<'_>) -> Result<BTreeMap<String, Setting>, Wrong> {
    if node.value().is_object() {
        let entries = node.entries()?.into_iter();
        return Ok(entries
            .map(|(key, node)| (key.to_owned(), setting(node.value())))
            .collect());
    }
    if !node.value().is_array() {
        return Err(node.wrong("a table of settings, or a list of tables that have a `key`"));
    }
    let mut settings = BTreeMap::new();
    for node in node.list()? {
        let key = node.value().get("key").and_then(Value::as_str);
        let key = key.ok_or_else(|| node.wrong("a table that has a `key`, a text"))?;
        if settings
            .insert(key.to_owned(), setting(node.value()))
            .is_some()
        {
            return Err(node.wrong(format!("one setting with the `key` {key:?}")));
        }
    }
    Ok(settings)
}

fn setting(declared: &Value) -> Setting {
    let default = match declared {
        Value::Object(table) => table.get("default").cloned(),
        Value::Null => None,
        value => Some(value.clone()),
    };
    Setting {
        default,
        declared: declared.clone(),
    }
}
