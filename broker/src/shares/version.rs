//! Versions: sealed memory, and who has it.

use std::collections::BTreeMap;

use callgate_layout::control::{Form, VersionFacts, VersionName};

use super::{Charged, Conversions, Facts};
use crate::id::PluginId;
use crate::quota::Charge;

/// Who has made a version.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    /// While it lives; of what was found in a file nobody.
    pub(crate) plugin: Option<PluginId>,
    pub(crate) name: String,
}

/// The JSON of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    /// Its making.
    Made(u64),
    /// Itself.
    There(u64),
}

/// Sealed memory of a share.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) share: u64,
    pub(crate) name: VersionName,
    pub(crate) len: u64,
    pub(crate) facts: Facts,
    pub(crate) maker: Maker,
    /// Whether it is the file of a persistent share itself.
    pub(crate) in_place: bool,
    /// The maker is charged while it is the newest.
    pub(crate) charged: Charged,
    /// Those that were sent it and have not said that they have let go of it; each is charged once it is superseded, and for a twin at
    /// once.
    pub(crate) holders: BTreeMap<PluginId, Option<Charge>>,
    /// Whether it is neither the newest, nor the twin of that.
    pub(crate) is_superseded: bool,
    /// Of which version it is the twin.
    pub(crate) twin_of: Option<u64>,
    pub(crate) twin: Option<Twin>,
    pub(crate) conversions: Conversions,
}

impl Version {
    /// How its bytes are the value.
    pub(crate) fn form(&self) -> Form {
        match self.twin_of {
            Some(_) => Form::Json,
            None => self.facts.form,
        }
    }

    /// As a user is told of it.
    pub(crate) fn told(&self, version: u64) -> VersionFacts {
        VersionFacts {
            version,
            name: self.name,
            len: self.len,
            form: self.form(),
            maker: self.maker.name.clone(),
            in_place: self.in_place,
        }
    }

    /// Whether it is charged to those that have it, not to its maker.
    pub(crate) fn is_charged_to_holders(&self) -> bool {
        self.is_superseded || self.twin_of.is_some()
    }

    /// Whether nobody is to be sent it any more, and nobody has it.
    pub(crate) fn is_of_no_use(&self) -> bool {
        self.holders.is_empty() && (self.is_superseded || self.twin_of.is_some())
    }
}
