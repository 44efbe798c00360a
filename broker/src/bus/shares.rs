//! Records about shares. What there is stands in [`crate::shares`]; what happens here, a file for each subject:
//!
//! ```text
//! wants      a tag is wanted: it is had, or waited for; whose turn it is to make it
//! makings    a version is asked for or published, gets memory, and is written
//! sealing    nobody can change it any more
//! lost       makings that end without a version
//! versions   a version is registered; the one before is superseded, and let go with its last holder
//! users      who has a share, and what it was sent of it
//! twins      a version as JSON, for users of another type
//! watches    who is told when a tag does not stand as it was seen
//! files      persistent shares: kept before they are registered, looked for where a tag is absent, removed
//! returned   what was made for an earlier broker
//! ends       a plugin has gone, or may do less
//! ```

mod ends;
mod files;
mod lost;
mod makings;
mod returned;
mod sealing;
mod twins;
mod users;
mod versions;
mod wants;
mod watches;

use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{Failure, Making, ShareToBroker, check_gate_name};

use super::{Bus, Weight, protocol};
use crate::id::PluginId;
use crate::quota::{Charge, Quota};
use crate::shares::Facts;

impl Bus {
    /// Sets how many MiB the shares of all plugins may have together.
    pub(crate) fn limit_shares(&mut self, mib: u32) {
        self.shares.bus = Quota::new(mib);
    }

    pub(crate) fn shares(&self) -> &crate::shares::Shares {
        &self.shares
    }

    pub(super) fn share_record(
        &mut self,
        from: PluginId,
        record: ShareToBroker,
        now: Instant,
    ) -> Result<Weight, Failure> {
        match record {
            ShareToBroker::Make { making, len } => self.make_version(from, making, len, now),
            ShareToBroker::Written { making } => self.version_written(from, making, now),
            ShareToBroker::GaveUp { making, failure } => {
                self.maker_gave_up(from, making, &failure, now)
            }
            ShareToBroker::Done { version } => self.done(from, version),
            ShareToBroker::Relinquish { share } => self.relinquish(from, share, now),
            record => Ok(self.share_request(from, record, now)),
        }
    }

    fn share_request(&mut self, from: PluginId, record: ShareToBroker, now: Instant) -> Weight {
        match record {
            ShareToBroker::Want { .. } => self.want(from, record, now),
            ShareToBroker::Forgo { request } => self.forgo(from, request, now),
            ShareToBroker::Publish {
                request,
                tag,
                make,
                len,
            } => self.publish(from, request, (&tag, make, len), now),
            ShareToBroker::PublishShort {
                request,
                tag,
                make,
                value,
            } => self.publish_short(from, request, (&tag, make, value), now),
            ShareToBroker::Fetch {
                request,
                share,
                encoding,
            } => self.fetch(from, request, (share, encoding), now),
            ShareToBroker::FetchSchema {
                request,
                share,
                schema,
                offset,
            } => {
                let part = self.part_of_share(from, (share, schema), offset);
                self.answer_fetch(from, request, part)
            }
            ShareToBroker::Watch { request, tag, seen } => self.watch(from, request, (&tag, seen)),
            ShareToBroker::Unwatch { request } => self.unwatch(from, request),
            ShareToBroker::Return { .. } => self.take_back(from, record, now),
            ShareToBroker::Remove { request, tag } => self.remove_file(from, request, &tag),
            // Taken above.
            ShareToBroker::Make { .. }
            | ShareToBroker::Written { .. }
            | ShareToBroker::GaveUp { .. }
            | ShareToBroker::Done { .. }
            | ShareToBroker::Relinquish { .. } => Weight::Charged,
        }
    }

    /// What is said of a version that is to be made, with its schema kept; what is wrong with it.
    fn facts_of(&mut self, from: PluginId, tag: &str, making: Making) -> Result<Facts, Failure> {
        let gone = || Failure::new(Code::ProviderGone, "the plugin has gone");
        let member = self.members.get_mut(&from).ok_or_else(gone)?;
        // First of all, because that takes an upload.
        let held = member.schemas.hold(making.schema, &mut self.schemas);
        let held = held.map_err(|refused| self.explain(&refused, tag))?;
        let facts = Facts {
            form: making.form,
            held,
            signature: making.signature,
            json: making.json,
            persistent: making.persistent,
        };
        facts.check()?;
        match &self.no_files {
            Some(why) if facts.persistent => {
                let message = format!("the share {tag} cannot be persistent: {why}");
                Err(Failure::new(Code::InvalidArgument, message))
            }
            _ => Ok(facts),
        }
    }

    /// The tag of a request, if it can be one.
    fn share_tag(&self, tag: &str) -> Result<Arc<str>, Failure> {
        check_gate_name(tag).map_err(|why| Failure::new(Code::InvalidArgument, why))?;
        if self.cells.is_taken(tag) {
            let message = format!(
                "{tag} is the tag of a cell: read it as one (Shares::cell), or choose another one for the share"
            );
            return Err(Failure::new(Code::ShareTypeMismatch, message));
        }
        Ok(tag.into())
    }

    /// Charges a plugin for one share more that it has, makes, waits for or watches.
    pub(super) fn charge_share(&self, plugin: PluginId) -> Result<Charge, Failure> {
        let member = self.members.get(&plugin);
        let charge = member.and_then(|member| member.shares.charge());
        charge.ok_or_else(|| {
            let limit = member.map_or(0, |member| member.shares.limit());
            let message = format!(
                "this plugin has {limit} shares and cells already, its limit (those that it makes, waits for and \
                 watches count, too)"
            );
            Failure::new(Code::Overloaded, message)
        })
    }

    /// What it weighs to come back with something that an earlier broker had.
    fn weigh_share(&mut self, from: PluginId, returns: bool) -> Weight {
        let member = self.members.get_mut(&from).filter(|_| returns);
        let left = member.and_then(|member| {
            member.share_returns = member.share_returns.checked_sub(1)?;
            Some(Weight::Expected)
        });
        left.unwrap_or(Weight::Charged)
    }
}

/// What the session of a plugin ends with that named what there never was.
fn never_was(what: &str) -> Failure {
    protocol(&format!("it named a {what} that there never was"))
}
