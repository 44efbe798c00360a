//! Keys and values in one file: reading and changing an open database.

use std::ops::Bound;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::request::Page;

/// The JSON texts of values, by their keys.
const PAIRS: TableDefinition<'_, &str, &str> = TableDefinition::new("pairs");
/// The sum of the bytes of all keys and values, under the key `bytes`.
const TOTALS: TableDefinition<'_, &str, u64> = TableDefinition::new("totals");
const BYTES: &str = "bytes";

type Result<T> = std::result::Result<T, redb::Error>;

/// The quota that a change would exceed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverQuota {
    pub(crate) quota: &'static str,
    pub(crate) limit: u64,
}

/// How many keys a plugin may have, and how many bytes of keys and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
}

/// Creates the tables of a new database.
pub(crate) fn found(database: &Database) -> Result<()> {
    let write = database.begin_write()?;
    write.open_table(PAIRS)?;
    write.open_table(TOTALS)?.insert(BYTES, 0)?;
    Ok(write.commit()?)
}

/// Returns the JSON text of a key's value.
pub(crate) fn get(database: &Database, key: &str) -> Result<Option<String>> {
    let pairs = database.begin_read()?.open_table(PAIRS)?;
    let value = pairs.get(key)?;
    Ok(value.map(|value| value.value().to_owned()))
}

/// Sets a key's value. When this returns, the value outlives a power failure.
pub(crate) fn set(
    database: &Database,
    (key, value): (&str, &str),
    quota: Quota,
) -> Result<std::result::Result<(), OverQuota>> {
    let write = database.begin_write()?;
    let over = {
        let mut pairs = write.open_table(PAIRS)?;
        let mut totals = write.open_table(TOTALS)?;
        let before = pairs.insert(key, value)?;
        let before = before.map(|before| size(key, before.value()));
        let total = totals.get(BYTES)?.map_or(0, |total| total.value());
        let now = total.saturating_sub(before.unwrap_or(0)) + size(key, value);
        totals.insert(BYTES, now)?;
        over(&quota, (before.is_none(), pairs.len()?), (total, now))
    };
    match over {
        Some(over) => {
            write.abort()?;
            Ok(Err(over))
        }
        None => {
            write.commit()?;
            Ok(Ok(()))
        }
    }
}

/// The quota that a change exceeds, if any. A change after which there are not more bytes than before exceeds none of bytes.
fn over(
    quota: &Quota,
    (is_new, keys): (bool, u64),
    (before, now): (u64, u64),
) -> Option<OverQuota> {
    if is_new && keys > quota.keys {
        return Some(OverQuota {
            quota: "keys",
            limit: quota.keys,
        });
    }
    (now > quota.bytes && now > before).then_some(OverQuota {
        quota: "bytes",
        limit: quota.bytes,
    })
}

/// Removes a key. Returns whether it was there.
pub(crate) fn delete(database: &Database, key: &str) -> Result<bool> {
    let write = database.begin_write()?;
    let was_there = {
        let mut pairs = write.open_table(PAIRS)?;
        let before = pairs.remove(key)?;
        let before = before.map(|before| size(key, before.value()));
        if let Some(before) = before {
            let mut totals = write.open_table(TOTALS)?;
            let total = totals.get(BYTES)?.map_or(0, |total| total.value());
            totals.insert(BYTES, total.saturating_sub(before))?;
        }
        before.is_some()
    };
    match was_there {
        true => write.commit()?,
        false => write.abort()?,
    }
    Ok(was_there)
}

/// Passes the pairs of a page to `sink`, in the order of their keys, until `sink` returns false.
pub(crate) fn list(
    database: &Database,
    page: &Page,
    mut sink: impl FnMut(&str, &str) -> bool,
) -> Result<()> {
    let pairs = database.begin_read()?.open_table(PAIRS)?;
    let from = match page.after.as_deref() {
        Some(after) if after >= page.prefix.as_str() => Bound::Excluded(after),
        _ => Bound::Included(page.prefix.as_str()),
    };
    for pair in pairs.range::<&str>((from, Bound::Unbounded))? {
        let (key, value) = pair?;
        if !key.value().starts_with(&page.prefix) || !sink(key.value(), value.value()) {
            break;
        }
    }
    Ok(())
}

/// How many bytes a pair counts.
fn size(key: &str, value: &str) -> u64 {
    (key.len() + value.len()) as u64
}
