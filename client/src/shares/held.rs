//! A value to which guards dereference, with everything that has to live as long.

use std::sync::Arc;

use callgate_layout::control::VersionName;
use callgate_layout::shares::sealed::{Sealed, Shown};

use super::kind::ShareType;
use super::used::{Used, Version};
use crate::base::error::{Error, Result};
use callgate_layout::Code;

/// What all guards of one version and type share.
pub(crate) struct Held<T: ShareType + ?Sized> {
    // Dropped first: with the last mapping of a version the broker may be told that the plugin does not use it any
    // more.
    pub(crate) shown: Shown<T::Shown>,
    pub(crate) name: VersionName,
    pub(crate) maker: Arc<str>,
    /// Whether the maker has another type, so that the value came as JSON.
    pub(crate) is_converted: bool,
    pub(crate) used: Arc<Used>,
    /// The version; `None` for a converted value, which lies in private memory of this process.
    _version: Option<Arc<Version>>,
}

impl<T: ShareType + ?Sized> Held<T> {
    /// Finds the value in the memory of a version, and checks it.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` with the maker's name, if the memory holds no valid value.
    pub(crate) fn of(version: &Arc<Version>) -> Result<Held<T>> {
        let facts = &version.facts;
        let gone = || Error::new(Code::Closed, "the version is not mapped any more");
        let memory = version.memory().ok_or_else(gone)?.clone();
        let shown = Shown::new(memory, T::find).map_err(|error| {
            let text = format!(
                "what plugin `{}` has shared is not what it said that it is: {}",
                facts.maker,
                error.message()
            );
            Error::new(error.code(), text)
        })?;
        Ok(Held {
            shown,
            name: facts.name,
            maker: facts.maker.as_str().into(),
            is_converted: false,
            used: version.used.clone(),
            _version: Some(version.clone()),
        })
    }

    /// Makes the same of a converted value in private memory.
    pub(crate) fn converted(
        used: &Arc<Used>,
        (name, maker): (VersionName, &str),
        memory: Sealed,
    ) -> Result<Held<T>> {
        Ok(Held {
            shown: Shown::new(Arc::new(memory), T::find)?,
            name,
            maker: maker.into(),
            is_converted: true,
            used: used.clone(),
            _version: None,
        })
    }
}
