//! Providing gates without types known at compile time.

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
/// Provides a gate whose handler takes archives and answers later, through a [`Responder`], from any thread.
///
/// A call that waits for its answer holds neither the plugin's turn nor a thread, only its slot on the link to its
/// caller. One gate may take 32 of a link's 64 slots: if a handler keeps that many responders of one caller, it
/// gets no further call of that caller until it answers, and the caller's other calls wait or fail at their
/// deadlines. What the handler needs later of its [`Context`], such as the caller's name, it has to copy.
///
/// The handler runs where the plugin's [`Dispatch`](crate::Dispatch) says, even for callers of the same process:
/// their calls pass through shared memory.
///
/// *Calls that another thread makes for a kept [`Responder`]* belong to no chain. They have their own deadlines,
/// not that of the call being served: use `with_timeout(responder.remaining())`. If such a call leads back to a
/// plugin that waits for this very answer, that plugin does not run it, and both wait until a deadline; no
/// `DEADLOCK` is reported. To prevent that, declare the gate that is called back
/// [re-entrant](crate::GateOptions::reentrant).
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

/// Provides a gate whose handler takes JSON, archives or both. A signature with a result makes it a function, one
/// without an action.
///
/// Plugins that call it with types learn from the signature whether they can be converted, and their calls come in
/// an encoding that the handler takes:
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
