//! Records about schemas: parts that plugins upload, and parts that they ask for.

use callgate_layout::Code;
use callgate_layout::control::{
    Availability, Failure, MAX_INLINE_SCHEMA, SchemaToBroker, SchemaToPlugin,
};

use super::{Bus, Weight, protocol};
use crate::id::PluginId;
use crate::registry::Standing;
use crate::schemas::{Part, Schema};

impl Bus {
    pub(super) fn schema_record(
        &mut self,
        from: PluginId,
        record: SchemaToBroker,
    ) -> Result<Weight, Failure> {
        let is_free = match record {
            SchemaToBroker::Part {
                upload,
                total,
                offset,
                bytes,
            } => {
                let part = Part {
                    upload,
                    total,
                    offset,
                    bytes,
                };
                self.take_part(from, &part)?
            }
            SchemaToBroker::Fetch {
                request,
                open,
                schema,
                offset,
            } => {
                let part = self.part_of(from, (open, schema), offset);
                return Ok(self.answer_fetch(from, request, part));
            }
        };
        Ok(weight(is_free))
    }

    /// Answers a plugin that has asked for a part of a schema with that part and the length of the whole, or with a failure. Returns the
    /// weight of the question.
    pub(super) fn answer_fetch(
        &mut self,
        from: PluginId,
        request: u32,
        part: Result<(u32, Vec<u8>), Failure>,
    ) -> Weight {
        match part {
            Ok((total, bytes)) => {
                let part = SchemaToPlugin::Part {
                    request,
                    total,
                    bytes,
                };
                self.send(from, part);
            }
            Err(failure) => self.answer(from, request, Some(failure)),
        }
        let member = self.members.get_mut(&from);
        weight(member.is_some_and(|member| member.schemas.fetches()))
    }

    fn take_part(&mut self, from: PluginId, part: &Part) -> Result<bool, Failure> {
        // A plugin that came only for listings provides nothing, so its uploads are not kept.
        if self.check_takes_part(from).is_err() {
            return Ok(false);
        }
        let Some(member) = self.members.get_mut(&from) else {
            return Ok(false);
        };
        member.schemas.take_part(part).map_err(protocol)
    }

    /// The schemas that differ from what a plugin wants, and of which it is about to be told: number and length of each.
    pub(super) fn differing(&self, standing: &Standing) -> [Option<(u64, usize)>; 2] {
        [&standing.function, &standing.action].map(|half| match half {
            Availability::Differs { schema, .. } => {
                let found = self.registry.schema_of(standing, *schema)?;
                Some((*schema, found.bytes.len()))
            }
            _ => None,
        })
    }

    /// Allows a plugin to fetch schemas of which it is told without being charged: how often it is told is decided by others.
    pub(super) fn let_fetch(&mut self, plugin: PluginId, schemas: [Option<(u64, usize)>; 2]) {
        if let Some(member) = self.members.get_mut(&plugin) {
            for (number, length) in schemas.into_iter().flatten() {
                member.schemas.may_fetch(number, length);
            }
        }
    }

    /// Returns a part of the schema of a gate that a plugin has open, and the length of the whole.
    fn part_of(
        &self,
        plugin: PluginId,
        (open, schema): (u32, u64),
        offset: u32,
    ) -> Result<(u32, Vec<u8>), Failure> {
        let standing = self.registry.standing(plugin, open);
        let standing = standing.ok_or_else(|| invalid("no gate is open under this number"))?;
        self.check_call(plugin, &standing.gate)?;
        let gone = || Failure::new(Code::NotReady, "the gate has no such schema now");
        let schema = self
            .registry
            .schema_of(&standing, schema)
            .ok_or_else(gone)?;
        part(schema, offset)
    }

    /// Returns a part of the schema of a source that a plugin was told of, and the length of the whole.
    pub(super) fn part_of_feed(
        &self,
        plugin: PluginId,
        (feed, schema): (u64, u64),
        offset: u32,
    ) -> Result<(u32, Vec<u8>), Failure> {
        let feed = self.topics.feed(feed);
        let feed = feed.filter(|feed| feed.plugin == plugin);
        let gone = || Failure::new(Code::NotReady, "there is no such feed (any more)");
        let source = feed.and_then(|feed| self.topics.source(feed.source));
        let held = &source.ok_or_else(gone)?.wanted.provided.held.schema;
        match held.number == schema {
            true => part(held, offset),
            false => Err(invalid("the source has no such schema")),
        }
    }
}

pub(super) fn part(schema: &Schema, offset: u32) -> Result<(u32, Vec<u8>), Failure> {
    let rest = schema.bytes.get(offset as usize..).unwrap_or_default();
    if rest.is_empty() {
        return Err(invalid("the schema is not as long as that"));
    }
    let part = &rest[..rest.len().min(MAX_INLINE_SCHEMA)];
    let total = u32::try_from(schema.bytes.len()).unwrap_or(u32::MAX);
    Ok((total, part.to_vec()))
}

fn weight(is_free: bool) -> Weight {
    match is_free {
        true => Weight::Expected,
        false => Weight::Charged,
    }
}

fn invalid(what: &str) -> Failure {
    Failure::new(Code::InvalidArgument, what)
}
