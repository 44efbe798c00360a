//! Providing all gates under a prefix.

use std::sync::Arc;

use callgate_layout::{Schema, Signature};

use super::{Takes, kind_of};
use crate::api::plugin::Plugin;
use crate::api::provider::Provider;
use crate::base::error::{Error, Result};
use crate::serve::gate::Names;
use crate::serve::provided::Serving;
use crate::session::wanted::anything;

/// A prefix of gates' names, with the types of all gates under it. It ends in `.`.
#[derive(Clone)]
pub struct Prefix {
    prefix: String,
    signature: Signature,
    names: Option<Names>,
}

impl Prefix {
    /// All names under a prefix, as functions with any parameters and any result.
    pub fn new(prefix: impl Into<String>) -> Prefix {
        Prefix {
            prefix: prefix.into(),
            signature: anything(Some(Schema::Any)),
            names: None,
        }
    }

    /// Makes the gates actions with any parameters.
    #[must_use]
    pub fn actions(self) -> Prefix {
        self.with_signature(anything(None))
    }

    /// Gives all gates the types of one signature. They are functions if it has a result, and actions otherwise.
    #[must_use]
    pub fn with_signature(mut self, signature: Signature) -> Prefix {
        self.signature = signature;
        self
    }

    /// Provides only the names for which `names` returns `true`; it is given the whole name. Any other name is
    /// absent for a plugin that opens it, and `has_function` is `false`.
    ///
    /// `names` is called whenever a plugin opens a name that it has not open, on the control thread: it has to be
    /// quick, and must not wait for anything of Callgate's. If it panics, that counts as `false`. A plugin that was
    /// told that there is no such name asks again when it opens the name again.
    #[must_use]
    pub fn only(mut self, names: impl Fn(&str) -> bool + Send + Sync + 'static) -> Prefix {
        self.names = Some(Arc::new(names));
        self
    }
}

impl From<&str> for Prefix {
    fn from(prefix: &str) -> Prefix {
        Prefix::new(prefix)
    }
}

impl std::fmt::Debug for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prefix")
            .field("prefix", &self.prefix)
            .field("signature", &self.signature.to_string())
            .finish_non_exhaustive()
    }
}

/// Provides all gates whose names begin with a prefix, with one handler. [`Context::gate`](crate::Context::gate)
/// tells the handler which name was called.
///
/// If several match, a gate that this plugin provides by its exact name comes first, and then the longer prefix.
/// The names under a prefix belong to its provider: other plugins get `ALREADY_PROVIDED` for gates and prefixes
/// under it, and this plugin gets it for a prefix over theirs.
///
/// [Options](Plugin::set_gate_options), statistics and limits belong to the prefix, for all of its names together.
/// Dropping the [`Provider`] withdraws all of them. A name that no plugin has open takes no memory, so any number
/// of names can be called one after the other.
///
/// ```no_run
/// use callgate_client::dynamic::{self, Prefix, Takes};
/// use callgate_client::{HandlerError, Plugin};
/// use serde_json::json;
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Chat")?;
/// let channels = Prefix::new("text-channels.").only(|name| !name.ends_with(".secret"));
/// let post = Takes::values(|context, values| {
///     let channel = context.gate().trim_start_matches("text-channels.");
///     let text = values.first().and_then(|text| text.as_str());
///     let text = text.ok_or_else(|| HandlerError::new("NO_TEXT", "a text is missing"))?;
///     Ok(json!(format!("{} in {channel}: {text}", context.caller().name())))
/// });
/// let _channels = dynamic::provide_prefix(&plugin, channels, post)?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// `ALREADY_PROVIDED`; `INVALID_ARGUMENT` for a prefix that does not end in `.`; otherwise as [`Plugin::provide`].
pub fn provide_prefix(
    plugin: &Plugin,
    prefix: impl Into<Prefix>,
    takes: Takes,
) -> Result<Provider> {
    let Prefix {
        prefix,
        signature,
        names,
    } = prefix.into();
    let (encodings, handler) = takes.of(&signature);
    let types = (&signature, encodings);
    let serving = Serving { handler, names };
    let provided = plugin.offer_prefix(&prefix, kind_of(&signature), types, serving);
    provided.map_err(|error: Error| error.at_gate(prefix))
}
