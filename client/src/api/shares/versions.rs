//! Following the versions of a share.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use callgate_layout::Code;
use callgate_layout::control::VersionName;
use callgate_layout::shares::page::PageReader;
use parking_lot::Mutex;

use super::options::Options;
use super::share::Share;
use crate::base::error::{Error, Result};
use crate::session::plugin_state::PluginState;
use crate::session::plugin_state::sharing::want::Want;
use crate::session::shares::waiting;
use crate::shares::follow::Follow;
use crate::shares::kind::ShareType;
use crate::shares::made::What;

/// Follows the versions of a share. It may be made before the share exists.
///
/// It is a user of the share: the share exists at least as long as this. The newest version that it has returned
/// stays mapped until it returns a newer one.
///
/// Any number of threads may use one; a version that one thread was given is not new to the others.
///
/// ```no_run
/// use callgate_client::{Plugin, Versions};
/// use std::time::Duration;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Reader")?;
/// let versions: Versions<[f32]> = plugin.shares().versions("Spectrum")?;
/// while let Some(spectrum) = versions.changed(Duration::from_secs(60))? {
///     println!("version {} has {} bins", spectrum.version(), spectrum.len());
/// }
/// # Ok(()) }
/// ```
pub struct Versions<T: ShareType + ?Sized> {
    state: Arc<PluginState>,
    tag: Arc<str>,
    what: Arc<What>,
    options: Options,
    follow: Arc<Follow>,
    now: Mutex<Now<T>>,
}

/// The newest version that is known, and what tells whether there is a newer one.
struct Now<T: ShareType + ?Sized> {
    /// The newest version that was fetched.
    last: Option<Share<T>>,
    /// The page where the broker writes the newest version's number; `None` while there is no share.
    page: Option<PageReader>,
    /// The value of [`Follow::seen`] at the last look at the broker; `None` before the first.
    seen: Option<u32>,
    /// The version that [`Versions::changed`] or [`Versions::latest`] has returned last.
    given: Option<VersionName>,
}

impl<T: ShareType + ?Sized> Versions<T> {
    pub(super) fn new(
        (state, options): (&Arc<PluginState>, Options),
        (tag, what): (Arc<str>, Arc<What>),
    ) -> Versions<T> {
        let follow = Arc::new(Follow::default());
        state.shares.follows.add(&follow);
        Versions {
            state: state.clone(),
            tag,
            what,
            options,
            follow,
            now: Mutex::new(Now {
                last: None,
                page: None,
                seen: None,
                given: None,
            }),
        }
    }

    /// The tag.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Returns the newest version; `None` as long as there is no share.
    ///
    /// If nothing has changed since the last call, a look at a word of shared memory shows that: without system
    /// call or allocation. Otherwise the broker is asked for the new version. While there is no broker, the newest
    /// version before its end is returned.
    ///
    /// # Errors
    ///
    /// As [`Shares::get`](crate::Shares::get), without `NOT_READY`.
    pub fn latest(&self) -> Result<Option<Share<T>>> {
        self.state.check_here()?;
        let mut now = self.now.lock();
        if !now.is_current(self.follow.seen()) {
            drop(now);
            self.renew()?;
            now = self.now.lock();
        }
        now.given = now.last.as_ref().map(Share::name).or(now.given);
        Ok(now.last.clone())
    }

