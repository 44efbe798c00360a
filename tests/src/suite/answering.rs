//! Gates that answer at once, with a result or a failure.

use std::sync::Arc;

use callgate_client::{Context, HandlerError, Plugin, Result};
use serde_json::json;

use super::Stage;

/// This file, in which a handler panics on purpose.
pub(super) const FILE: &str = file!();

pub(super) fn provide(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    let add = plugin.provide("S.Add", |a: u64, b: u64| a.wrapping_add(b))?;
    stage.keep("S.Add", add);
    let echo = plugin.provide("S.Echo", |bytes: Vec<u8>| bytes)?;
    stage.keep("S.Echo", echo);
    let who = plugin.provide("S.Who", |context: Context<'_>| {
        context.caller().name().to_owned()
    })?;
    stage.keep("S.Who", who);
    let place = plugin.provide("S.Where", std::process::id)?;
    stage.keep("S.Where", place);
    let spans = plugin.provide("S.Spans", crate::spans::seen_here)?;
    stage.keep("S.Spans", spans);
    failing(plugin, stage)
}

fn failing(plugin: &Plugin, stage: &Stage) -> Result<()> {
    let fail = plugin.provide("S.Fail", |n: u64| -> Result<u64, HandlerError> {
        let error = HandlerError::new("NO_SUCH_SLOT", format!("there is no slot {n}"));
        Err(error.with_context(json!({ "highest": 7 })))
    })?;
    stage.keep("S.Fail", fail);
    let panic = plugin.provide("S.Panic", |text: String| -> u64 { panic!("{text}") })?;
    stage.keep("S.Panic", panic);
    Ok(())
}
