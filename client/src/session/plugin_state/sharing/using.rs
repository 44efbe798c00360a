//! Getting the value of a share, once the broker counts this plugin as a user.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use callgate_layout::Encoding;
use callgate_layout::control::{ShareFit, ShareToBroker, VersionFacts};

use super::mapping;
use super::request::Request;
use super::want::{Got, Want};
use crate::base::error::Result;
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;
use crate::session::shares::desk::{Have, News};
use crate::session::shares::failures::not_there;
use crate::shares::table::Found;
use crate::shares::used::{Known, Made, Place, TellsBroker, Used, Version};

impl PluginState {
    /// Gets the newest version of a share that the plugin already uses; `None` if the broker has to be asked for
    /// the share anew.
    pub(super) fn renew_share(
        &self,
        membership: &Arc<Membership>,
        used: &Arc<Used>,
        want: &Want<'_>,
    ) -> Result<Option<Got>> {
        let is_known =
            |place: Place| place.of == membership.id.number() && place.page.number() != 0;
        if !used.place().is_some_and(is_known) {
            return Ok(None);
        }
        match used.known() {
            Some(Known::Is(of)) if of == want.what.as_type() => {
                let version = self.newest_version(membership, used, want.until)?;
                Ok(Some(Got::Version(version)))
            }
            Some(Known::Converts(of)) if of == want.what.as_type() && !want.exact => {
                self.fetch_json(membership, used, want.until).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The newest version of a share that has the wanted type.
    fn newest_version(
        &self,
        membership: &Arc<Membership>,
        used: &Arc<Used>,
        until: u64,
    ) -> Result<Arc<Version>> {
        if let Some(newest) = used.newest() {
            return Ok(newest);
        }
        let place = used.place().ok_or_else(not_there)?;
        if let Some((facts, file)) = used.take_parcel(|facts| place.is_newest(facts.name)) {
            return self.map_version(membership, used, (facts, &file));
        }
        let (facts, file) = self.fetch(membership, used, (Encoding::Archive, until))?;
        self.map_version(membership, used, (facts, &file))
    }

    /// Asks the broker for the newest version.
    pub(super) fn fetch(
        &self,
        membership: &Membership,
        used: &Used,
        (encoding, until): (Encoding, u64),
    ) -> Result<(VersionFacts, OwnedFd)> {
        // The broker sends nothing more to a plugin that holds too many superseded versions.
        used.settle();
        let place = used.place().ok_or_else(not_there)?;
        let request = Request::new(membership);
        let fetch = ShareToBroker::Fetch {
            request: request.number,
            share: place.share,
            encoding,
        };
        let what = "did not send a version of a share in time";
        let version = request.ask((fetch, until), what, |news| match news {
            News::Version(version) => Some(version),
            _ => None,
        })?;
        Ok(*version)
    }

    /// Maps a version that the broker has sent.
    pub(super) fn map_version(
        &self,
        membership: &Membership,
        used: &Arc<Used>,
        (facts, file): (VersionFacts, &OwnedFd),
    ) -> Result<Arc<Version>> {
        let memory = mapping::map(&facts, file, self.trust);
        let memory = memory.inspect_err(|_| {
            // It is not mapped, so the plugin does not use it.
            let version = facts.version;
            membership.tell(ShareToBroker::Done { version });
        })?;
        Ok(used.sent(facts, membership.id.number(), memory))
    }

    /// Gets the value of a share that the plugin now uses. `made` says whether this plugin has made it.
    pub(super) fn have_share(
        &self,
        membership: &Arc<Membership>,
        want: &Want<'_>,
        (have, made): (Have, bool),
    ) -> Result<Got> {
        let used = self.use_as(membership, want, &have)?;
        match (have.fit, have.memory) {
            (ShareFit::Same, Some(file)) => {
                used.learn(Known::Is(want.what.as_type()));
                let facts = have.facts;
                let version = self.map_version(membership, &used, (facts.clone(), &file))?;
                if made {
                    let number = facts.version;
                    let made = Arc::new(Made {
                        facts,
                        file,
                        persistent: have.persistent,
                        what: want.what.clone(),
                    });
                    membership.shares.made(number, &made);
                    used.set_made(made);
                }
                Ok(Got::Version(version))
            }
            (ShareFit::Same, None) => {
                used.learn(Known::Is(want.what.as_type()));
                let version = self.newest_version(membership, &used, want.until)?;
                Ok(Got::Version(version))
            }
            (ShareFit::Differs { schema, form }, _) => {
                self.convert_share(membership, want, (&used, &have.facts), (schema, form))
            }
        }
    }

    /// Adds a use to the table, so that its tag finds it.
    fn use_as(
        &self,
        membership: &Arc<Membership>,
        want: &Want<'_>,
        have: &Have,
    ) -> Result<Arc<Used>> {
        let of = membership.id.number();
        if let Found::Used(used) = self.shares.look(want.tag)
            && let Some(place) = used.place()
            && (place.of, place.share) == (of, have.share)
        {
            return Ok(used);
        }
        let place = place_of(membership, have);
        let used = Used::new((want.tag, want.what), self.shares.finds(), place);
        self.note_use(membership, &used, have.share)?;
        Ok(used)
    }
}

/// Where the broker of a membership has a share.
pub(in crate::session) fn place_of(membership: &Arc<Membership>, have: &Have) -> Place {
    let broker: Arc<dyn TellsBroker> = membership.clone();
    Place {
        of: membership.id.number(),
        broker: Arc::downgrade(&broker),
        share: have.share,
        page: have.page.clone(),
        incarnation: have.facts.name.incarnation,
    }
}
