//! Providing gates without types.

use super::{Takes, kind_of};
use crate::api::plugin::Plugin;
use crate::api::provider::Provider;
use crate::base::error::Result;
use crate::handler::HandlerError;
use crate::handler::context::Context;
use crate::handler::responder::Responder;
use callgate_layout::Signature;

/// Provides a gate whose handler takes and gives archives. A signature with a result makes it a function,
/// one without an action. The request's first byte is aligned to 16.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide(
    plugin: &Plugin,
    gate: &str,
    signature: &Signature,
    handler: impl Fn(Context<'_>, &[u8]) -> Result<Vec<u8>, HandlerError> + Send + Sync + 'static,
) -> Result<Provider> {
    provide_with(plugin, gate, signature, Takes::archives(handler))
}

/// Provides a gate whose handler takes archives and answers later, through a [`Responder`], from any thread.
///
/// A call that waits for its answer holds neither the plugin's turn nor a thread, only its slot on the
/// link to its caller. One gate has 32 of a link's 64 slots: a handler that keeps so many responders of one
/// caller gets no further call of that caller until it answers, and the caller's other calls wait or
/// fail at their deadlines. What the handler wants to keep of its [`Context`], such as the caller's
/// name, it copies.
///
/// The handler runs where the plugin's [`Dispatch`](crate::Dispatch) says, also for callers of the same process:
/// such calls pass through shared memory.
///
/// *What another thread calls for a kept [`Responder`]* belongs to no chain. It has its own deadline and not that of the
/// call being served: say `with_timeout(responder.remaining())`. Where it leads back to a plugin that waits for this very
/// answer, it is not let in there, and both wait until a deadline; no `DEADLOCK` tells of it. Against that helps
/// to declare the gate that is called back [re-entrant](crate::GateOptions::reentrant).
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide_later(
    plugin: &Plugin,
    gate: &str,
    signature: &Signature,
    handler: impl Fn(Context<'_>, &[u8], Responder) + Send + Sync + 'static,
) -> Result<Provider> {
    provide_with(plugin, gate, signature, Takes::archives_later(handler))
}

/// Provides a gate that takes what its handler does: JSON, archives or both. A signature with a result makes it a
/// function, one without an action.
///
/// Who calls it with types is told by the signature whether they can be converted, and calls with what the handler takes:
///
/// ```no_run
/// use callgate_client::dynamic::{self, Takes};
/// use callgate_client::{Plugin, signature_of};
/// use serde_json::json;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Script")?;
/// let signature = signature_of::<(String, u32), String>();
/// let repeat = Takes::values(|_, values| {
///     let times = values[1].as_u64().unwrap_or(0) as usize;
///     Ok(json!(values[0].as_str().unwrap_or("").repeat(times)))
/// });
/// let _repeat = dynamic::provide_with(&plugin, "Script.Repeat", &signature, repeat)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn provide_with(
    plugin: &Plugin,
    gate: &str,
    signature: &Signature,
    takes: Takes,
) -> Result<Provider> {
    let (encodings, handler) = takes.of(signature);
    plugin.offer(gate, kind_of(signature), (signature, encodings), handler)
}
