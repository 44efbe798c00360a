//! `EventHandler` for closures of up to eight parameters, with and without a leading context.

use rkyv::Archive;

use super::{EventContext, EventHandler, EventReply};
use crate::base::error::Result;
use crate::handler::Param;

/// Marks the types of closures that take the context first.
#[doc(hidden)]
pub struct WithEvent;

// The bound is stated twice, and for `&F`, for the reasons given at the closures of gates (`handler/closure.rs`).
macro_rules! closures {
    ($($P:ident $index:tt),*) => {
        #[allow(non_snake_case, reason = "parameters named after their types")]
        impl<F, R, $($P),*> EventHandler<fn($($P),*) -> R> for F
        where
            F: Send + Sync + 'static,
            R: EventReply,
            $($P: Param,)*
            for<'a> &'a F: Fn($($P),*) -> R + Fn($($P::Item<'_>),*) -> R,
        {
            type Args = ($($P::Owned,)*);

            const MOVES: bool = true $(&& $P::MOVES)*;
            const COPIES: bool = false $(|| $P::COPIES)*;

            #[inline]
            fn run(
                &self,
                _: &EventContext<'_>,
                _event: &<Self::Args as Archive>::Archived,
            ) -> Result<()> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(f: impl Fn($($P),*) -> R, $($P: $P),*) -> R {
                    f($($P),*)
                }
                $(let $P = $P::take(&_event.$index)?;)*
                let reply = apply::<R, $($P::Item<'_>),*>(self, $($P),*);
                reply.into_outcome()
            }

            #[inline]
            fn run_moved(
                &self,
                _: &EventContext<'_>,
                ($($P,)*): Self::Args,
            ) -> Option<Result<()>> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(f: impl Fn($($P),*) -> R, $($P: $P),*) -> R {
                    f($($P),*)
                }
                $(let $P = $P::moved($P)?;)*
                let reply = apply::<R, $($P::Item<'static>),*>(self, $($P),*);
                Some(reply.into_outcome())
            }
        }

        #[allow(non_snake_case, reason = "parameters named after their types")]
        impl<F, R, $($P),*> EventHandler<fn(WithEvent, $($P),*) -> R> for F
        where
            F: Send + Sync + 'static,
            R: EventReply,
            $($P: Param,)*
            for<'a> &'a F:
                Fn(EventContext<'_>, $($P),*) -> R + Fn(EventContext<'_>, $($P::Item<'_>),*) -> R,
        {
            type Args = ($($P::Owned,)*);

            const MOVES: bool = true $(&& $P::MOVES)*;
            const COPIES: bool = false $(|| $P::COPIES)*;

            #[inline]
            fn run(
                &self,
                context: &EventContext<'_>,
                _event: &<Self::Args as Archive>::Archived,
            ) -> Result<()> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(
                    f: impl Fn(EventContext<'_>, $($P),*) -> R,
                    context: EventContext<'_>,
                    $($P: $P),*
                ) -> R {
                    f(context, $($P),*)
                }
                $(let $P = $P::take(&_event.$index)?;)*
                let reply = apply::<R, $($P::Item<'_>),*>(self, *context, $($P),*);
                reply.into_outcome()
            }

            #[inline]
            fn run_moved(
                &self,
                context: &EventContext<'_>,
                ($($P,)*): Self::Args,
            ) -> Option<Result<()>> {
                #[allow(clippy::too_many_arguments, reason = "one for each parameter")]
                fn apply<R, $($P),*>(
                    f: impl Fn(EventContext<'_>, $($P),*) -> R,
                    context: EventContext<'_>,
                    $($P: $P),*
                ) -> R {
                    f(context, $($P),*)
                }
                $(let $P = $P::moved($P)?;)*
                let reply = apply::<R, $($P::Item<'static>),*>(self, *context, $($P),*);
                Some(reply.into_outcome())
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
