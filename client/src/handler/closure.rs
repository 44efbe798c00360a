//! `Handler` for closures of up to eight parameters, with and without a leading context.

use rkyv::Archive;

use super::context::Context;
use super::{Handler, Param, Reply};
use crate::base::error::{Error, Result};

/// Marks the types of closures that take the context first.
#[doc(hidden)]
pub struct WithContext;

// A closure that takes `View<'_, T>` is bounded twice: once with the type as it is written in the closure, from
// which the compiler infers `P`, and once with `P::Item<'_>`, which is the same type with the lifetime of one call.
// The bound is on `&F`, because otherwise the compiler fixes the lifetime when it first looks at the closure.
macro_rules! closures {
    ($($P:ident $index:tt),*) => {
        #[allow(non_snake_case, reason = "parameters named after their types")]
        impl<F, R, $($P),*> Handler<fn($($P),*) -> R> for F
        where
            F: Send + Sync + 'static,
            R: Reply,
            $($P: Param,)*
            for<'a> &'a F: Fn($($P),*) -> R + Fn($($P::Item<'_>),*) -> R,
        {
            type Args = ($($P::Owned,)*);
            type Output = R::Output;

            const MOVES: bool = true $(&& $P::MOVES)*;
            const COPIES: bool = false $(|| $P::COPIES)*;
            const LOOKS: bool = false;

            #[inline]
            fn run(
                &self,
                _: &Context<'_>,
                _request: &<Self::Args as Archive>::Archived,
            ) -> Result<Self::Output> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(f: impl Fn($($P),*) -> R, $($P: $P),*) -> R {
                    f($($P),*)
                }
                $(let $P = $P::take(&_request.$index)?;)*
                apply::<R, $($P::Item<'_>),*>(self, $($P),*).into_output().map_err(Error::from)
            }

            #[inline]
            fn run_moved(
                &self,
                _: &Context<'_>,
                ($($P,)*): Self::Args,
            ) -> Option<Result<Self::Output>> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(f: impl Fn($($P),*) -> R, $($P: $P),*) -> R {
                    f($($P),*)
                }
                $(let $P = $P::moved($P)?;)*
                let output = apply::<R, $($P::Item<'static>),*>(self, $($P),*);
                Some(output.into_output().map_err(Error::from))
            }
        }

        #[allow(non_snake_case, reason = "parameters named after their types")]
        impl<F, R, $($P),*> Handler<fn(WithContext, $($P),*) -> R> for F
        where
            F: Send + Sync + 'static,
            R: Reply,
            $($P: Param,)*
            for<'a> &'a F:
                Fn(Context<'_>, $($P),*) -> R + Fn(Context<'_>, $($P::Item<'_>),*) -> R,
        {
            type Args = ($($P::Owned,)*);
            type Output = R::Output;

            const MOVES: bool = true $(&& $P::MOVES)*;
            const COPIES: bool = false $(|| $P::COPIES)*;
            const LOOKS: bool = true;

            #[inline]
            fn run(
                &self,
                context: &Context<'_>,
                _request: &<Self::Args as Archive>::Archived,
            ) -> Result<Self::Output> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(
                    f: impl Fn(Context<'_>, $($P),*) -> R,
                    context: Context<'_>,
                    $($P: $P),*
                ) -> R {
                    f(context, $($P),*)
                }
                $(let $P = $P::take(&_request.$index)?;)*
                apply::<R, $($P::Item<'_>),*>(self, *context, $($P),*)
                    .into_output()
                    .map_err(Error::from)
            }

            #[inline]
            fn run_moved(
                &self,
                context: &Context<'_>,
                ($($P,)*): Self::Args,
            ) -> Option<Result<Self::Output>> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(
                    f: impl Fn(Context<'_>, $($P),*) -> R,
                    context: Context<'_>,
                    $($P: $P),*
                ) -> R {
                    f(context, $($P),*)
                }
                $(let $P = $P::moved($P)?;)*
                let output = apply::<R, $($P::Item<'static>),*>(self, *context, $($P),*);
                Some(output.into_output().map_err(Error::from))
            }
        }
    };
}

closures!();
closures!(P0 0);
closures!(P0 0, P1 1);
closures!(P0 0, P1 1, P2 2);
closures!(P0 0, P1 1, P2 2, P3 3);
closures!(P0 0, P1 1, P2 2, P3 3, P4 4);
closures!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5);
closures!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6);
closures!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7);