    /// Returns a version that this has not returned yet; waits for one for `timeout` at most. `None` if none came.
    /// If several came meanwhile, it is the newest.
    ///
    /// # Errors
    ///
    /// As [`Versions::latest`]; `CLOSED` when the plugin has closed; `BROKER_GONE` when there will be no other
    /// broker.
    pub fn changed(&self, timeout: Duration) -> Result<Option<Share<T>>> {
        self.state.check_here()?;
        let until = waiting::due(timeout)?;
        loop {
            let seen = self.follow.seen();
            if let Some(new) = self.look()? {
                return Ok(Some(new));
            }
            let (page, number) = {
                let now = self.now.lock();
                let number = now.last.as_ref().map(|last| last.name().number);
                // Without a broker, the version whose number the page shows cannot be fetched.
                let page = now.page.clone().filter(|_| !self.state.presence.is_away());
                (page, number.unwrap_or(0))
            };
            let words = || {
                let own = self.follow.awaited(seen);
                let page = page.as_ref().map(|page| page.awaited(number));
                [Some(own), page].into_iter().flatten().collect()
            };
            let changed = || {
                let is_new = page.as_ref().is_some_and(|page| page.number() != number);
                (is_new || self.follow.seen() != seen).then_some(())
            };
            if waiting::wait_for(words, until, changed).is_none() {
                return Ok(None);
            }
        }
    }

    /// As [`Versions::changed`], as a future.
    ///
    /// The broker's record wakes the task. Then the thread that polls fetches and maps the version, which takes a
    /// round trip to the broker.
    ///
    /// # Errors
    ///
    /// As [`Versions::changed`].
    pub async fn changed_async(&self) -> Result<Share<T>> {
        poll_fn(|context| self.poll_changed(context)).await
    }

    fn poll_changed(&self, context: &mut Context<'_>) -> Poll<Result<Share<T>>> {
        self.state.check_here()?;
        // The waker is set before the look, so that anything which happens after the look wakes the task.
        self.follow.wake(context.waker());
        if let Some(new) = self.look()? {
            return Poll::Ready(Ok(new));
        }
        let name = self.now.lock().last.as_ref().map(Share::name);
        self.state.watch_share(&self.follow, (&self.tag, name));
        Poll::Pending
    }

    /// Returns the newest version, if it was not returned before.
    fn look(&self) -> Result<Option<Share<T>>> {
        if let Some(error) = self.state.presence.over() {
            return Err(error);
        }
        let is_current = self.now.lock().is_current(self.follow.seen());
        if !is_current {
            self.renew()?;
        }
        let mut now = self.now.lock();
        let given = now.given;
        let new = now.last.clone();
        let new = new.filter(|new| given != Some(new.name()));
        now.given = new.as_ref().map(Share::name).or(now.given);
        Ok(new)
    }

    /// Fetches the newest version, if there is a broker to ask.
    fn renew(&self) -> Result<()> {
        let seen = self.follow.seen();
        if self.state.presence.is_away() {
            return Ok(());
        }
        let want = Want {
            tag: &self.tag,
            what: &self.what,
            exact: self.options.exact,
            until: waiting::due(self.options.timeout)?,
        };
        let at_tag = |error: Error| error.at_gate(self.tag.clone());
        let (last, page) = match self.state.obtain::<T>(&want, None) {
            Ok(held) => {
                let page = held.used.place().map(|place| place.page);
                (Some(Share::new(held)), page)
            }
            Err(error) if error.code() == Code::NotReady => {
                if let Some(refused) = self.follow.refused() {
                    return Err(at_tag(refused));
                }
                self.state.watch_share(&self.follow, (&self.tag, None));
                (None, None)
            }
            Err(error) => return Err(at_tag(error)),
        };
        let mut now = self.now.lock();
        now.seen = Some(seen);
        now.page = page;
        let before = last.and_then(|last| now.last.replace(last));
        drop(now);
        drop(before);
        Ok(())
    }
}

impl<T: ShareType + ?Sized> Now<T> {
    /// Whether nothing has changed since the last look.
    fn is_current(&self, seen: u32) -> bool {
        self.seen == Some(seen)
            && match (&self.page, &self.last) {
                (Some(page), Some(last)) => page.number() == last.name().number,
                (page, _) => page.is_none(),
            }
    }
}

impl<T: ShareType + ?Sized> Drop for Versions<T> {
    fn drop(&mut self) {
        if self.state.is_here() {
            self.state.unwatch_share(&self.follow);
        }
    }
}

impl<T: ShareType + ?Sized> fmt::Debug for Versions<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Versions")
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}
