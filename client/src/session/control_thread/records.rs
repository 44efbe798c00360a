//! Reading the broker's records, one after the other.

use std::os::fd::OwnedFd;

use callgate_layout::Code;
use callgate_layout::control::{
    CellToPlugin, Failure, FeedToPlugin, LinkEnd, LinkToBroker, LinkToPlugin, MemoryId,
    MemoryToPlugin, Role, SessionToBroker, SessionToPlugin, ShareToPlugin, SourceToPlugin,
    ToPlugin, WaitToBroker, WaitToPlugin,
};
use callgate_layout::sys::{fdpass, limits};

use super::plugin::PluginWork;
use crate::base::error::Error;
use crate::base::thread::discard;
use crate::serve::grants::Grant;
use crate::serve::waits::{Reporter, Word};
use crate::session::connection::{Answer, Answered, Returned, failure as error_of};
use crate::session::notices::BrokerEvent;
use crate::session::open_gate::is_known;

/// The error for descriptors that this process had no room for.
fn short(what: &str) -> Error {
    let text = format!(
        "this process could not receive {what}: {}",
        limits::Shortage
    );
    Error::new(Code::System, text)
}

impl PluginWork<'_> {
    pub(super) fn datagram(&mut self, received: fdpass::Received) {
        let record = match ToPlugin::decode(&self.buffer[..received.len]) {
            Ok(record) => record,
            Err(error) => {
                return self.over(
                    &self
                        .plugin
                        .membership
                        .connection
                        .broker()
                        .undecodable(&error),
                );
            }
        };
        // Tells the broker that the record's descriptors were taken; the broker counts those that it has sent,
        // whether there was room for them here or not. It is told before a thread wakes that may ask for more; only
        // for shares after that, so that the thread which waits for one runs meanwhile.
        let took = received.cut || !received.descriptors.is_empty();
        let is_share = matches!(record, ToPlugin::Share(_));
        if took && !is_share {
            self.send(&SessionToBroker::Took.into());
        }
        match received.cut {
            // Descriptors that did come are closed by dropping them.
            true => self.handle_cut(record),
            false => self.handle(record, received.descriptors),
        }
        if took && is_share && self.plugin.is_connected {
            self.send(&SessionToBroker::Took.into());
        }
    }

    /// Handles a record whose descriptors this process had no room for: only what the record was about fails.
    fn handle_cut(&mut self, record: ToPlugin) {
        match record {
            ToPlugin::Memory(MemoryToPlugin::Map { memory, role, .. }) => {
                let what = match memory {
                    MemoryId::Outbox { .. } => "the memory of a link",
                    MemoryId::Extent { .. } => "memory for a payload",
                };
                self.memory_failed(memory, role, &short(what));
            }
            ToPlugin::Link(LinkToPlugin::Peer { end, .. }) => {
                let outbox = MemoryId::Outbox { end: end.other() };
                self.memory_failed(outbox, Role::Reader, &short("the memory of a link"));
            }
            ToPlugin::Session(SessionToPlugin::Listing { request }) => {
                self.answer(request, Err(short("a listing")));
            }
            ToPlugin::Source(SourceToPlugin::MakeRing { request, ring, .. }) => {
                self.ring_failed((request, ring), short("memory for events"));
            }
            ToPlugin::Source(SourceToPlugin::Listen { feed, peer, .. }) => {
                let error = short("the pages of a plugin that listens");
                self.listen_failed((feed, &peer.identity.name), &error);
            }
            ToPlugin::Feed(FeedToPlugin::Follow { feed, .. }) => {
                self.followed(feed, Err(short("memory for events")));
            }
            ToPlugin::Cell(
                CellToPlugin::Write { request, .. } | CellToPlugin::Read { request, .. },
            ) => {
                self.cell_failed(request, &short("the memory of a cell"));
            }
            ToPlugin::Share(ShareToPlugin::Have { request, .. }) => {
                self.have_cut(request, short("the memory of a share"));
            }
            ToPlugin::Share(ShareToPlugin::Version { request, version }) => {
                let version = version.version;
                self.version_failed((request, version), short("the memory of a share"));
            }
            ToPlugin::Share(ShareToPlugin::Write {
                making, request, ..
            }) => {
                self.write_failed((making, request), short("the memory of a share"));
            }
            // No other record has descriptors.
            record => self.handle(record, Vec::new()),
        }
    }

    fn handle(&mut self, record: ToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            ToPlugin::Session(record) => self.session_record(record, descriptors),
            ToPlugin::Gate(record) => self.gate_record(record),
            ToPlugin::Link(record) => self.link_record(record, descriptors),
            ToPlugin::Memory(record) => self.memory_record(record, descriptors),
            ToPlugin::Wait(record) => self.wait_record(record),
            ToPlugin::Schema(record) => self.schema_record(record),
            ToPlugin::Source(record) => self.source_record(record, descriptors),
            ToPlugin::Feed(record) => self.feed_record(record, descriptors),
            ToPlugin::Cell(record) => self.cell_record(record, descriptors),
            ToPlugin::Share(record) => self.share_record(record, descriptors),
        }
    }

    /// Passes what the broker says about a wait to the waiting thread, which answers.
    fn wait_record(&mut self, record: WaitToPlugin) {
        let waits = self.plugin.state.waits();
        match record {
            WaitToPlugin::Confirm { wait, round } => {
                if !waits.put(wait, Word::Confirm(round)) {
                    self.send(&WaitToBroker::Over { wait }.into());
                }
            }
            WaitToPlugin::Deadlock { wait, failure } => {
                // The broker has already forgotten the wait.
                waits.put(wait, Word::Deadlock(error_of(failure)));
            }
        }
    }

    fn session_record(&mut self, record: SessionToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            SessionToPlugin::Welcome { .. } | SessionToPlugin::Invitation { .. } => {}
            SessionToPlugin::Ended(failure) => {
                let reason = match Code::from_u16(failure.code) {
                    Some(Code::BrokerGone) => self
                        .plugin
                        .membership
                        .connection
                        .broker()
                        .gone(&failure.message),
                    _ => error_of(failure),
                };
                self.over(&reason);
            }
            SessionToPlugin::Answer {
                request,
                failure: Some(failure),
            } if self.plugin.schemas.is_fetch(request) => {
                self.fetch_refused(&error_of(failure));
            }
            SessionToPlugin::Answer {
                request,
                failure: Some(failure),
            } if self.plugin.feed_schemas.is_fetch(request) => {
                self.feed_fetch_refused(&error_of(failure));
            }
            SessionToPlugin::Answer {
                request,
                failure: Some(failure),
            } if self.plugin.membership.followed.has_asked(request) => {
                self.subscribed(request, Err(error_of(failure)));
            }
            SessionToPlugin::Answer { request, failure }
                if self.plugin.membership.shares.has(request) =>
            {
                match failure {
                    Some(failure) => self.share_failed(request, error_of(failure)),
                    None => self.share_done(request),
                }
            }
            SessionToPlugin::Answer { request, failure } => {
                let answer = failure.map_or(Ok(Answered::Done), |failure| Err(error_of(failure)));
                self.answer(request, answer);
            }
            SessionToPlugin::Pulse { request } => self.plugin.asked.push(request),
            SessionToPlugin::Listing { request } => {
                let listing = descriptors.into_iter().next();
                self.answer(request, Ok(Answered::Listing(listing)));
            }
        }
    }

    /// Passes an answer to the thread that asked, or handles it if no thread waits.
    pub(super) fn answer(&mut self, request: u32, answer: Answer) {
        let plugin = &self.plugin;
        let returned = plugin.membership.connection.answer(request, answer);
        let (offer, answer) = match returned {
            Some((Returned::Gate(offer), answer)) => (offer, answer),
            Some((Returned::Topic(offered), answer)) => return self.topic_back(&offered, answer),
            Some((Returned::Cell, Err(error))) => return self.cell_refused(request, &error),
            // The broker does not answer such a request with this.
            Some((Returned::Cell, Ok(_))) => return,
            Some((Returned::Why(gate), answer)) => {
                if let Some(gate) = gate.upgrade() {
                    gate.explain(answer.err().filter(is_known));
                    discard(gate);
                }
                return;
            }
            None => return,
        };
        let gate = offer.gate.to_string();
        match answer {
            Ok(Answered::Provided(life)) => {
                if plugin.state.provided.offered(&offer, life) {
                    plugin.state.notices.tell(BrokerEvent::GateBack { gate });
                }
            }
            // The broker does not answer such a request with this.
            Ok(_) => {}
            Err(error) => {
                let error = error.at_gate(offer.gate.clone());
                tracing::warn!(%error, "the broker does not let this plugin provide a gate again");
                plugin.state.provided.refused(&offer);
                plugin
                    .state
                    .notices
                    .tell(BrokerEvent::GateRefused { gate, error });
            }
        }
    }

    fn link_record(&mut self, record: LinkToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            LinkToPlugin::Peer {
                end,
                peer,
                geometry,
            } => {
                let outcome = self.link_peer(end, (peer, geometry), descriptors);
                let outbox = MemoryId::Outbox { end: end.other() };
                self.answer_for(outbox, Role::Reader, outcome);
            }
            LinkToPlugin::Grant {
                end,
                index,
                gate,
                function,
                action,
            } => {
                let grant = Grant {
                    gate: gate.into(),
                    function,
                    action,
                    said: [None; 2],
                };
                self.grant(end, index, grant);
            }
            LinkToPlugin::Revoke {
                end,
                number,
                indexes,
            } => {
                self.plugin.membership.provided.revoke(end, &indexes);
                // Whoever takes a call from here on, from a link or directly, sees the change first.
                self.send(&LinkToBroker::Revoked { end, number }.into());
            }
            LinkToPlugin::Refuse { number, gates } => {
                if self.plugin.membership.refuse(number, &gates) {
                    self.send(&LinkToBroker::Refused { number }.into());
                }
            }
            LinkToPlugin::Gone { end, failure } => self.link_gone(end, &error_of(failure)),
        }
    }

    fn grant(&mut self, end: LinkEnd, index: u16, grant: Grant) {
        let provided = &self.plugin.membership.provided;
        let Some(grant) = provided.gates().named(grant) else {
            // The index may have had a grant of that name before.
            provided.revoke(end, &[index]);
            return self.send(&LinkToBroker::NotProvided { end, index }.into());
        };
        if !provided.grant(end, index, grant) {
            // This side has found that the peer closed; the broker may not know it.
            let failure = Failure::new(Code::ProviderGone, "this side has let the link go");
            return self.send(&LinkToBroker::Failed { end, failure }.into());
        }
        self.send(&LinkToBroker::GrantInstalled { end, index }.into());
    }
}
