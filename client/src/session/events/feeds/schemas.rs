//! Schemas of sources whose types differ from a subscription's. They are fetched in parts, one schema at a time,
//! and compared when the control thread has time.

use std::collections::VecDeque;

use callgate_layout::control::{FeedToBroker, MAX_SCHEMA};
use callgate_layout::schema::compare::{Suits, suits};

use super::Followed;
use crate::base::error::{Error, Result};
use crate::session::schemas::known::{Known, Parts};
use crate::session::wanted::Wanted;

/// The schemas that are known, and the feeds that wait for others, in order.
#[derive(Default)]
pub(crate) struct FeedSchemas {
    known: Known,
    waiting: VecDeque<(u64, u64)>,
    fetch: Option<Fetch>,
}

/// A schema that is being fetched, or that is fetched and not decoded yet.
struct Fetch {
    request: u32,
    feed: u64,
    schema: u64,
    parts: Parts,
    is_whole: bool,
}

/// The outcome of a step.
pub(crate) enum FeedStep {
    /// The control thread has to send this request for a schema.
    Ask(FeedToBroker),
    /// The events of this feed can be converted, with this difference, or cannot.
    Compared(u64, Result<Difference>),
    /// Something was decoded, and there is more to do.
    More,
}

/// The difference between types that can be converted.
pub(crate) struct Difference {
    pub(crate) text: String,
    /// Whether the subscription takes events of any type, so that the difference need not be reported.
    pub(crate) is_meant: bool,
}

impl FeedSchemas {
    /// Adds a feed that waits until its source's schema is compared.
    pub(crate) fn wait(&mut self, feed: u64, schema: u64) {
        self.waiting.push_back((feed, schema));
    }

    /// Whether there is a step to be taken before the broker sends more.
    pub(crate) fn is_step_due(&self) -> bool {
        match &self.fetch {
            Some(fetch) => fetch.is_whole,
            None => !self.waiting.is_empty(),
        }
    }

    /// Takes the next step: decodes a schema, compares the types of one feed, or says which schema to fetch.
    pub(crate) fn step(
        &mut self,
        followed: &Followed,
        number: impl FnOnce() -> u32,
    ) -> Option<FeedStep> {
        if let Some(fetch) = self.fetch.take_if(|fetch| fetch.is_whole) {
            self.known.add(fetch.schema, fetch.parts);
            return Some(FeedStep::More);
        }
        if self.fetch.is_some() {
            return None;
        }
        let &(feed, schema) = self.waiting.front()?;
        let Some(wanted) = followed.with(feed, |told| told.subscribed.wanted.clone()) else {
            self.waiting.pop_front();
            return Some(FeedStep::More);
        };
        let Some(compared) = self.compare(&wanted, schema) else {
            return Some(FeedStep::Ask(self.ask((feed, schema), number())));
        };
        self.waiting.pop_front();
        Some(FeedStep::Compared(feed, compared))
    }

    fn compare(&self, wanted: &Wanted, schema: u64) -> Option<Result<Difference>> {
        let source = match self.known.schema(schema)? {
            Ok(source) => source,
            Err(error) => return Some(Err(error.clone())),
        };
        let is_meant = wanted.signature.params.is_none();
        Some(match suits(source, &wanted.signature) {
            Ok(Suits::Convertible { difference: text }) => Ok(Difference { text, is_meant }),
            // The types are equal; the broker has compared bytes that are not canonical.
            Ok(Suits::Equal) => Ok(Difference {
                text: "none but in how the types are described".to_owned(),
                is_meant,
            }),
            Err(mismatch) => Err(Error::new(mismatch.code, mismatch.to_string())),
        })
    }

    fn ask(&mut self, (feed, schema): (u64, u64), request: u32) -> FeedToBroker {
        self.fetch = Some(Fetch {
            request,
            feed,
            schema,
            parts: Parts::default(),
            is_whole: false,
        });
        FeedToBroker::Fetch {
            request,
            feed,
            schema,
            offset: 0,
        }
    }

    /// Whether a request was for a part of a schema.
    pub(crate) fn is_fetch(&self, request: u32) -> bool {
        let mut fetch = self.fetch.iter();
        fetch.any(|fetch| fetch.request == request && !fetch.is_whole)
    }

    /// Adds a part. Returns the request for the next one, if there is one. If the parts do not fit, returns the
    /// feeds that fail.
    pub(crate) fn part(
        &mut self,
        (total, bytes): (u32, &[u8]),
        number: impl FnOnce() -> u32,
    ) -> Result<Option<FeedToBroker>, (Vec<u64>, Error)> {
        let Some(fetch) = &mut self.fetch else {
            return Ok(None);
        };
        debug_assert!(fetch.parts.len() <= MAX_SCHEMA);
        match fetch.parts.add(total, bytes) {
            Ok(true) => {
                fetch.is_whole = true;
                Ok(None)
            }
            Ok(false) => {
                fetch.request = number();
                Ok(Some(FeedToBroker::Fetch {
                    request: fetch.request,
                    feed: fetch.feed,
                    schema: fetch.schema,
                    offset: fetch.parts.len(),
                }))
            }
            Err(misfit) => Err((self.fail(), misfit)),
        }
    }

    /// Drops the fetch, because the broker has refused it or sent parts that do not fit. Returns the feeds that
    /// waited for it.
    pub(crate) fn fail(&mut self) -> Vec<u64> {
        let Some(fetch) = self.fetch.take() else {
            return Vec::new();
        };
        let all = std::mem::take(&mut self.waiting);
        let (failed, waiting): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|(_, schema)| *schema == fetch.schema);
        self.waiting = waiting.into();
        failed.into_iter().map(|(feed, _)| feed).collect()
    }

    /// Removes a feed that has ended. If a schema was being fetched for it, other feeds that need the schema fetch
    /// it anew.
    pub(crate) fn forget(&mut self, feed: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != feed);
        if self
            .fetch
            .as_ref()
            .is_some_and(|fetch| fetch.feed == feed && !fetch.is_whole)
        {
            self.fetch = None;
        }
    }

    /// Forgets everything, because the connection is over.
    pub(crate) fn clear(&mut self) {
        *self = FeedSchemas::default();
    }
}
