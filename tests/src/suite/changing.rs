//! Gates that come and go, on demand and by themselves, and one that closes their plugin.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate_client::{HandlerError, Plugin, Result};

use super::{Own, Stage, lock};

pub(super) fn provide(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let own = Arc::downgrade(stage);
    halves(plugin, stage)?;
    let state = own.clone();
    let withdraw = plugin.provide("S.Withdraw", move |name: String| {
        state.upgrade().is_some_and(|stage| stage.withdraw(&name))
    })?;
    stage.keep("S.Withdraw", withdraw);
    leaving(&own)?;
    let again = own.clone();
    let register = plugin.provide("S.Register", move || -> Result<(), HandlerError> {
        Ok(leaving(&again)?)
    })?;
    stage.keep("S.Register", register);
    // Tries to provide a gate, and returns the outcome.
    let state = own.clone();
    let attempt = plugin.provide("S.Try", move |gate: String| {
        let plugin = state.upgrade().and_then(|stage| stage.plugin());
        let outcome = plugin.map(|plugin| plugin.provide(&gate, |n: u64| n).map(drop));
        match outcome {
            Some(Ok(())) => "OK".to_owned(),
            Some(Err(error)) => error.code().to_string(),
            None => "it has closed".to_owned(),
        }
    })?;
    stage.keep("S.Try", attempt);
    let close = plugin.provide("S.Close", move || {
        let plugin = own.upgrade().and_then(|stage| lock(&stage.plugin).take());
        drop(plugin);
    })?;
    stage.keep("S.Close", close);
    Ok(())
}

/// A gate with a function and an action, and one with only an action.
fn halves(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let function = plugin.provide("S.Both", |n: u64| n + 1)?;
    stage.keep("S.Both function", function);
    let own = Arc::downgrade(stage);
    let action = plugin.provide_action("S.Both", move |n: u64| {
        if let Some(stage) = own.upgrade() {
            stage.runs.fetch_add(n, Ordering::SeqCst);
        }
    })?;
    stage.keep("S.Both action", action);
    let only = plugin.provide_action("S.OnlyAction", |_: u64| ())?;
    stage.keep("S.OnlyAction", only);
    Ok(())
}

/// Provides a gate that withdraws itself while it runs.
fn leaving(own: &Own) -> Result<()> {
    let Some(stage) = own.upgrade() else {
        return Ok(());
    };
    let Some(plugin) = stage.plugin() else {
        return Ok(());
    };
    let state = own.clone();
    let leave = plugin.provide("S.Leave", move |n: u64| {
        let stage = state.upgrade();
        let gone = stage.is_some_and(|stage| stage.withdraw("S.Leave"));
        (gone, n)
    })?;
    stage.keep("S.Leave", leave);
    Ok(())
}
