//! What programs hold of shares: the door to them, guards, publishers, what follows versions, and cells.

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

/// Values that plugins of a bus have in common: each under a *tag*, in memory that all read where it lies and nobody changes.
///
/// This is the door to them ([`Plugin::shares`](crate::Plugin::shares)), which is cheap and can be cloned. How shares are asked for and made
/// is said on it: `plugin.shares().timeout(…).get("A")`. Saying so takes it; one that is kept is cloned for it:
/// `shares.clone().persistent().get_or_create(…)`.
///
/// A tag is named as a gate is, and has nothing to do with a gate of the same name. A share is there for as long as any plugin uses it: holds
/// a [`Share`] of it, publishes or follows it. Persistent ones ([`Shares::persistent`]) stay.
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
    /// Where what watches is told.
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

    /// How long to wait for a share at most: 30 seconds unless it is said here. Inside a handler no longer than the call lasts that it
    /// serves.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Shares {
        self.options.timeout = timeout;
        self
    }

    /// How long making a share may take, 30 seconds unless it is said here. Whoever takes longer has made it in vain: another plugin
    /// that wants it makes it then.
    #[must_use]
    pub fn make_within(mut self, time: Duration) -> Shares {
        self.options.how.within = time;
        self
    }

    /// What is made is kept in a file that outlives all plugins and the broker: until it is [removed](Shares::remove), or the machine
    /// starts anew. When its maker has gone, it is read by plugins that have the same type, and [not converted](Share::is_converted).
    #[must_use]
    pub fn persistent(mut self) -> Shares {
        self.options.how.persistent = true;
        self
    }

    /// What has another type is an error, also where it could be [converted](Share::is_converted).
    #[must_use]
    pub fn exact_only(mut self) -> Shares {
        self.options.exact = true;
        self
    }

    /// The kernel is asked for huge pages for what is made, which makes reading large values faster. It need not have any.
    #[must_use]
    pub fn huge_pages(mut self) -> Shares {
        self.options.how.huge = true;
        self
    }

    /// A share; where there is none, `factory` makes its value, which is written into the share's memory.
    ///
    /// Of all plugins and threads that ask at the same time one makes it, and the others wait. The factory runs on the calling
    /// thread; nothing is locked meanwhile, so that it may use gates and other shares. It must not use its own tag (`DEADLOCK`). Where it
    /// panics nothing is left behind, and the next one that wants the share makes it.
    ///
    /// A share that this plugin holds already is found without asking anybody: no system call is made then, and no memory taken. Who may only
    /// read it has what others have made, or are making; `PERMISSION_DENIED` then says that there is none.
    ///
    /// # Errors
    ///
    /// `SHARE_TYPE_MISMATCH` for one of another type that cannot be converted; `INVALID_ARGUMENT` for a name that cannot be, or a value that cannot travel;
    /// `PERMISSION_DENIED`, `TIMEOUT`, `DEADLOCK`, `OVERLOADED` over a limit of memory, `SYSTEM` without memory, `BROKER_GONE`.
    pub fn get_or_create<T: GateType + ShareType>(
        &self,
        tag: &str,
        factory: impl FnOnce() -> T,
    ) -> Result<Share<T>> {
        self.make(tag, || Ok(factory()))
    }

    /// As [`Shares::get_or_create`], with a factory that may fail: its error is the caller's, and the next one that wants the share makes it.
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
        // Where a broker ends before it has the value, the next one gets the same.
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

    /// A share that is a slice of `count` numbers; where there is none, `fill` writes them where they are to lie. They are zeros before.
    ///
    /// Where a broker ends meanwhile, `fill` runs once more, for the next one.
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

    /// A share that is there.
    ///
    /// # Errors
    ///
    /// `NOT_READY` where there is none; `TYPE_MISMATCH` for a value that cannot be converted; else as [`Shares::get_or_create`].
    pub fn get<T: ShareType + ?Sized>(&self, tag: &str) -> Result<Share<T>> {
        self.obtain(tag, None)
    }

    /// A share, if there is one.
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

    /// A share of whatever type as JSON: its maker writes it so, as where a value is [converted](Share::is_converted); slices of numbers are
    /// read by this plugin itself.
    ///
    /// # Errors
    ///
    /// As [`Shares::get`].
    pub fn get_json(&self, tag: &str) -> Result<serde_json::Value> {
        let share: Share<Json> = self.get(tag)?;
        share.to_value().map(Json::into)
    }

    /// A new version of a share, or the first one: those who follow it are told, and who asks for it finds it. Guards of older versions
    /// keep these. The guard keeps the share in use; where nobody else uses it, the share is gone with the last guard.
    ///
    /// Publications of one share come one after the other, whoever makes them. Of an array this is a share of an array, `[f32; 2]`; of
    /// `&array[..]` one of a slice.
    ///
    /// # Errors
    ///
    /// As [`Shares::get_or_create`]; `SHARE_TYPE_MISMATCH` where the share has another type, also one that could be converted.
    pub fn publish<T: ShareType + ?Sized>(&self, tag: &str, value: &T) -> Result<Share<T>> {
        let make = &mut |pool: &Pool, write: &mut Write<'_>| value.write(pool, write);
        self.publish_made(tag, make)
    }

    /// The same of a slice of `count` numbers, which `fill` writes: more than 16 KiB of them where they are to lie. They are zeros before.
    ///
    /// Where a broker ends meanwhile, `fill` runs once more, for the next one.
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

    /// What publishes versions of a share, and keeps it in use between them.
    ///
    /// # Errors
    ///
    /// `SHARE_TYPE_MISMATCH` where there is a share of another type; else as [`Shares::get`], without `NOT_READY`.
    pub fn publisher<T: ShareType + ?Sized>(&self, tag: &str) -> Result<Publisher<T>> {
        let used = match self.clone().exact_only().get::<T>(tag) {
            Ok(share) => Some(share.used().clone()),
            // It may be one that may only be made.
            Err(error) if matches!(error.code(), Code::NotReady | Code::PermissionDenied) => None,
            Err(error) => return Err(error),
        };
        Ok(Publisher::new(self, tag, used))
    }

    /// What follows the versions of a share, which need not be there yet.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a name that cannot be; everything else is told by the first look at a version.
    pub fn versions<T: ShareType + ?Sized>(&self, tag: &str) -> Result<Versions<T>> {
        self.with_want::<T, _>(tag, |want| {
            let what = (want.tag.clone(), want.what.clone());
            Ok(Versions::new((&self.state, self.options), what))
        })
    }

    /// Has a function told how a tag stands: that there is a share, and each time there is a newer version, or none any more. The first
    /// thing that it is told is that there is a share, if so.
    ///
    /// It runs where the plugin's handlers do ([`Dispatch`](crate::Dispatch)) and in their turn, one event after the other. What comes while
    /// one is told is kept, up to 64 events; versions that follow each other fast may be told as one. It may use shares itself.
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
    /// `INVALID_ARGUMENT` for a name that cannot be, `SYSTEM` where there is no thread for handlers, `CLOSED`. That the tag may not be watched, or
    /// is a cell's, is told by [`ShareEvent::Refused`].
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

    /// Removes a persistent share: who uses it keeps it, and nobody finds it again.
    ///
    /// # Errors
    ///
    /// `NOT_READY` where there is none; `PERMISSION_DENIED`, `TIMEOUT`, `BROKER_GONE`.
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

    /// Does something about a share of this type.
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
