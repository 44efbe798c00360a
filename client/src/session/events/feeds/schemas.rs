//! Schemas of sources whose types are others than a subscription's: fetched in parts and one at a time, and compared when
//! the control thread has time for that.

use std::collections::VecDeque;

use callgate_layout::control::{FeedToBroker, MAX_SCHEMA};
use callgate_layout::schema::compare::{Suits, suits};

use super::Followed;
use crate::base::error::{Error, Result};
use crate::session::schemas::known::{Known, Parts};
use crate::session::wanted::Wanted;

/// What is known of schemas, and the feeds that wait for them, in order.
#[derive(Default)]
pub(crate) struct FeedSchemas {
    known: Known,
    waiting: VecDeque<(u64, u64)>,
    fetch: Option<Fetch>,
}

/// A schema that is being fetched, or was and is not decoded yet.
struct Fetch {
    request: u32,
    feed: u64,
    schema: u64,
    parts: Parts,
    is_whole: bool,
}

/// What a step has led to.
pub(crate) enum FeedStep {
    /// A schema is to be asked for.
    Ask(FeedToBroker),
    /// Whether the events of a feed can become what is wanted: the difference, which is no news where anything is
    /// taken.
    Compared(u64, Result<Difference>),
    /// Something was decoded, and more is to be done.
    More,
}

/// What differs between types that can be converted.
pub(crate) struct Difference {
    pub(crate) text: String,
    /// Whoever wants it takes anything.
    pub(crate) is_meant: bool,
}

impl FeedSchemas {
    /// A feed waits for its source's schema to be compared.
    pub(crate) fn wait(&mut self, feed: u64, schema: u64) {
        self.waiting.push_back((feed, schema));
    }

    /// Whether there is something to do before the broker says more.
    pub(crate) fn is_step_due(&self) -> bool {
        match &self.fetch {
            Some(fetch) => fetch.is_whole,
            None => !self.waiting.is_empty(),
        }
    }

    /// Does what is to be done next: decodes a schema, compares the types of one feed, or says what to fetch.
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
            // The broker saw bytes that are not canonical.
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

    /// Whether a request was for a part.
    pub(crate) fn is_fetch(&self, request: u32) -> bool {
        let mut fetch = self.fetch.iter();
        fetch.any(|fetch| fetch.request == request && !fetch.is_whole)
    }

    /// Takes in a part: what is to be asked for next, if anything is; the feeds that fail where the parts do not fit.
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

    /// The broker refuses what was asked for, or sends what does not fit: the feeds that wait for it.
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

    /// A feed has ended. What was fetched for it is fetched for another one, or anew.
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

    /// The connection is over.
    pub(crate) fn clear(&mut self) {
        *self = FeedSchemas::default();
    }
}
