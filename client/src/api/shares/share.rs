//! The guard of a shared value.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use callgate_layout::control::VersionName;

use crate::base::error::Result;
use crate::shares::held::Held;
use crate::shares::kind::ShareType;
use crate::shares::used::Used;

/// One version of a shared value, read where it lies: a guard of it. It dereferences to the archive of the value, or to the slice.
///
/// The memory stays mapped and as it is for as long as any guard of it lives, whatever becomes of the plugin that made it, of the broker, and of
/// this plugin; cloning a guard copies nothing. The first guard of a version checks it, all others of this plugin and type have that check
/// in common. With the last one the plugin lets the share go, which neither waits nor locks anything.
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

    /// The tag under which it is found.
    pub fn tag(&self) -> &str {
        &self.held.used.tag
    }

    /// The version's number: versions of a share count from 1.
    pub fn version(&self) -> u64 {
        self.held.name.number
    }

    /// The name of the plugin that made this version.
    pub fn maker(&self) -> &str {
        &self.held.maker
    }

    /// Whether the plugin that made it has another type, from which the value was converted. Then it lies in memory of this process's
    /// own.
    ///
    /// The plugin that made the version writes it as JSON for that. So it has to be there and to use the share still, unless others have had it
    /// converted before; else asking for the share is `SHARE_TYPE_MISMATCH`, also where the share is a persistent one. Slices of numbers are
    /// converted without their maker.
    pub fn is_converted(&self) -> bool {
        self.held.is_converted
    }

    /// A value of one's own: a `T`, or a `Vec` of the numbers.
    ///
    /// # Errors
    ///
    /// `PROTOCOL` for an archive that holds no value, `SYSTEM` without memory.
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
