//! The schemas of gates and sources: kept once, and charged to each plugin that provides something with them.
//!
//! ```text
//! Known     the schemas of the bus, by their bytes: equal schemas have one number
//! Own       the schemas of one plugin: each is charged once, however many halves of gates have it
//! Upload    a schema that a plugin is sending in parts
//! ```
//!
//! A half of a gate that is provided, or waits in line, holds its schema ([`Held`]). The charge ends with the last half of the plugin that
//! has the schema; the schema is dropped with the last one of all plugins.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};

use callgate_layout::control::{MAX_INLINE_SCHEMA, MAX_SCHEMA, SchemaSource};
use callgate_layout::schema::{Head, SchemaError};

use crate::quota::{Charge, Quota};
use crate::refused::Refused;

/// When a map has so many entries, those whose things are gone are removed.
const SWEEP_AT: usize = 64;

/// The broker remembers of so many schemas that a plugin was told of them: as many as it may have gates open.
const MOST_TOLD: usize = 4096;

/// A schema as the broker keeps it.
#[derive(Debug)]
pub(crate) struct Schema {
    /// Never used again on this bus.
    pub(crate) number: u64,
    pub(crate) head: Head,
    pub(crate) bytes: Box<[u8]>,
}

/// A schema that a plugin is charged for; or that of a file, which is not charged.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) schema: Arc<Schema>,
    _charge: Option<Charge>,
}

/// Things by their keys. Each is kept only while another part of the broker holds it.
#[derive(Debug)]
struct Living<T> {
    by_key: HashMap<u64, Weak<T>>,
    sweep_at: usize,
}

impl<T> Living<T> {
    fn new() -> Living<T> {
        Living {
            by_key: HashMap::new(),
            sweep_at: SWEEP_AT,
        }
    }

    fn get(&self, key: u64) -> Option<Arc<T>> {
        self.by_key.get(&key)?.upgrade()
    }

    fn insert(&mut self, key: u64, thing: &Arc<T>) {
        if self.by_key.len() >= self.sweep_at {
            self.by_key.retain(|_, thing| thing.strong_count() > 0);
            self.sweep_at = SWEEP_AT.max(2 * self.by_key.len());
        }
        self.by_key.insert(key, Arc::downgrade(thing));
    }
}

/// The schemas of a bus.
#[derive(Debug)]
pub(crate) struct Known {
    /// By a hash that no plugin can predict.
    schemas: Living<Schema>,
    hasher: RandomState,
    next: u64,
}

impl Known {
    pub(crate) fn new() -> Known {
        Known {
            schemas: Living::new(),
            hasher: RandomState::new(),
            next: 1,
        }
    }

    /// Holds a schema that no plugin is charged for: that of a file.
    pub(crate) fn hold(&mut self, bytes: &[u8]) -> Result<Arc<Held>, SchemaError> {
        let schema = self.keep(bytes.to_vec())?;
        Ok(Arc::new(Held {
            schema,
            _charge: None,
        }))
    }

    /// Returns the schema of these bytes: the known one, or a new one.
    fn keep(&mut self, bytes: Vec<u8>) -> Result<Arc<Schema>, SchemaError> {
        let key = self.hasher.hash_one(&bytes);
        let known = self.schemas.get(key);
        if let Some(known) = known.filter(|known| *known.bytes == bytes[..]) {
            return Ok(known);
        }
        let schema = Arc::new(Schema {
            number: self.next,
            head: Head::of(&bytes)?,
            bytes: bytes.into(),
        });
        self.next += 1;
        self.schemas.insert(key, &schema);
        Ok(schema)
    }
}

/// A schema that is being uploaded.
#[derive(Debug)]
struct Upload {
    number: u32,
    total: u32,
    received: u32,
    bytes: Vec<u8>,
    /// `None` if the plugin may not have so much: then the bytes are dropped.
    charge: Option<Charge>,
}

/// A part of an upload.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) upload: u32,
    pub(crate) total: u32,
    pub(crate) offset: u32,
    pub(crate) bytes: Vec<u8>,
}

/// The schemas of one plugin.
#[derive(Debug)]
pub(crate) struct Own {
    /// In bytes.
    quota: Quota,
    held: Living<Held>,
    upload: Option<Upload>,
    /// How many parts are not charged as requests, so that a plugin can come back with all schemas that it may have.
    parts_left: u32,
    /// How many fetches are not charged, because the plugin was told of schemas that it will fetch.
    fetches_left: u32,
    /// The numbers of the schemas that the plugin was told of.
    told: HashSet<u64>,
}

