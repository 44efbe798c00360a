//! Schemas that were fetched, and verdicts of comparing them.

use std::collections::VecDeque;
use std::sync::Arc;

use callgate_layout::control::MAX_SCHEMA;
use callgate_layout::schema::SchemaError;
use callgate_layout::{Code, Signature};

use crate::base::error::{Error, Result};
use crate::session::verdict::Verdict;
use crate::session::wanted::Wanted;

/// How many schemas are kept. Once a schema has been compared, it is rarely needed again.
pub(in crate::session) const MOST_KEPT: usize = 16;
/// How many verdicts are kept.
const MOST_VERDICTS: usize = 1024;

/// What is known; the newest entries are last.
#[derive(Default)]
pub(in crate::session) struct Known {
    schemas: VecDeque<(u64, Result<Arc<Signature>>)>,
    verdicts: VecDeque<Compared>,
}

/// The verdict of comparing an opener's types with a schema.
struct Compared {
    fingerprint: u128,
    /// Compared besides the fingerprint, which does not cover which fields have a default.
    wanted: Arc<Signature>,
    schema: u64,
    verdict: Verdict,
}

impl Compared {
    fn is_of(&self, wanted: &Wanted, schema: u64) -> bool {
        self.schema == schema
            && self.fingerprint == wanted.shape.fingerprint
            && self.wanted == wanted.signature
    }
}

impl Known {
    /// Decodes a schema that was fetched, and keeps it.
    pub(in crate::session) fn add(&mut self, number: u64, whole: Parts) {
        let schema = whole.signature().map(Arc::new);
        let schema = schema.map_err(|why| {
            let text = format!("what its provider says that it takes cannot be read: {why}");
            Error::new(Code::TypeMismatch, text)
        });
        if self.schemas.len() == MOST_KEPT {
            self.schemas.pop_front();
        }
        self.schemas.push_back((number, schema));
    }

    /// The verdict on an opener's types and a schema, if it is known without comparing them.
    pub(in crate::session) fn verdict_there(
        &self,
        wanted: &Wanted,
        number: u64,
    ) -> Option<Verdict> {
        let mut known = self.verdicts.iter();
        if let Some(compared) = known.find(|compared| compared.is_of(wanted, number)) {
            return Some(compared.verdict.clone());
        }
        match self.schema(number)? {
            Err(error) => Some(Verdict::Failed(error.clone())),
            // Not kept as a verdict: there would be many of these, and schemas may be large.
            Ok(provided) => wanted
                .is_untyped()
                .then(|| Verdict::Untyped(provided.clone())),
        }
    }

    /// The verdict on an opener's types and a schema; compares them if necessary. `None` if the schema is not here.
    pub(in crate::session) fn verdict(&mut self, wanted: &Wanted, number: u64) -> Option<Verdict> {
        if let Some(verdict) = self.verdict_there(wanted, number) {
            return Some(verdict);
        }
        let provided = self.schema(number)?.as_ref().ok()?;
        let verdict = Verdict::of(wanted, provided);
        if self.verdicts.len() == MOST_VERDICTS {
            self.verdicts.pop_front();
        }
        self.verdicts.push_back(Compared {
            fingerprint: wanted.shape.fingerprint,
            wanted: wanted.signature.clone(),
            schema: number,
            verdict: verdict.clone(),
        });
        Some(verdict)
    }

    /// A schema that was fetched, if it is still kept.
    pub(in crate::session) fn schema(&self, number: u64) -> Option<&Result<Arc<Signature>>> {
        let mut schemas = self.schemas.iter();
        let (_, schema) = schemas.find(|(known, _)| *known == number)?;
        Some(schema)
    }
}

#[cfg(test)]
impl Known {
    /// How many schemas are kept.
    pub(in crate::session) fn kept(&self) -> usize {
        self.schemas.len()
    }
}

/// The parts of a schema that have come so far, in order.
#[derive(Default)]
pub(in crate::session) struct Parts {
    /// The number of bytes of the whole schema.
    total: u32,
    bytes: Vec<u8>,
}

impl Parts {
    /// The number of bytes that have come.
    pub(in crate::session) fn len(&self) -> u32 {
        // Fits, because it is no more than the longest schema has.
        self.bytes.len() as u32
    }

    /// Decodes the schema, once all parts are here.
    pub(in crate::session) fn signature(&self) -> Result<Signature, SchemaError> {
        Signature::from_bytes(&self.bytes)
    }

    /// Adds a part. Returns whether all parts are here.
    pub(in crate::session) fn add(&mut self, total: u32, part: &[u8]) -> Result<bool> {
        if self.bytes.is_empty() {
            self.total = total;
        }
        let len = self.bytes.len() + part.len();
        if total != self.total || total > MAX_SCHEMA || part.is_empty() || len > total as usize {
            let text = "the broker has sent parts of a schema that do not fit each other";
            return Err(Error::new(Code::Protocol, text));
        }
        self.bytes.extend_from_slice(part);
        Ok(len == total as usize)
    }
}
