//! Keys and values in one file: reading and changing an open database.

use std::ops::Bound;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
};

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

/// The pairs that are to be listed.
pub(crate) struct Page {
    pub(crate) prefix: String,
    /// Only pairs behind this key.
    pub(crate) after: Option<String>,
    /// At most so many pairs; `None` lists all.
    pub(crate) limit: Option<usize>,
}

/// A change of one key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    Set { key: &'a str, value: &'a str },
    Delete { key: &'a str },
}

/// Makes changes one after the other, and writes all of them to the disk at once. When this returns, they outlive a power failure. Returns
/// for each change whether the key was there before, or the quota that the change would exceed; such a change is left out, and the others
/// are made.
pub(crate) fn change(
    database: &Database,
    changes: &[Change<'_>],
    quota: Quota,
) -> Result<Vec<std::result::Result<bool, OverQuota>>> {
    let write = database.begin_write()?;
    let (mut outcomes, mut has_changed) = (Vec::with_capacity(changes.len()), false);
    {
        let mut pairs = write.open_table(PAIRS)?;
        let mut totals = write.open_table(TOTALS)?;
        let mut total = totals.get(BYTES)?.map_or(0, |total| total.value());
        for change in changes {
            let outcome = match *change {
                Change::Set { key, value } => set(&mut pairs, (key, value), (quota, &mut total))?,
                Change::Delete { key } => Ok(delete(&mut pairs, key, &mut total)?),
            };
            has_changed |= match (change, &outcome) {
                (Change::Set { .. }, Ok(_)) => true,
                (_, outcome) => matches!(outcome, Ok(true)),
            };
            outcomes.push(outcome);
        }
        totals.insert(BYTES, total)?;
    }
    match has_changed {
        true => write.commit()?,
        false => write.abort()?,
    }
    Ok(outcomes)
}

type Pairs<'t> = Table<'t, &'static str, &'static str>;

fn set(
    pairs: &mut Pairs<'_>,
    (key, value): (&str, &str),
    (quota, total): (Quota, &mut u64),
) -> Result<std::result::Result<bool, OverQuota>> {
    let before = pairs.get(key)?.map(|before| size(key, before.value()));
    let keys = pairs.len()? + u64::from(before.is_none());
    let now = total.saturating_sub(before.unwrap_or(0)) + size(key, value);
    if let Some(over) = over(&quota, (before.is_none(), keys), (*total, now)) {
        return Ok(Err(over));
    }
    pairs.insert(key, value)?;
    *total = now;
    Ok(Ok(before.is_some()))
}

fn delete(pairs: &mut Pairs<'_>, key: &str, total: &mut u64) -> Result<bool> {
    let before = pairs.remove(key)?;
    let before = before.map(|before| size(key, before.value()));
    *total = total.saturating_sub(before.unwrap_or(0));
    Ok(before.is_some())
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
