//! Closures as handlers of gates: how their parameters are read from an archive and their results written.

mod any;
pub(crate) mod checked;
mod closure;
pub(crate) mod context;
mod erased;
mod error;
pub(crate) mod payload;
pub(crate) mod raw;
mod reply;
pub(crate) mod responder;
pub(crate) mod untyped;

use core::fmt;
use core::ops::Deref;

use callgate_layout::Signature;
use rkyv::Archive;

use crate::base::archive;
use crate::base::error::Result;
use crate::base::types::{Arguments, GateType, Plain, action_signature_of, signature_of};
use context::Context;

pub(crate) use erased::{
    ErasedHandler, HandlerKind, InPlaceHandler, LaterHandler, erase, takes_only,
};
pub use error::HandlerError;
pub(crate) use reply::ReplyBuffer;

/// A parameter that is read in its archive, without making a value of it.
///
/// It dereferences to the archived form of `T`: fields by their names, numbers by
/// `to_native()`, strings as `str`, vectors as slices.
///
/// ```
/// use callgate_client::{Handler, View, gate_type};
///
/// #[gate_type]
/// struct Track {
///     title: String,
///     gain: f32,
///     samples: Vec<u8>,
/// }
///
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(|track: View<'_, Track>, scale: f32| {
///     let loudest = track.samples.iter().max().copied().unwrap_or(0);
///     format!("{}: {}", track.title, f32::from(loudest) * track.gain.to_native() * scale)
/// });
/// ```
pub struct View<'a, T: GateType> {
    archived: &'a T::Archived,
}

impl<'a, T: GateType> View<'a, T> {
    /// A view of an archive that was checked.
    pub(crate) fn new(archived: &'a T::Archived) -> View<'a, T> {
        View { archived }
    }

    /// The archived form, for as long as the call lasts.
    pub fn archived(&self) -> &'a T::Archived {
        self.archived
    }

    /// Makes a value of the archive.
    ///
    /// # Errors
    ///
    /// [`Code::Protocol`](crate::Code::Protocol) if the sender archived what `T` cannot hold.
    #[allow(
        clippy::wrong_self_convention,
        reason = "as ToOwned::to_owned, but it can fail"
    )]
    pub fn to_owned(&self) -> Result<T> {
        archive::deserialize(self.archived)
    }
}

impl<T: GateType> Clone for View<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: GateType> Copy for View<'_, T> {}

impl<T: GateType> Deref for View<'_, T> {
    type Target = T::Archived;

    fn deref(&self) -> &T::Archived {
        self.archived
    }
}

impl<T: GateType<Archived: fmt::Debug>> fmt::Debug for View<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.archived.fmt(f)
    }
}

/// A parameter of a handler: a gate type, or a [`View`] of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of a handler",
    note = "parameters are gate types or `View<T>` of one; `Context<'_>` may come first"
)]
pub trait Param {
    /// The type that is sent.
    type Owned: GateType;
    /// The parameter with the lifetime of one call.
    type Item<'a>: Param<Owned = Self::Owned>;

    /// Whether the parameter can be made of a value, without an archive.
    #[doc(hidden)]
    const MOVES: bool;

    /// Whether reading it may allocate as much memory as the archive has.
    #[doc(hidden)]
    const COPIES: bool;

    /// Reads the parameter from the checked request.
    #[doc(hidden)]
    fn take(archived: &<Self::Owned as Archive>::Archived) -> Result<Self::Item<'_>>;

    /// Makes the parameter of a value; `None` unless it `MOVES`.
    #[doc(hidden)]
    fn moved(value: Self::Owned) -> Option<Self::Item<'static>>;
}

impl<T: GateType> Param for T {
    type Owned = T;
    type Item<'a> = T;

    const MOVES: bool = true;
    const COPIES: bool = core::mem::needs_drop::<T>();

    #[inline]
    fn take(archived: &T::Archived) -> Result<T> {
        archive::deserialize(archived)
    }

    #[inline]
    fn moved(value: T) -> Option<T> {
        Some(value)
    }
}

