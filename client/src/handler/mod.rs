//! Closures as the handlers of gates: how parameters come out of an archive and results go in.

mod any;
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

/// A parameter read where it lies, without taking it out of its archive.
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
    /// Shows an archive that has been checked.
    pub(crate) fn new(archived: &'a T::Archived) -> View<'a, T> {
        View { archived }
    }

    /// The archived form, for as long as the call lasts.
    pub fn archived(&self) -> &'a T::Archived {
        self.archived
    }

    /// Takes the value out of its archive.
    ///
    /// # Errors
    ///
    /// [`Code::Protocol`](crate::Code::Protocol) where the sender archived what `T` cannot hold.
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
    /// The type that travels.
    type Owned: GateType;
    /// The parameter with the lifetime of one call.
    type Item<'a>: Param<Owned = Self::Owned>;

    /// Whether a value will do, or an archive is needed.
    #[doc(hidden)]
    const MOVES: bool;

    /// Whether taking it from an archive may ask for as much memory as that has.
    #[doc(hidden)]
    const COPIES: bool;

    /// Takes the parameter from the checked request.
    #[doc(hidden)]
    fn take(archived: &<Self::Owned as Archive>::Archived) -> Result<Self::Item<'_>>;

    /// Takes the parameter as a value, where it `MOVES`.
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

/// What a handler may return: a gate type, or a `Result` of one whose error converts into
/// [`HandlerError`].
///
/// A `Result` is always the handler's own success or failure, and never travels as a value at
/// the top; inside other types it does.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "a handler returns a gate type, or a `Result` of one whose error converts into HandlerError"
)]
pub trait Reply {
    /// The type that travels.
    type Output: GateType;

    /// The value, or why there is none.
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

/// A closure or function that can stand behind a gate.
///
/// It takes up to eight parameters, each a gate type or a [`View`] of one, optionally after a
/// [`Context`]; parameter types are written out. It may run on several threads at once where
/// the plugin chose a pool, hence `Fn`. `Marker` is found by the compiler.
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
/// What cannot travel is refused:
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
    /// The parameters as they travel: a tuple, `()` for none.
    type Args: Arguments;
    /// The result as it travels.
    type Output: GateType;

    /// Runs the handler on a checked request.
    #[doc(hidden)]
    fn run(
        &self,
        context: &Context<'_>,
        request: &<Self::Args as Archive>::Archived,
    ) -> Result<Self::Output>;

    /// Whether values will do as arguments.
    #[doc(hidden)]
    const MOVES: bool;

    /// Whether taking the parameters from an archive may ask for as much memory as that has.
    #[doc(hidden)]
    const COPIES: bool;

    /// Whether it looks at its context, for which a clock has to be read.
    #[doc(hidden)]
    const LOOKS: bool;

    /// Runs the handler on values; `None` where it needs an archive.
    #[doc(hidden)]
    fn run_moved(
        &self,
        context: &Context<'_>,
        arguments: Self::Args,
    ) -> Option<Result<Self::Output>>;

    /// The signature as a function, with a result.
    fn function_signature() -> Signature {
        signature_of::<Self::Args, Self::Output>()
    }

    /// The signature as an action or an event, whose result nobody looks at.
    fn action_signature() -> Signature {
        action_signature_of::<Self::Args>()
    }
}

#[cfg(test)]
mod tests;
