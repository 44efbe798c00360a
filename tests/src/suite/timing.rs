//! Gates that take their time, and know how much they have.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use callgate_client::{Context, Plugin, Result};

use super::Stage;

pub(super) fn provide(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    slow(plugin, stage)?;
    cancelled(plugin, stage)?;
    let remaining = plugin.provide("S.Remaining", |context: Context<'_>| {
        context.remaining().as_millis() as u64
    })?;
    stage.keep("S.Remaining", remaining);
    Ok(())
}

/// Slow gates, and how often they ran: how many runs there were before is a run's own number.
fn slow(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let own = Arc::downgrade(stage);
    let run = move || {
        let stage = own.upgrade();
        stage.map_or(0, |stage| stage.runs.fetch_add(1, Ordering::SeqCst))
    };
    let count = run.clone();
    let slow = plugin.provide("S.Slow", move |millis: u64| {
        thread::sleep(Duration::from_millis(millis));
        count()
    })?;
    stage.keep("S.Slow", slow);
    stage.keep("S.Serial", plugin.provide("S.Serial", run)?);
    let late = plugin.provide("S.Late", |millis: u64, bytes: Vec<u8>| {
        thread::sleep(Duration::from_millis(millis));
        bytes
    })?;
    stage.keep("S.Late", late);
    let late = plugin.provide("S.LateAdd", |a: u64, b: u64| {
        thread::sleep(Duration::from_millis(40));
        a + b
    })?;
    stage.keep("S.LateAdd", late);
    let own = Arc::downgrade(stage);
    let runs = plugin.provide("S.Runs", move || {
        let stage = own.upgrade();
        stage.map_or(0, |stage| stage.runs.load(Ordering::SeqCst))
    })?;
    stage.keep("S.Runs", runs);
    Ok(())
}

/// Two gates that hang until their callers give up, and one that says whether the first did so.
fn cancelled(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    for name in ["S.UntilCancelled", "S.Hang"] {
        let own = Arc::downgrade(stage);
        let until = plugin.provide(name, move |context: Context<'_>| {
            // Directly, the caller is this thread, which does not give up at its deadline.
            while !context.is_cancelled() && !context.deadline_passed() {
                thread::yield_now();
            }
            if let Some(stage) = own.upgrade() {
                let saw = context.is_cancelled();
                stage.saw_cancel.store(saw, Ordering::SeqCst);
            }
        })?;
        stage.keep(name, until);
    }
    let own = Arc::downgrade(stage);
    let saw = plugin.provide("S.SawCancel", move || {
        let stage = own.upgrade();
        stage.is_some_and(|stage| stage.saw_cancel.load(Ordering::SeqCst))
    })?;
    stage.keep("S.SawCancel", saw);
    Ok(())
}
