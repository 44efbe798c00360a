//! A value that guards show, and what it keeps.

use std::sync::Arc;

use callgate_layout::control::VersionName;
use callgate_layout::shares::sealed::{Sealed, Shown};

use super::kind::ShareType;
use super::used::{Used, Version};
use crate::base::error::{Error, Result};
use callgate_layout::Code;

/// What all guards of one version and type have in common.
pub(crate) struct Held<T: ShareType + ?Sized> {
    // First: with the last map of a version the broker may be told that there is none.
    pub(crate) shown: Shown<T::Shown>,
    pub(crate) name: VersionName,
    pub(crate) maker: Arc<str>,
    /// Whether the maker has another type, and the value came as JSON.
    pub(crate) is_converted: bool,
    pub(crate) used: Arc<Used>,
    /// Of a value that was converted, none: it lies in memory of this process's own.
    _version: Option<Arc<Version>>,
}

impl<T: ShareType + ?Sized> Held<T> {
    /// Finds the value in a version, and checks it.
    ///
    /// # Errors
    ///
    /// `PROTOCOL`, which names the maker, where there is none.
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

    /// The same for a value that was converted.
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