impl Own {
    pub(crate) fn new(limit_mib: u32) -> Own {
        let limit = limit_mib.saturating_mul(1 << 20);
        Own {
            quota: Quota::new(limit),
            held: Living::new(),
            upload: None,
            // A schema that goes in parts is longer than one part, so at most half of the room in its parts is empty.
            parts_left: (limit / MAX_INLINE_SCHEMA as u32).saturating_mul(2),
            fetches_left: 0,
            told: HashSet::new(),
        }
    }

    /// Takes a part of an upload. Returns whether it is free of charge as a request. `Err` if no honest plugin would send it.
    pub(crate) fn take_part(&mut self, part: &Part) -> Result<bool, &'static str> {
        let Part { total, offset, .. } = *part;
        let len = u32::try_from(part.bytes.len()).unwrap_or(u32::MAX);
        if total > MAX_SCHEMA || len == 0 || len > total {
            return Err("a part of a schema has an impossible length");
        }
        if offset == 0 {
            // Dropped first, so that its charge is free for the new one.
            self.upload = None;
            self.upload = Some(Upload {
                number: part.upload,
                total,
                received: 0,
                bytes: Vec::new(),
                charge: self.quota.charge_many(total),
            });
        }
        let is_next = |upload: &&mut Upload| {
            (upload.number, upload.total, upload.received) == (part.upload, total, offset)
        };
        let upload = self.upload.as_mut().filter(is_next);
        let upload = upload.ok_or("a part of a schema came out of order")?;
        if len > total - upload.received {
            return Err("a schema is longer than its parts say");
        }
        upload.received += len;
        if upload.charge.is_some() {
            upload.bytes.extend_from_slice(&part.bytes);
        }
        let is_free = self.parts_left > 0;
        self.parts_left = self.parts_left.saturating_sub(1);
        Ok(is_free)
    }

    /// Holds the schema that the plugin provides something with.
    pub(crate) fn hold(
        &mut self,
        source: SchemaSource,
        known: &mut Known,
    ) -> Result<Arc<Held>, Refused> {
        let (bytes, charge) = match source {
            SchemaSource::Inline(bytes) => (bytes, None),
            SchemaSource::Upload(number) => self.take_upload(number)?,
        };
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let schema = known.keep(bytes);
        let schema = schema.map_err(|error| Refused::Invalid(error.to_string()))?;
        if let Some(held) = self.held.get(schema.number) {
            return Ok(held);
        }
        let charge = charge.or_else(|| self.quota.charge_many(len));
        let charge = charge.ok_or_else(|| self.too_much())?;
        let number = schema.number;
        let held = Arc::new(Held {
            schema,
            _charge: Some(charge),
        });
        self.held.insert(number, &held);
        Ok(held)
    }

    /// Takes a complete upload out, with its charge.
    fn take_upload(&mut self, number: u32) -> Result<(Vec<u8>, Option<Charge>), Refused> {
        let upload = self.upload.take_if(|upload| upload.number == number);
        let upload = upload.filter(|upload| upload.received == upload.total);
        let missing = || Refused::Invalid("there is no complete upload of this number".into());
        let upload = upload.ok_or_else(missing)?;
        match upload.charge {
            Some(charge) => Ok((upload.bytes, Some(charge))),
            None => Err(self.too_much()),
        }
    }

    fn too_much(&self) -> Refused {
        Refused::TooMuchSchema(self.quota.limit())
    }

    /// Notes that the plugin is told of a schema of this length, and may fetch it without being charged: all parts of a schema that is new
    /// to it, one part of another, which it has as a rule.
    pub(crate) fn may_fetch(&mut self, number: u64, length: usize) {
        if self.told.len() == MOST_TOLD {
            self.told.clear();
        }
        let parts = match self.told.insert(number) {
            true => length.div_ceil(MAX_INLINE_SCHEMA) as u32,
            false => 1,
        };
        self.fetches_left = self.fetches_left.saturating_add(parts);
    }

    /// Counts a fetch. Returns whether it is free of charge as a request.
    pub(crate) fn fetches(&mut self) -> bool {
        let is_free = self.fetches_left > 0;
        self.fetches_left = self.fetches_left.saturating_sub(1);
        is_free
    }
}

#[cfg(test)]
impl Held {
    /// Returns one with this head and number, without bytes.
    pub(crate) fn of(head: Head, number: u64) -> Arc<Held> {
        let schema = Schema {
            number,
            head,
            bytes: Box::default(),
        };
        Arc::new(Held {
            schema: Arc::new(schema),
            _charge: None,
        })
    }
}

#[cfg(test)]
#[path = "schemas_tests.rs"]
mod tests;
