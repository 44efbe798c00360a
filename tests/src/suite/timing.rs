//! Gates that take time, and know how much time they have.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Context, GateOptions, Plugin, Result};
use callgate_layout::clock;

use super::Stage;

pub(super) fn provide(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    slow(plugin, stage)?;
    cancelled(plugin, stage)?;
    noticing(plugin, stage)?;
    alone(plugin, stage)?;
    let remaining = plugin.provide("S.Remaining", |context: Context<'_>| {
        context.remaining().as_millis() as u64
    })?;
    stage.keep("S.Remaining", remaining);
    Ok(())
}

/// Slow gates, and how often they ran. The number of a run is how many there were before it.
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

/// Two gates that hang until their callers give up, and one that says whether the caller of the first has.
fn cancelled(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    for name in ["S.UntilCancelled", "S.Hang"] {
        // Its calls may take all threads of a pool.
        plugin.set_gate_options(name, GateOptions::new().limit(64))?;
        let own = Arc::downgrade(stage);
        let until = plugin.provide(name, move |context: Context<'_>| {
            // In a direct call, the caller is this thread, and does not give up at its deadline.
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

/// A gate that hangs until no caller waits for it, and one that says when it noticed that.
fn noticing(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let own = Arc::downgrade(stage);
    let notice = move |context: Context<'_>, a: u64, b: u64| {
        let until = Instant::now() + crate::PATIENCE;
        while !context.is_cancelled() && Instant::now() < until {
            thread::yield_now();
        }
        if let Some(stage) = own.upgrade() {
            stage.noticed.store(clock::now(), Ordering::SeqCst);
        }
        a + b
    };
    stage.keep("S.NoticeEnd", plugin.provide("S.NoticeEnd", notice)?);
    let own = Arc::downgrade(stage);
    let noticed = move || {
        let stage = own.upgrade();
        stage.map_or(0, |stage| stage.noticed.swap(0, Ordering::SeqCst))
    };
    stage.keep("S.Noticed", plugin.provide("S.Noticed", noticed)?);
    Ok(())
}

/// A gate that has one call at a time. It returns how many others were running when it began.
fn alone(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    plugin.set_gate_options("S.Alone", GateOptions::new().limit(1))?;
    let own = Arc::downgrade(stage);
    let alone = move |millis: u64| {
        let Some(stage) = own.upgrade() else {
            return 0;
        };
        let others = stage.alone.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(millis));
        stage.alone.fetch_sub(1, Ordering::SeqCst);
        others
    };
    stage.keep("S.Alone", plugin.provide("S.Alone", alone)?);
    Ok(())
}
