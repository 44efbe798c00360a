//! What programs hold of shares: `Shares`, guards, publishers, `Versions`, watches, and cells.

pub(crate) mod cells;
mod options;
pub(crate) mod publisher;
pub(crate) mod share;
pub(crate) mod versions;
pub(crate) mod watch;

use std::sync::{Arc, Weak};
use std::time::Duration;

use callgate_layout::view::Number;
use callgate_layout::{Code, control};

use self::options::Options;
use self::publisher::Publisher;
use self::share::Share;
use self::versions::Versions;
use self::watch::ShareWatch;
use crate::api::group::GroupCore;
use crate::base::any::Json;
use crate::base::buffers::Pool;
use crate::base::error::{Error, Result};
use crate::base::types::GateType;
use crate::handler::HandlerError;
use crate::session::plugin_state::PluginState;
use crate::session::plugin_state::sharing::making::{Make, Maker};
use crate::session::plugin_state::sharing::want::Want;
use crate::session::shares::waiting;
use crate::shares::content::{Archived, InPlace, Write};
use crate::shares::kind::ShareType;
use crate::shares::made::What;
use crate::shares::watched::{ShareEvent, Watched};

/// Values that the plugins of a bus have in common: each under a *tag*, in memory that all of them read in place and nobody can change.
///
/// A handle from [`Plugin::shares`](crate::Plugin::shares), cheap to make and to clone. Methods on it set how shares are asked for and made:
/// `plugin.shares().timeout(…).get("A")`. They consume the handle; a handle that is kept is cloned first:
/// `shares.clone().persistent().get_or_create(…)`.
///
/// A tag follows the rules for gates' names, but a gate of the same name has nothing to do with it. A share exists for as long as some plugin
/// uses it: holds a [`Share`] of it, or has a [`Publisher`] or [`Versions`] of it. Persistent ones ([`Shares::persistent`]) stay.
///
/// ```no_run
/// use callgate_client::{Plugin, Share};
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Reverb")?;
/// // The first plugin that wants it makes it, whoever that is; all others get the same memory.
/// let response: Share<[f32]> =
///     plugin.shares().create_with("Reverb.Response", 48_000, |samples: &mut [f32]| {
///         samples[0] = 1.0;
///     })?;
/// assert_eq!(response[0], 1.0);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Shares {
    state: Arc<PluginState>,
    /// The group whose dispatcher runs the functions of watches.
    group: Weak<GroupCore>,
    options: Options,
}

impl Shares {
    pub(in crate::api) fn new(state: &Arc<PluginState>, group: &Arc<GroupCore>) -> Shares {
        Shares {
            state: state.clone(),
            group: Arc::downgrade(group),
            options: Options::default(),
        }
    }