impl<T: GateType> Param for View<'_, T> {
    type Owned = T;
    type Item<'a> = View<'a, T>;

    const MOVES: bool = false;
    const COPIES: bool = false;

    #[inline]
    fn take(archived: &T::Archived) -> Result<View<'_, T>> {
        Ok(View::new(archived))
    }

    #[inline]
    fn moved(_: T) -> Option<View<'static, T>> {
        None
    }
}

/// What a handler may return: a gate type, or a `Result` of one whose error converts into [`HandlerError`].
///
/// A `Result` that is returned is the handler's own success or failure, and is not sent as a value; inside of other
/// types a `Result` is a value.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "a handler returns a gate type, or a `Result` of one whose error converts into HandlerError"
)]
pub trait Reply {
    /// The type that is sent.
    type Output: GateType;

    /// The value, or the handler's error.
    #[doc(hidden)]
    fn into_output(self) -> Result<Self::Output, HandlerError>;
}

impl<T: Plain> Reply for T {
    type Output = T;

    #[inline]
    fn into_output(self) -> Result<T, HandlerError> {
        Ok(self)
    }
}

impl<T: GateType, E: Into<HandlerError>> Reply for Result<T, E> {
    type Output = T;

    #[inline]
    fn into_output(self) -> Result<T, HandlerError> {
        self.map_err(Into::into)
    }
}

/// A closure or function that can be the handler of a gate.
///
/// It takes up to eight parameters, each a gate type or a [`View`] of one, optionally after a [`Context`]; the
/// closure has to name its parameters' types. It has to be `Fn`, because it may run on several threads at once if
/// the plugin's dispatch is a pool. `Marker` is inferred by the compiler.
///
/// ```
/// use callgate_client::{Context, Handler, HandlerError, View};
///
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(|a: i32, b: i32| a + b);
/// is_handler(|name: View<'_, String>| name.len() as u64);
/// is_handler(|context: Context<'_>| context.gate().to_owned());
/// is_handler(|text: String| -> Result<i32, HandlerError> { Ok(text.trim().parse()?) });
/// ```
///
/// Types that cannot be sent are refused:
///
/// ```compile_fail
/// # use callgate_client::Handler;
/// fn is_handler<M>(_: impl Handler<M>) {}
/// is_handler(|path: std::path::PathBuf| 1_u32);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the handler of a gate",
    note = "a handler is a `Fn + Send + Sync + 'static` with up to 8 annotated parameters: gate types, `serde_json::Value` or `View<T>`, after an optional `Context<'_>`; it returns a gate type or a `Result` of one; HashMap, BTreeMap, their sets, PathBuf and SystemTime are no gate types by themselves, but may be fields of one"
)]
pub trait Handler<Marker>: Send + Sync + Sized + 'static {
    /// The parameters as they are sent: a tuple, `()` for none.
    type Args: Arguments;
    /// The result as it is sent.
    type Output: GateType;

    /// Runs the handler on a checked request.
    #[doc(hidden)]
    fn run(
        &self,
        context: &Context<'_>,
        request: &<Self::Args as Archive>::Archived,
    ) -> Result<Self::Output>;

    /// Whether the handler can be called with owned values, without an archive.
    #[doc(hidden)]
    const MOVES: bool;

    /// Whether reading the parameters may allocate as much memory as the archive has.
    #[doc(hidden)]
    const COPIES: bool;

    /// Whether it uses its context, for which a clock has to be read.
    #[doc(hidden)]
    const LOOKS: bool;

    /// Runs the handler on owned values; `None` if it needs an archive.
    #[doc(hidden)]
    fn run_moved(
        &self,
        context: &Context<'_>,
        arguments: Self::Args,
    ) -> Option<Result<Self::Output>>;

    /// The signature as a function, which has a result.
    fn function_signature() -> Signature {
        signature_of::<Self::Args, Self::Output>()
    }

    /// The signature as an action or an event, which has no result.
    fn action_signature() -> Signature {
        action_signature_of::<Self::Args>()
    }
}

#[cfg(test)]
mod tests;
