//! Keys and values in one file: what is done with a database that is open.

use std::ops::Bound;

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use crate::request::Page;

/// The texts of JSON values by their keys.
const PAIRS: TableDefinition<'_, &str, &str> = TableDefinition::new("pairs");
/// How many bytes all keys and values have, under the key `bytes`.
const TOTALS: TableDefinition<'_, &str, u64> = TableDefinition::new("totals");
const BYTES: &str = "bytes";

type Result<T> = std::result::Result<T, redb::Error>;

/// What a quota refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverQuota {
    pub(crate) quota: &'static str,
    pub(crate) limit: u64,
}

/// The most keys, and the most bytes of keys and values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) keys: u64,
    pub(crate) bytes: u64,
}

/// Makes the tables of a new database.
pub(crate) fn found(database: &Database) -> Result<()> {
    let write = database.begin_write()?;
    write.open_table(PAIRS)?;
    write.open_table(TOTALS)?.insert(BYTES, 0)?;
    Ok(write.commit()?)
}

/// The text of a key's value.
pub(crate) fn get(database: &Database, key: &str) -> Result<Option<String>> {
    let pairs = database.begin_read()?.open_table(PAIRS)?;
    let value = pairs.get(key)?;
    Ok(value.map(|value| value.value().to_owned()))
}

/// Sets a key's value. When this returns, it outlives a failure of the machine's power.
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

/// What a change goes beyond. One that leaves less than there was goes beyond nothing.
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

/// Removes a key; whether it was there.
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

/// Gives the pairs of a page to `sink`, in the order of their keys, until it says that it has enough.
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

/// The bytes that a pair counts for.
fn size(key: &str, value: &str) -> u64 {
    (key.len() + value.len()) as u64
}
