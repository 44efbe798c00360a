//! Gates whose handlers call the test's plugin `T`, which may call back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use callgate_client::{Context, HandlerError, Plugin, Provider, Result};

use super::{Own, Stage, lock};

/// What a handler sees of its call: caller, gate, milliseconds left, depth.
pub type Seen = (String, String, u64, u64);

pub(super) fn provide(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    stage.keep("S.Nest", nest(plugin, "S.Nest", "T.Nest")?);
    let timeout = Duration::from_secs(30);
    let context = context(plugin, ("S.Context", "T.Context"), timeout)?;
    stage.keep("S.Context", context);
    patient(plugin, stage)?;
    waiting(plugin, stage)
}

/// A gate whose handler makes three calls with much longer timeouts than its own: one that takes as long as it may,
/// one after that, and one with a deadline of its own. Another gate returns the outcomes of the three.
fn patient(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let long = plugin.subscriber::<(), ()>("T.UntilLate")?;
    let long = long.with_timeout(crate::PATIENCE);
    let quick = plugin.subscriber::<(), ()>("T.Quick")?;
    let quick = quick.with_timeout(crate::PATIENCE);
    let own = Arc::downgrade(stage);
    let say = |outcome: Result<()>| match outcome {
        Ok(()) => "OK".to_owned(),
        Err(error) => format!("{} {error}", error.may_have_run()),
    };
    let patient = plugin.provide("S.Patient", move || {
        let first = say(long.invoke(()));
        let second = say(quick.invoke(()));
        let third = say(quick.with_own_deadline().invoke(()));
        if let Some(stage) = own.upgrade() {
            *lock(&stage.outcomes) = vec![first, second, third];
        }
    })?;
    stage.keep("S.Patient", patient);
    let own = Arc::downgrade(stage);
    let outcomes = plugin.provide("S.Outcomes", move || {
        let stage = own.upgrade();
        stage.map_or_else(Vec::new, |stage| lock(&stage.outcomes).clone())
    })?;
    stage.keep("S.Outcomes", outcomes);
    Ok(())
}

/// Provides a gate that calls another one with its argument less one, until that is zero. Returns how deep the calls
/// went.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn nest(plugin: &Plugin, own: &str, other: &str) -> Result<Provider> {
    let next = plugin.subscriber::<(u64,), u64>(other)?;
    plugin.provide(own, move |context: Context<'_>, n: u64| {
        let depth = match n {
            0 => u64::from(context.depth()),
            _ => next.invoke((n - 1,)).map_err(HandlerError::from)?,
        };
        Ok::<_, HandlerError>(depth)
    })
}

/// Provides a gate that notes what it sees of its call, calls another one with its argument less one, and notes what
/// it sees then. The answer has the notes of the other gate between its own two.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn context(plugin: &Plugin, (own, other): (&str, &str), timeout: Duration) -> Result<Provider> {
    let next = plugin.subscriber::<(u64,), Vec<Seen>>(other)?;
    let next = next.with_timeout(timeout);
    plugin.provide(own, move |context: Context<'_>, n: u64| {
        let mut all = vec![seen(context)];
        if n > 0 {
            all.extend(next.invoke((n - 1,)).map_err(HandlerError::from)?);
        }
        all.push(seen(context));
        Ok::<_, HandlerError>(all)
    })
}

fn seen(context: Context<'_>) -> Seen {
    (
        context.caller().name().to_owned(),
        context.gate().to_owned(),
        context.remaining().as_millis() as u64,
        u64::from(context.depth()),
    )
}

/// A gate that waits for the test's gate, and one that returns whether it waits now.
fn waiting(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let held = plugin.subscriber::<(), ()>("T.Held")?;
    let held = held.with_timeout(crate::PATIENCE);
    let own = Arc::downgrade(stage);
    let set_busy = move |own: &Own, is_busy| {
        if let Some(stage) = own.upgrade() {
            stage.is_busy.store(is_busy, Ordering::SeqCst);
        }
    };
    let outer = plugin.provide("S.Outer", move || -> Result<(), HandlerError> {
        set_busy(&own, true);
        let outcome = held.invoke(());
        set_busy(&own, false);
        Ok(outcome?)
    })?;
    stage.keep("S.Outer", outer);
    let own = Arc::downgrade(stage);
    let look = plugin.provide("S.IsBusy", move || {
        let stage = own.upgrade();
        stage.is_some_and(|stage| stage.is_busy.load(Ordering::SeqCst))
    })?;
    stage.keep("S.IsBusy", look);
    Ok(())
}
