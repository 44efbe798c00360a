//! Schemas that were fetched, and what came of comparing them.

use std::collections::VecDeque;
use std::sync::Arc;

use callgate_layout::control::MAX_SCHEMA;
use callgate_layout::schema::SchemaError;
use callgate_layout::{Code, Signature};

use crate::base::error::{Error, Result};
use crate::session::verdict::Verdict;
use crate::session::wanted::Wanted;

/// How many schemas are kept: there is little use of them once they have been compared.
pub(in crate::session) const MOST_KEPT: usize = 16;
/// How many outcomes are kept.
const MOST_VERDICTS: usize = 1024;

/// What is known, the latest last.
#[derive(Default)]
pub(in crate::session) struct Known {
    schemas: VecDeque<(u64, Result<Arc<Signature>>)>,
    verdicts: VecDeque<Compared>,
}

/// What came of comparing an opener's types with a schema.
struct Compared {
    fingerprint: u128,
    /// Beside its fingerprint, which does not say which fields have a default.
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
    /// Takes in a schema that was fetched.
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

    /// What comes of comparing an opener's types with a schema, where that needs no comparison.
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
            // Not kept as a verdict: there are many of these, and schemas may be large.
            Ok(provided) => wanted
                .is_untyped()
                .then(|| Verdict::Untyped(provided.clone())),
        }
    }

    /// What comes of comparing an opener's types with a schema; `None` where that is not here.
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

    /// A schema that was fetched, if it is still here.
    pub(in crate::session) fn schema(&self, number: u64) -> Option<&Result<Arc<Signature>>> {
        let mut schemas = self.schemas.iter();
        let (_, schema) = schemas.find(|(known, _)| *known == number)?;
        Some(schema)
    }
}

#[cfg(test)]
impl Known {
    /// How many schemas there are.
    pub(in crate::session) fn kept(&self) -> usize {
        self.schemas.len()
    }
}

/// The parts of a schema that have come, in order.
#[derive(Default)]
pub(in crate::session) struct Parts {
    /// Bytes of the whole.
    total: u32,
    bytes: Vec<u8>,
}

impl Parts {
    /// Bytes that are there.
    pub(in crate::session) fn len(&self) -> u32 {
        // No more than the longest schema has.
        self.bytes.len() as u32
    }

    /// What they are together, when all are there.
    pub(in crate::session) fn signature(&self) -> Result<Signature, SchemaError> {
        Signature::from_bytes(&self.bytes)
    }

    /// Adds a part; whether all is there.
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
