//! Records about shares. The state is in [`crate::shares`]; the steps are here, a file for each subject:
//!
//! ```text
//! wants      a plugin wants a tag: it is given the share, makes it, or waits
//! makings    a version is asked for or published; its maker is sent memory and writes it
//! sealing    a version is sealed, so that nobody can change it any more
//! lost       makings that end without a version
//! versions   a version is registered; the one before is superseded, and let go after its last holder
//! users      plugins that have a share, and the versions that they are sent
//! twins      versions as JSON, for users of another type
//! watches    plugins that are told when the newest version of a tag changes
//! files      persistent shares: saved in files, loaded, removed
//! returned   versions that were made under an earlier broker
//! ends       a plugin ends, or loses rights
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
            // Handled by [`Bus::share_record`].
            ShareToBroker::Make { .. }
            | ShareToBroker::Written { .. }
            | ShareToBroker::GaveUp { .. }
            | ShareToBroker::Done { .. }
            | ShareToBroker::Relinquish { .. } => Weight::Charged,
        }
    }

    /// Checks what a maker says of a version, and holds its schema.
    fn facts_of(&mut self, from: PluginId, tag: &str, making: Making) -> Result<Facts, Failure> {
        let gone = || Failure::new(Code::ProviderGone, "the plugin has gone");
        let member = self.members.get_mut(&from).ok_or_else(gone)?;
        // Before anything else is checked: holding the schema ends the upload that the plugin has made for it.
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

    /// Checks the tag of a request: it must be a valid name, and not that of a cell.
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

    /// Charges a plugin for one more share that it has, makes, waits for or watches.
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

    /// The weight of a request by which a plugin brings back a share of an earlier broker: a limited number of these are not charged to its
    /// rate.
    fn weigh_share(&mut self, from: PluginId, returns: bool) -> Weight {
        let member = self.members.get_mut(&from).filter(|_| returns);
        let left = member.and_then(|member| {
            member.share_returns = member.share_returns.checked_sub(1)?;
            Some(Weight::Expected)
        });
        left.unwrap_or(Weight::Charged)
    }
}

/// The failure that ends the session of a plugin that has named something that never existed.
fn never_was(what: &str) -> Failure {
    protocol(&format!("it named a {what} that there never was"))
}
