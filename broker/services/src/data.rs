//! The gates `data.kv` and `data.config`: reading and changing a plugin's pairs, and the JSON of the results.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use callgate_client::HandlerError;
use parking_lot::RwLock;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::pairs::{self, Change, OverQuota, Page, Quota};
use crate::refusal::{over_quota, too_large};
use crate::stores::{Kind, Missing, Stores};

/// The most bytes of a result: a frame has at most 4 MiB, and contains more than the result.
const RESULT: usize = (4 << 20) - (64 << 10);

type Result<T> = std::result::Result<T, HandlerError>;

/// The default settings of plugins by their keys; they hold where the host has set no other value.
#[derive(Clone, Default)]
pub(crate) struct Defaults(Arc<RwLock<HashMap<String, BTreeMap<String, Value>>>>);

impl Defaults {
    pub(crate) fn set(&self, plugin: String, settings: BTreeMap<String, Value>) {
        self.0.write().insert(plugin, settings);
    }

    fn of(&self, plugin: &str) -> BTreeMap<String, Value> {
        self.0.read().get(plugin).cloned().unwrap_or_default()
    }

    fn get(&self, plugin: &str, key: &str) -> Option<Value> {
        self.0.read().get(plugin)?.get(key).cloned()
    }
}

/// A JSON list or object that is being written.
struct Written {
    text: String,
    brackets: [char; 2],
    is_too_large: bool,
}

impl Written {
    fn new(brackets: [char; 2]) -> Written {
        Written {
            text: String::from(brackets[0]),
            brackets,
            is_too_large: false,
        }
    }

    /// Adds an element. Returns false if there is no room for it.
    fn push(&mut self, element: &str) -> bool {
        self.is_too_large = self.text.len() + element.len() + 2 > RESULT;
        if self.is_too_large {
            return false;
        }
        if self.text.len() > 1 {
            self.text.push(',');
        }
        self.text.push_str(element);
        true
    }

    fn end(mut self) -> String {
        self.text.push(self.brackets[1]);
        self.text
    }
}

/// Returns a text as JSON.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

pub(crate) fn get(stores: &mut Stores, plugin: &str, key: &str) -> Result<String> {
    let found = stores.with((Kind::Kv, plugin), Missing::Leave, |database| {
        pairs::get(database, key)
    })?;
    Ok(found.flatten().unwrap_or_else(|| "null".to_owned()))
}

/// Makes changes of a plugin's keys, all of one kind. If the store fails, none of them was made.
pub(crate) fn change(
    stores: &mut Stores,
    plugin: &str,
    changes: &[Change<'_>],
    quota: Quota,
) -> Vec<Result<String>> {
    let missing = match changes.first() {
        Some(Change::Set { .. }) => Missing::Make,
        _ => Missing::Leave,
    };
    let changed = stores.with((Kind::Kv, plugin), missing, |database| {
        pairs::change(database, changes, quota)
    });
    let said = |change: &Change<'_>, was_there: bool| match change {
        Change::Set { .. } => "null".to_owned(),
        Change::Delete { .. } => was_there.to_string(),
    };
    let changes = changes.iter();
    match changed {
        Err(error) => changes.map(|_| Err(error.clone())).collect(),
        Ok(None) => changes.map(|change| Ok(said(change, false))).collect(),
        Ok(Some(outcomes)) => {
            let both = changes.zip(outcomes);
            both.map(|(change, outcome)| match outcome {
                Ok(was_there) => Ok(said(change, was_there)),
                Err(OverQuota { quota, limit }) => Err(over_quota(quota, limit)),
            })
            .collect()
        }
    }
}

pub(crate) fn list(stores: &mut Stores, plugin: &str, page: &Page) -> Result<String> {
    let mut written = Written::new(['[', ']']);
    let mut left = page.limit.unwrap_or(usize::MAX);
    stores.with((Kind::Kv, plugin), Missing::Leave, |database| {
        pairs::list(database, page, |key, value| {
            if left == 0 {
                return false;
            }
            left -= 1;
            written.push(&format!("{{\"key\":{},\"value\":{value}}}", quoted(key)))
        })
    })?;
    // With a limit, the caller lists the rest in another page.
    match written.is_too_large && page.limit.is_none() {
        true => Err(too_large("result", (RESULT, "bytes: list with a `limit`"))),
        false => Ok(written.end()),
    }
}

pub(crate) fn get_many(stores: &mut Stores, plugin: &str, keys: &[String]) -> Result<String> {
    let keys: std::collections::BTreeSet<&str> = keys.iter().map(String::as_str).collect();
    let mut written = Written::new(['{', '}']);
    stores.with((Kind::Kv, plugin), Missing::Leave, |database| {
        for key in keys {
            if let Some(value) = pairs::get(database, key)?
                && !written.push(&format!("{}:{value}", quoted(key)))
            {
                break;
            }
        }
        Ok(())
    })?;
    match written.is_too_large {
        true => Err(too_large("result", (RESULT, "bytes: get fewer keys"))),
        false => Ok(written.end()),
    }
}

/// Returns the value to which the host has set a setting, or else its default.
pub(crate) fn setting(
    stores: &mut Stores,
    defaults: &Defaults,
    (plugin, key): (&str, &str),
) -> Result<Option<String>> {
    let set = stores.with((Kind::Config, plugin), Missing::Leave, |database| {
        pairs::get(database, key)
    })?;
    let default = || defaults.get(plugin, key).map(|value| value.to_string());
    Ok(set.flatten().or_else(default))
}

pub(crate) fn unknown_setting(key: &str) -> HandlerError {
    let text = format!("there is no setting `{key}`");
    HandlerError::new("UNKNOWN_SETTING", text).with_context(serde_json::json!({ "key": key }))
}

pub(crate) fn all_settings(
    stores: &mut Stores,
    defaults: &Defaults,
    plugin: &str,
) -> Result<String> {
    let mut settings = BTreeMap::new();
    for (key, value) in defaults.of(plugin) {
        settings.insert(key, to_raw_value(&value)?);
    }
    let all = Page {
        prefix: String::new(),
        after: None,
        limit: None,
    };
    stores.with((Kind::Config, plugin), Missing::Leave, |database| {
        pairs::list(database, &all, |key, value| {
            let value = RawValue::from_string(value.to_owned());
            settings.extend(value.ok().map(|value| (key.to_owned(), value)));
            true
        })
    })?;
    Ok(serde_json::to_string(&settings)?)
}

/// Sets a setting, or (without a value) removes what the host has set, so that the default holds again.
pub(crate) fn set_setting(
    stores: &mut Stores,
    (plugin, key): (&str, &str),
    value: Option<&str>,
) -> Result<()> {
    let whose = (Kind::Config, plugin);
    let unbounded = Quota {
        keys: u64::MAX,
        bytes: u64::MAX,
    };
    let (change, missing) = match value {
        Some(value) => (Change::Set { key, value }, Missing::Make),
        None => (Change::Delete { key }, Missing::Leave),
    };
    // Cannot be refused: there is no limit.
    let changed = stores.with(whose, missing, |database| {
        pairs::change(database, &[change], unbounded)
    });
    changed.map(|_| ())
}