    /// Sets how long to wait for a share at most; 30 seconds unless set. Inside a handler, the wait also ends at the deadline of the call
    /// that the handler serves.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Shares {
        self.options.timeout = timeout;
        self
    }

    /// Sets how long making a share may take; 30 seconds unless set. A value that is finished later is dropped, and another plugin that wants
    /// the share makes it.
    #[must_use]
    pub fn make_within(mut self, time: Duration) -> Shares {
        self.options.how.within = time;
        self
    }

    /// Keeps what is made in a file that outlives all plugins and the broker, until it is [removed](Shares::remove) or the machine restarts.
    /// Once its maker has gone, only plugins with the same type can read it; it is [not converted](Share::is_converted) any more.
    #[must_use]
    pub fn persistent(mut self) -> Shares {
        self.options.how.persistent = true;
        self
    }

    /// Makes a share of another type an error even if it could be [converted](Share::is_converted).
    #[must_use]
    pub fn exact_only(mut self) -> Shares {
        self.options.exact = true;
        self
    }

    /// Asks the kernel for huge pages for what is made, which makes reading large values faster. The kernel may have none to give.
    #[must_use]
    pub fn huge_pages(mut self) -> Shares {
        self.options.how.huge = true;
        self
    }

    /// Returns a share. If there is none, `factory` makes its value, which is then written into the share's memory.
    ///
    /// If several plugins or threads ask at the same time, one of them makes it and the others wait. The factory runs on the calling thread,
    /// without any lock, so it may use gates and other shares. It must not ask for its own tag (`DEADLOCK`). If it panics, nothing is left
    /// behind, and the next one that wants the share makes it.
    ///
    /// If this plugin holds the share already, it is found without asking the broker: without system call or allocation. A plugin that may
    /// only read it gets what others have made or are making; `PERMISSION_DENIED` then says that there is none.
    ///
    /// # Errors
    ///
    /// `SHARE_TYPE_MISMATCH` for another type that cannot be converted; `INVALID_ARGUMENT` for a tag that is not allowed, or a value without
    /// archive; `PERMISSION_DENIED`, `TIMEOUT`, `DEADLOCK`, `OVERLOADED` over a limit of memory, `SYSTEM` without memory, `BROKER_GONE`.
    pub fn get_or_create<T: GateType + ShareType>(
        &self,
        tag: &str,
        factory: impl FnOnce() -> T,
    ) -> Result<Share<T>> {
        self.make(tag, || Ok(factory()))
    }

    /// As [`Shares::get_or_create`], with a factory that may fail: the caller gets its error, and the next one that wants the share makes it.
    ///
    /// # Errors
    ///
    /// As [`Shares::get_or_create`]; `HANDLER_ERROR` with the factory's own code and context.
    pub fn try_get_or_create<T: GateType + ShareType>(
        &self,
        tag: &str,
        factory: impl FnOnce() -> Result<T, HandlerError>,
    ) -> Result<Share<T>> {
        self.make(tag, || factory().map_err(Error::from))
    }

    fn make<T: GateType + ShareType>(
        &self,
        tag: &str,
        factory: impl FnOnce() -> Result<T>,
    ) -> Result<Share<T>> {
        // The value is kept: if a broker ends before it has it, the next broker gets the same value.
        let (mut factory, mut value) = (Some(factory), None);
        let make = &mut |pool: &Pool, write: &mut Write<'_>| {
            if let Some(factory) = factory.take() {
                value = Some(factory()?);
            }
            match &value {
                Some(value) => write(&mut Archived::new(value, Some(pool))?),
                None => Err(Error::new(
                    Code::HandlerError,
                    "the factory of the share has failed",
                )),
            }
        };
        let how = self.options.how;
        self.obtain(tag, Some(&mut Maker { how, make }))
    }

    /// Returns a share that is a slice of `count` numbers. If there is none, `fill` writes them in place; they are zeros before that.
    ///
    /// If a broker ends meanwhile, `fill` runs once more, for the next broker.
    ///
    /// # Errors
    ///
    /// As [`Shares::get_or_create`]; `INVALID_ARGUMENT` for a slice without numbers.
    pub fn create_with<N>(
        &self,
        tag: &str,
        count: usize,
        fill: impl FnMut(&mut [N]),
    ) -> Result<Share<[N]>>
    where
        N: Number,
        [N]: ShareType,
    {
        let mut content = InPlace::new(count, fill).map_err(|error| error.at_gate(tag))?;
        let make = &mut |_: &Pool, write: &mut Write<'_>| write(&mut content);
        let how = self.options.how;
        self.obtain(tag, Some(&mut Maker { how, make }))
    }

    /// Returns a share that exists.
    ///
    /// # Errors
    ///
    /// `NOT_READY` if there is none; `TYPE_MISMATCH` for a value that cannot be converted; otherwise as [`Shares::get_or_create`].
    pub fn get<T: ShareType + ?Sized>(&self, tag: &str) -> Result<Share<T>> {
        self.obtain(tag, None)
    }

    /// Returns a share; `None` if there is none.
    ///
    /// # Errors
    ///
    /// As [`Shares::get`], without `NOT_READY`.
    pub fn try_get<T: ShareType + ?Sized>(&self, tag: &str) -> Result<Option<Share<T>>> {
        match self.get(tag) {
            Ok(share) => Ok(Some(share)),
            Err(error) if error.code() == Code::NotReady => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns a share of any type as JSON. Its maker writes the JSON, as for a value that is [converted](Share::is_converted); slices of
    /// numbers are converted by this plugin itself.
    ///
    /// # Errors
    ///
    /// As [`Shares::get`].
    pub fn get_json(&self, tag: &str) -> Result<serde_json::Value> {
        let share: Share<Json> = self.get(tag)?;
        share.to_value().map(Json::into)
    }

    /// Makes a new version of a share, or the first one. Plugins that follow the share are told, and whoever asks for it from now on gets
    /// this version. Guards of older versions keep theirs. If no other plugin uses the share, it ends with the last guard.
    ///
    /// Publications of one share happen one after the other, whichever plugins make them. A `value` of type `[f32; 2]` makes a share of an
    /// array; `&array[..]` makes a share of a slice.
    ///
    /// # Errors
    ///
    /// As [`Shares::get_or_create`]; `SHARE_TYPE_MISMATCH` if the share has another type, even one that could be converted.
    pub fn publish<T: ShareType + ?Sized>(&self, tag: &str, value: &T) -> Result<Share<T>> {
        let make = &mut |pool: &Pool, write: &mut Write<'_>| value.write(pool, write);
        self.publish_made(tag, make)
    }

    /// Publishes a slice of `count` numbers that `fill` writes; above 16 KiB it writes them in place. They are zeros before that.
    ///
    /// If a broker ends meanwhile, `fill` runs once more, for the next broker.
    ///
    /// # Errors
    ///
    /// As [`Shares::publish`]; `INVALID_ARGUMENT` for a slice without numbers.
    pub fn publish_with<N: Number>(
        &self,
        tag: &str,
        count: usize,
        fill: impl FnMut(&mut [N]),
    ) -> Result<Share<[N]>>
    where
        [N]: ShareType,
    {
        let mut content = InPlace::new(count, fill).map_err(|error| error.at_gate(tag))?;
        self.publish_made(tag, &mut |_: &Pool, write: &mut Write<'_>| {
            write(&mut content)
        })
    }

    fn publish_made<'m, T: ShareType + ?Sized>(
        &self,
        tag: &str,
        make: &'m mut Make<'m>,
    ) -> Result<Share<T>> {
        let how = self.options.how;
        let publish = |want: &Want<'_>| {
            self.state
                .publish_share::<T>(want, &mut Maker { how, make })
        };
        self.with_want::<T, _>(tag, publish).map(Share::new)
    }

    /// Returns a handle that publishes versions of a share, and keeps the share in use between them.
    ///
    /// # Errors
    ///
    /// `SHARE_TYPE_MISMATCH` if there is a share of another type; otherwise as [`Shares::get`], except `NOT_READY`.
    pub fn publisher<T: ShareType + ?Sized>(&self, tag: &str) -> Result<Publisher<T>> {
        let used = match self.clone().exact_only().get::<T>(tag) {
            Ok(share) => Some(share.used().clone()),
            // `PERMISSION_DENIED` may mean that this plugin may make the share but not read it.
            Err(error) if matches!(error.code(), Code::NotReady | Code::PermissionDenied) => None,
            Err(error) => return Err(error),
        };
        Ok(Publisher::new(self, tag, used))
    }

    /// Returns a handle that follows the versions of a share. The share need not exist yet.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a tag that is not allowed; all other errors come from the first look at a version.
    pub fn versions<T: ShareType + ?Sized>(&self, tag: &str) -> Result<Versions<T>> {
        self.with_want::<T, _>(tag, |want| {
            let what = (want.tag.clone(), want.what.clone());
            Ok(Versions::new((&self.state, self.options), what))
        })
    }

    /// Has a function told what happens to a tag: that there is a share, each newer version, and that the share has ended. If there is a
    /// share already, the first event says so.
    ///
    /// The function runs where the plugin's handlers do ([`Dispatch`](crate::Dispatch)) and in their turn, one event after the other. Up to
    /// 64 events wait while it runs; versions that follow each other fast may be told as one. The function may use shares itself.
    ///
    /// ```no_run
    /// # use callgate_client::{Plugin, ShareEvent};
    /// # fn main() -> callgate_client::Result<()> {
    /// let plugin = Plugin::connect("Display")?;
    /// let _watch = plugin.shares().watch("Spectrum", |event| match event {
    ///     ShareEvent::Here { version } => println!("version {version}"),
    ///     ShareEvent::Gone => println!("gone"),
    ///     _ => {}
    /// })?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a tag that is not allowed, `SYSTEM` if no thread for handlers can be started, `CLOSED`. If the tag may not be
    /// watched, or is a cell's, [`ShareEvent::Refused`] tells it.
    pub fn watch(
        &self,
        tag: &str,
        told: impl Fn(ShareEvent) + Send + Sync + 'static,
    ) -> Result<ShareWatch> {
        self.state.check_here()?;
        check_tag(tag)?;
        let closed = || Error::new(Code::Closed, "this plugin has closed");
        let group = self.group.upgrade().ok_or_else(closed)?;
        group.start_serving()?;
        let feeds = &self.state.subscriptions.feeds;
        let me = self.state.membership().me.clone();
        let watched = Watched::new(tag.into(), (feeds, &me), Box::new(told));
        let watched = Arc::new(watched);
        self.state.watch_tag(&watched);
        Ok(ShareWatch::new(&self.state, &group.dispatcher, watched))
    }

    /// Removes a persistent share. Plugins that use it keep it; plugins that ask for it later do not find it.
    ///
    /// # Errors
    ///
    /// `NOT_READY` if there is none; `PERMISSION_DENIED`, `TIMEOUT`, `BROKER_GONE`.
    pub fn remove(&self, tag: &str) -> Result<()> {
        check_tag(tag)?;
        let until = waiting::due(self.options.timeout)?;
        let removed = self.state.remove_share(&tag.into(), until);
        removed.map_err(|error| error.at_gate(tag))
    }

    fn obtain<T: ShareType + ?Sized>(
        &self,
        tag: &str,
        maker: Option<&mut Maker<'_>>,
    ) -> Result<Share<T>> {
        self.state.check_here()?;
        if let Some(held) = self.state.shares.find::<T>(tag, self.options.exact) {
            return Ok(Share::new(held));
        }
        let obtain = |want: &Want<'_>| self.state.obtain::<T>(want, maker);
        self.with_want::<T, _>(tag, obtain).map(Share::new)
    }

    /// Runs `work` with a request for a share of this type. An error names the tag.
    fn with_want<T: ShareType + ?Sized, R>(
        &self,
        tag: &str,
        work: impl FnOnce(&Want<'_>) -> Result<R>,
    ) -> Result<R> {
        let attempt = || {
            check_tag(tag)?;
            let want = Want {
                tag: &tag.into(),
                what: &Arc::new(What::of::<T>()?),
                exact: self.options.exact,
                until: waiting::due(self.options.timeout)?,
            };
            work(&want)
        };
        attempt().map_err(|error| error.at_gate(tag))
    }
}

impl std::fmt::Debug for Shares {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shares")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

fn check_tag(tag: &str) -> Result<()> {
    control::check_gate_name(tag).map_err(|text| {
        let text = format!("a tag is named as a gate is, and this one cannot be: {text}");
        Error::new(Code::InvalidArgument, text)
    })
}
