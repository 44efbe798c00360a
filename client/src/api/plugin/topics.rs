//! The methods with which a plugin offers topics.

use std::sync::Arc;

use callgate_layout::buffer::Buffer;
use callgate_layout::{Encodings, Signature};

use super::{Plugin, check_gate};
use crate::api::events::inside::InHandlers;
use crate::api::events::options::TopicOptions;
use crate::api::events::topic::{Handle, Topic};
use crate::base::archive;
use crate::base::error::{Error, Result};
use crate::base::json;
use crate::base::types::{Arguments, action_signature_of};
use crate::events::source::{Convert, Source, SourceParts};
use crate::serve::offered::Types;
use crate::session::events::sources::Offered;
use crate::session::retry::random;

impl Plugin {
    /// Offers a topic on which only this plugin sends events. `A` is the tuple of an event's parameters. Gates and
    /// topics share their names: no other plugin can provide a gate of this name or offer the topic, but this
    /// plugin may provide the gate as well.
    ///
    /// Returns once every plugin that has subscribed already hears what is sent from here on; a plugin that does
    /// not answer the broker in time is not waited for.
    ///
    /// Listeners whose types differ get the same events as JSON. The JSON is only written while a listener needs
    /// it.
    ///
    /// # Errors
    ///
    /// `ALREADY_PROVIDED` if the name belongs to another plugin, or to an open topic; `INVALID_ARGUMENT` for a name
    /// that is not allowed; `PERMISSION_DENIED`; `OVERLOADED` over the limit of topics; `BROKER_GONE`.
    pub fn topic<A: Arguments>(&self, name: &str) -> Result<Topic<A>> {
        self.topic_with(name, TopicOptions::new())
    }

    /// Offers an open topic: other plugins may send their own events on it as well.
    ///
    /// # Errors
    ///
    /// As [`Plugin::topic`]; `ALREADY_PROVIDED` if there is a gate of that name.
    pub fn open_topic<A: Arguments>(&self, name: &str) -> Result<Topic<A>> {
        self.topic_with(name, TopicOptions::new().open())
    }

    /// Offers a topic with the given options.
    ///
    /// # Errors
    ///
    /// As [`Plugin::topic`]; `INVALID_ARGUMENT` for options that are not allowed.
    pub fn topic_with<A: Arguments>(&self, name: &str, options: TopicOptions) -> Result<Topic<A>> {
        let types = (&action_signature_of::<A>(), self.state.encodings);
        let handle = self.offer_topic(name, types, (&options, Some(convert::<A>)))?;
        Ok(Topic::new(handle))
    }

    /// Offers a topic with a signature. `encodings` are those in which its events can be written.
    pub(crate) fn offer_topic(
        &self,
        name: &str,
        (signature, encodings): (&Signature, Encodings),
        (options, convert): (&TopicOptions, Option<Convert>),
    ) -> Result<Handle> {
        check_gate(name)?;
        let at_topic = |error: Error| error.at_gate(name);
        let settings = options.settings().map_err(at_topic)?;
        let types = Types::of(signature, encodings).map_err(at_topic)?;
        let source = Source::new(SourceParts {
            name: name.into(),
            settings,
            incarnation: random(),
            convert,
            inside: Box::new(InHandlers::new(&self.state)),
        });
        let offered = Arc::new(Offered::new(source, types, options.is_open));
        self.state.offer_topic(&offered).map_err(at_topic)?;
        let state = self.state.clone();
        Ok(Handle { state, offered })
    }
}

/// Rewrites an event from an archive to JSON, for listeners with other types.
fn convert<A: Arguments>(bytes: &[u8], out: &mut Buffer, most: usize) -> Result<()> {
    let value = archive::deserialize::<A>(archive::access::<A>(bytes)?)?;
    json::write_arguments(&value, out, None, most)
}
