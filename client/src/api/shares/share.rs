//! The guard of a shared value.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use callgate_layout::control::VersionName;

use crate::base::error::Result;
use crate::shares::held::Held;
use crate::shares::kind::ShareType;
use crate::shares::used::Used;

/// A guard of one version of a share, whose value is read in place. It dereferences to the archive of the value, or to the
/// slice.
///
/// The memory stays mapped and unchanged for as long as a guard of it lives, even if its maker, the broker or this plugin
/// end; cloning a guard copies nothing. The first guard of a version checks the bytes; other guards of this plugin with the
/// same type rely on that check. When the last guard is dropped, the plugin lets the share go, which neither waits nor
/// locks.
///
/// ```no_run
/// use callgate_client::{Plugin, Share, gate_type};
///
/// #[gate_type]
/// struct Table {
///     name: String,
///     gains: Vec<f32>,
/// }
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Mixer")?;
/// let table: Share<Table> = plugin.shares().get("Osc.Table")?;
/// assert_eq!(table.name, "sine");
/// let loudest = table.gains.iter().map(|gain| gain.to_native()).fold(0.0, f32::max);
/// # let _ = loudest;
/// # Ok(()) }
/// ```
pub struct Share<T: ShareType + ?Sized> {
    held: Arc<Held<T>>,
}

impl<T: ShareType + ?Sized> Share<T> {
    pub(crate) fn new(held: Arc<Held<T>>) -> Share<T> {
        Share { held }
    }

    pub(super) fn name(&self) -> VersionName {
        self.held.name
    }

    pub(super) fn used(&self) -> &Arc<Used> {
        &self.held.used
    }

    /// The tag of the share.
    pub fn tag(&self) -> &str {
        &self.held.used.tag
    }

    /// The version's number; versions of a share count from 1.
    pub fn version(&self) -> u64 {
        self.held.name.number
    }

    /// The name of the plugin that made this version.
    pub fn maker(&self) -> &str {
        &self.held.maker
    }

    /// Whether the maker has another type, from which the value was converted. The converted value lies in memory of this
    /// process.
    ///
    /// To convert a version, its maker writes it as JSON. So the maker has to be there and still use the share, unless the
    /// version was converted for another plugin before; otherwise asking for the share fails with `SHARE_TYPE_MISMATCH`,
    /// also for a persistent share. Slices of numbers are converted without their maker.
    pub fn is_converted(&self) -> bool {
        self.held.is_converted
    }

    /// Returns a copy that the caller owns: a `T`, or a `Vec` of the numbers.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` if the archive holds no valid value; `SYSTEM` without memory.
    pub fn to_value(&self) -> Result<T::Value> {
        T::value_of(self).map_err(|error| error.at_gate(self.held.used.tag.clone()))
    }
}

impl<T: ShareType + ?Sized> Deref for Share<T> {
    type Target = T::Shown;

    #[inline]
    fn deref(&self) -> &T::Shown {
        &self.held.shown
    }
}

impl<T: ShareType + ?Sized> Clone for Share<T> {
    #[inline]
    fn clone(&self) -> Share<T> {
        Share {
            held: self.held.clone(),
        }
    }
}

impl<T: ShareType + ?Sized> fmt::Debug for Share<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Share")
            .field("tag", &self.tag())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}
