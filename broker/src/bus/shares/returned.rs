//! Versions that were made under an earlier broker: their makers return them, with their memory.

use std::time::Instant;

use callgate_layout::control::{Failure, ShareToBroker, VersionName};

use super::versions::is_taken;
use crate::bus::{Bus, Weight};
use crate::effect::Effect;
use crate::id::PluginId;
use crate::shares::{Facts, Kind, LAST, Making, Progress, invalid};

impl Bus {
    /// A plugin returns the newest version of a share, which it has made under an earlier broker.
    pub(super) fn take_back(
        &mut self,
        from: PluginId,
        record: ShareToBroker,
        now: Instant,
    ) -> Weight {
        let ShareToBroker::Return {
            request,
            tag,
            make,
            name,
            len,
        } = record
        else {
            return Weight::Charged;
        };
        let weight = self.weigh_share(from, true);
        let facts = self.facts_of(from, &tag, make);
        let begun =
            facts.and_then(|facts| self.begin_return(from, (request, name), (&tag, facts, len)));
        match begun {
            Ok(making) => {
                // The descriptor of the memory came with the record that is handled now.
                self.effects.push_back(Effect::Keep {
                    from,
                    version: making,
                });
                self.wait_for_seal(making, now);
            }
            Err(failure) => self.answer(from, request, Some(failure)),
        }
        weight
    }

    fn begin_return(
        &mut self,
        from: PluginId,
        (request, name): (u32, VersionName),
        (tag, facts, len): (&str, Facts, u64),
    ) -> Result<u64, Failure> {
        let tag = self.share_tag(tag)?;
        self.check_create_share(from, &tag)?;
        if facts.persistent {
            return Err(invalid(
                "a persistent share is not returned: its file is looked for",
            ));
        }
        if len == 0 || !(1..LAST).contains(&name.number) {
            return Err(invalid("no share has that version or that length"));
        }
        if self.shares.found(&tag).is_some() {
            return Err(is_taken(&tag));
        }
        let charge = self.charge_share(from)?;
        let charged = self.charge_version(Some(from), len, &tag)?;
        let (making, share) = (self.shares.number(), self.shares.number());
        let returned = Making {
            plugin: from,
            tag,
            facts,
            kind: Kind::Return {
                request,
                name,
                charge,
            },
            progress: Progress::Waiting,
            share,
            len,
            charged: Some(charged),
            saved_as: None,
        };
        self.shares.add_making(making, returned);
        Ok(making)
    }
}
