//! Versions of shares: sealed memory, and the plugins that hold it.

use std::collections::BTreeMap;

use callgate_layout::control::{Form, VersionFacts, VersionName};

use super::{Charged, Conversions, Facts};
use crate::id::PluginId;
use crate::quota::Charge;

/// The plugin that has made a version.
#[derive(Clone, Debug)]
pub(crate) struct Maker {
    /// Its number while it lives; `None` after its end, and for a version that was loaded from a file.
    pub(crate) plugin: Option<PluginId>,
    pub(crate) name: String,
}

/// The twin of a version: its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Twin {
    /// The twin is being made, by this making.
    Made(u64),
    /// The twin is this version.
    There(u64),
}

/// A version of a share: sealed memory, with what its maker says of it.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) share: u64,
    pub(crate) name: VersionName,
    pub(crate) len: u64,
    pub(crate) facts: Facts,
    pub(crate) maker: Maker,
    /// Whether the memory is the file of a persistent share itself, which has no seals.
    pub(crate) in_place: bool,
    /// The maker is charged only while the version is the newest one.
    pub(crate) charged: Charged,
    /// The plugins that were sent the version and have not said `Done`. Each is charged for it once the version is superseded; for a twin
    /// at once.
    pub(crate) holders: BTreeMap<PluginId, Option<Charge>>,
    /// Whether the version is no longer the newest one; for a twin, whether its original is not.
    pub(crate) is_superseded: bool,
    /// If this is a twin: the version whose JSON it is.
    pub(crate) twin_of: Option<u64>,
    pub(crate) twin: Option<Twin>,
    pub(crate) conversions: Conversions,
}

impl Version {
    /// How the bytes are the value: as an archive, a slice or JSON.
    pub(crate) fn form(&self) -> Form {
        match self.twin_of {
            Some(_) => Form::Json,
            None => self.facts.form,
        }
    }

    /// Returns what a user is told of the version, which has this number.
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

    /// Whether the holders of the version are charged for it, and not its maker.
    pub(crate) fn is_charged_to_holders(&self) -> bool {
        self.is_superseded || self.twin_of.is_some()
    }

    /// True once no plugin holds this version and none will be sent it: the broker may let its memory go.
    pub(crate) fn is_of_no_use(&self) -> bool {
        self.holders.is_empty() && (self.is_superseded || self.twin_of.is_some())
    }
}
