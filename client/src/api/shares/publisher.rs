//! Publishing versions of a share.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use callgate_layout::view::Number;
use parking_lot::Mutex;

use super::Shares;
use super::share::Share;
use crate::base::error::Result;
use crate::shares::kind::ShareType;
use crate::shares::used::Used;

/// Publishes versions of a share, and keeps the share in use between them.
///
/// It does not keep a version mapped; the guard that [`Publisher::publish`] returns does.
///
/// ```no_run
/// use callgate_client::{Plugin, Publisher};
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Analyser")?;
/// let spectrum: Publisher<[f32]> = plugin.shares().publisher("Spectrum")?;
/// spectrum.publish_with(1024, |bins| bins.fill(0.0))?;
/// # Ok(()) }
/// ```
pub struct Publisher<T: ShareType + ?Sized> {
    shares: Shares,
    tag: Arc<str>,
    used: Mutex<Option<Arc<Used>>>,
    _type: PhantomData<fn(&T)>,
}

impl<T: ShareType + ?Sized> Publisher<T> {
    pub(super) fn new(shares: &Shares, tag: &str, used: Option<Arc<Used>>) -> Publisher<T> {
        Publisher {
            shares: shares.clone(),
            tag: tag.into(),
            used: Mutex::new(used),
            _type: PhantomData,
        }
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Publishes a new version; plugins that follow the share are told of it. The returned guard keeps this version
    /// mapped.
    ///
    /// # Errors
    ///
    /// As [`Shares::publish`].
    pub fn publish(&self, value: &T) -> Result<Share<T>> {
        self.shares
            .publish(&self.tag, value)
            .map(|share| self.keep(share))
    }

    fn keep(&self, share: Share<T>) -> Share<T> {
        let before = self.used.lock().replace(share.used().clone());
        drop(before);
        share
    }
}

impl<N: Number> Publisher<[N]>
where
    [N]: ShareType,
{
    /// Publishes `count` numbers that `fill` writes; above 16 KiB it writes them in place. They are zeros before
    /// that.
    ///
    /// If a broker ends meanwhile, `fill` runs once more, for the next broker.
    ///
    /// # Errors
    ///
    /// As [`Shares::publish`]; `INVALID_ARGUMENT` for a slice without numbers.
    pub fn publish_with(&self, count: usize, fill: impl FnMut(&mut [N])) -> Result<Share<[N]>> {
        let share = self.shares.publish_with(&self.tag, count, fill);
        share.map(|share| self.keep(share))
    }
}

impl<T: ShareType + ?Sized> fmt::Debug for Publisher<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}
