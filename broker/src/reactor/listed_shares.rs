//! Shares in a listing.

use callgate_layout::control::Form;

use super::Reactor;
use crate::listing::{OtherVersionEntry, ShareEntry, ShareForm};
use crate::persistent::Store;
use crate::shares::{Share, Version};

impl Reactor {
    /// All shares and cells, in the order of their tags.
    pub(super) fn share_entries(&self) -> Vec<ShareEntry> {
        let shares = self.bus.shares().all();
        let shares = shares.filter(|(_, share)| !share.is_removed);
        let entries = shares.filter_map(|(_, share)| self.share_entry(share));
        let mut entries: Vec<ShareEntry> = entries.chain(self.cell_entries()).collect();
        entries.sort_by(|one, other| one.tag.cmp(&other.tag));
        entries
    }

    fn share_entry(&self, share: &Share) -> Option<ShareEntry> {
        let newest = self.bus.shares().version(share.newest)?;
        let others = share.others.iter();
        let others = others.filter_map(|other| self.bus.shares().version(*other));
        Some(ShareEntry {
            tag: share.tag.to_string(),
            owner: newest.maker.name.clone(),
            bytes: newest.len,
            version: newest.name.number,
            persistent: newest.facts.persistent,
            form: share_form(newest.facts.form),
            signature: newest.facts.signature.clone(),
            users: share.users.keys().map(|user| self.name_of(*user)).collect(),
            others: others.map(|other| self.other_version(other)).collect(),
        })
    }

    fn other_version(&self, version: &Version) -> OtherVersionEntry {
        let holders = version.holders.keys();
        OtherVersionEntry {
            version: version.name.number,
            bytes: version.len,
            json: version.form() == Form::Json,
            users: holders.map(|holder| self.name_of(*holder)).collect(),
        }
    }
}

/// Adds the persistent shares that no plugin uses. `shares` is sorted by tag, and stays so.
pub(super) fn add_kept(shares: &mut Vec<ShareEntry>, store: &Store) {
    let kept = store.list().unwrap_or_else(|error| {
        tracing::warn!("persistent shares cannot be listed: {error}");
        Vec::new()
    });
    for kept in kept {
        if let Err(place) = shares.binary_search_by(|share| share.tag.as_str().cmp(&kept.tag)) {
            let entry = ShareEntry {
                tag: kept.tag.to_string(),
                owner: kept.maker,
                bytes: kept.len,
                version: kept.name.number,
                persistent: true,
                form: share_form(kept.form),
                signature: kept.signature,
                others: Vec::new(),
                users: Vec::new(),
            };
            shares.insert(place, entry);
        }
    }
}

fn share_form(form: Form) -> ShareForm {
    match form {
        Form::Slice => ShareForm::Slice,
        // A tag never leads to a twin, so the newest version is not JSON.
        Form::Archive | Form::Json => ShareForm::Archive,
    }
}
