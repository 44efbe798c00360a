//! Gates whose handlers may run on top of another chain's wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use callgate_client::{GateOptions, Plugin, Result, dynamic, signature_of};

use super::{Own, Stage};

/// The outcomes of a handler's two calls: one that it waited for, and one that it sent and then waited for. Each is
/// `OK`, or the error and whether the call may have run.
pub type Outcomes = (String, String);

pub(super) fn provide(plugin: &Plugin, stage: &Arc<Stage>) -> Result<()> {
    for gate in ["S.Peek", "S.PeekAndCall"] {
        plugin.set_gate_options(gate, GateOptions::new().reentrant(true))?;
    }
    // Without this limit, its calls could take all threads of a pool.
    plugin.set_gate_options("S.Outer", GateOptions::new().limit(3))?;
    let own = Arc::downgrade(stage);
    let peek = plugin.provide("S.Peek", move || is_busy(&own))?;
    stage.keep("S.Peek", peek);
    let quick = plugin.subscriber::<(), ()>("T.Quick")?;
    let sent = dynamic::open(plugin, "T.Sent", &signature_of::<(), ()>())?;
    let own = Arc::downgrade(stage);
    let call = plugin.provide("S.PeekAndCall", move || -> (bool, Outcomes) {
        let waited = say(quick.invoke(()));
        let sent = say(sent.send(&[]).and_then(dynamic::Sent::wait).map(drop));
        (is_busy(&own), (waited, sent))
    })?;
    stage.keep("S.PeekAndCall", call);
    Ok(())
}

fn is_busy(own: &Own) -> bool {
    let stage = own.upgrade();
    stage.is_some_and(|stage| stage.is_busy.load(Ordering::SeqCst))
}

fn say(outcome: Result<()>) -> String {
    match outcome {
        Ok(()) => "OK".to_owned(),
        Err(error) => format!("{} {error}", error.may_have_run()),
    }
}
