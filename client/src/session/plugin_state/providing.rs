//! Providing gates. A schema that is too long for the record is sent to the broker before it, in parts. Only one
//! such upload is under way at a time.

use std::time::Instant;

use callgate_layout::control::{MAX_INLINE_SCHEMA, SchemaSource, SchemaToBroker};
use parking_lot::MutexGuard;

use super::PluginState;
use crate::base::deadline::answer_due;
use crate::base::error::Result;
use crate::serve::provided::Offer;
use crate::session::connection::{Answer, REQUEST_TIMEOUT};
use crate::session::membership::Membership;

/// A schema, in a form that the broker can use: in the record itself, or as an upload that is complete.
pub(in crate::session) struct Ready<'a> {
    pub(in crate::session) source: SchemaSource,
    /// Keeps other threads from beginning an upload before the broker has used this one.
    _alone: Option<MutexGuard<'a, ()>>,
}

impl PluginState {
    /// Asks a membership's broker to register a gate, and waits for its answer.
    pub(crate) fn request_to_provide(
        &self,
        membership: &Membership,
        offer: &Offer,
        until: Instant,
    ) -> Answer {
        let ready = self.ready_schema(membership, &offer.types.schema, until)?;
        let provide = |request| offer.record((request, None), ready.source.clone());
        let connection = &membership.connection;
        connection.request_until(until, |request| provide(request).into())
    }

    /// Asks a new broker to register a gate again, in the same life, if the plugin still provides it. The control
    /// thread handles the answer.
    pub(super) fn provide_again(
        &self,
        membership: &Membership,
        (offer, life): (&Offer, u64),
    ) -> Result<()> {
        if !self.provided.has(offer) {
            return Ok(());
        }
        let schema = &offer.types.schema;
        let ready = self.ready_schema(membership, schema, answer_due(REQUEST_TIMEOUT))?;
        self.say(membership, || match self.provided.has(offer) {
            true => membership.provide_again((offer, life), ready.source.clone()),
            false => Ok(true),
        })
    }

    /// Prepares a schema for a record: uploads it first if it is long.
    pub(in crate::session) fn ready_schema(
        &self,
        membership: &Membership,
        schema: &[u8],
        until: Instant,
    ) -> Result<Ready<'_>> {
        let connection = &membership.connection;
        // The control thread must not wait for the lock: its holder may wait for records that only the control
        // thread reads.
        if schema.len() <= MAX_INLINE_SCHEMA || connection.is_control_thread() {
            let source = SchemaSource::Inline(schema.to_vec());
            return Ok(Ready {
                source,
                _alone: None,
            });
        }
        let alone = self.uploading.try_lock_until(until);
        let late = || connection.broker().is_late("did not take other schemas");
        let alone = alone.ok_or_else(late)?;
        let upload = connection.next_number();
        for (index, part) in schema.chunks(MAX_INLINE_SCHEMA).enumerate() {
            let part = SchemaToBroker::Part {
                upload,
                // Fits: no schema is longer than this field can say.
                total: schema.len() as u32,
                offset: (index * MAX_INLINE_SCHEMA) as u32,
                bytes: part.to_vec(),
            };
            connection.send_until(&part.into(), until)?;
        }
        Ok(Ready {
            source: SchemaSource::Upload(upload),
            _alone: Some(alone),
        })
    }
}
