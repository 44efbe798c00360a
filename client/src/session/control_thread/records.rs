//! The broker's records as they come in, one after the other.

use std::os::fd::OwnedFd;

use callgate_layout::Code;
use callgate_layout::control::{Failure, LinkEnd, ToBroker, ToPlugin};
use callgate_layout::sys::{fdpass, limits};

use super::Work;
use super::memory::{let_go, peer_extent};
use crate::base::error::{Error, Result};
use crate::serve::grants::Grant;
use crate::session::connection::failure as error_of;

/// The error for descriptors that came and that this process had no room for.
fn short(what: &str) -> Error {
    let text = format!(
        "this process could not receive {what}: {}",
        limits::Shortage
    );
    Error::new(Code::System, text)
}

impl Work {
    pub(super) fn datagram(&mut self, received: fdpass::Received) {
        let record = match ToPlugin::decode(&self.buffer[..received.len]) {
            Ok(record) => record,
            Err(error) => return self.over(&self.state.connection.broker().undecodable(&error)),
        };
        // The broker counts what it sent, whether there was room for it here or not.
        if received.cut || !received.descriptors.is_empty() {
            self.send(&ToBroker::Took);
        }
        match received.cut {
            // What did come is closed by dropping it.
            true => self.handle_cut(record),
            false => self.handle(record, received.descriptors),
        }
    }

    /// Handles a record whose descriptors this process had no room for: what it was to bring
    /// fails, and nothing else.
    fn handle_cut(&mut self, record: ToPlugin) {
        match record {
            ToPlugin::NewOutbox { end, .. } | ToPlugin::LinkPeer { end, .. } => {
                self.outboxes.remove(&end);
                self.state.break_link(end, &short("the memory of a link"));
            }
            ToPlugin::NewExtent { end, number, .. } => {
                self.extent_failed(end, (true, number), &short("memory for a payload"));
            }
            ToPlugin::PeerExtent { end, number, .. } => {
                self.extent_failed(end, (false, number), &short("memory for a payload"));
            }
            ToPlugin::Listing { request } => {
                self.state
                    .connection
                    .answer(request, Err(short("a listing")));
            }
            // Nothing else brings descriptors.
            record => self.handle(record, Vec::new()),
        }
    }

    /// Tells the broker, and whoever waits for it here, that an extent cannot be used on this
    /// side: one of its own or one of the peer's.
    fn extent_failed(&self, end: LinkEnd, (own, number): (bool, u8), error: &Error) {
        tracing::warn!(%error, own, "an extent of a link cannot be used");
        let failure = Failure::new(error.code(), error.message());
        // First, because whoever waits may ask for another one under this number.
        let failed = ToBroker::ExtentFailed {
            end,
            own,
            number,
            failure,
        };
        let _ = self.state.send(&failed);
        if own {
            self.extents_changed(end, |extents| extents.refused(error.clone()));
        }
    }

    fn handle(&mut self, record: ToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            ToPlugin::Welcome { .. } | ToPlugin::Invitation { .. } => {}
            ToPlugin::StartFailed { open } => {
                if let Some(gate) = self.state.open_gate(open) {
                    gate.start_failed();
                }
            }
            ToPlugin::Ended(failure) => {
                let reason = match Code::from_u16(failure.code) {
                    Some(Code::BrokerGone) => self.state.connection.broker().gone(&failure.message),
                    _ => error_of(failure),
                };
                self.over(&reason);
            }
            ToPlugin::Answer { request, failure } => {
                let answer = failure.map_or(Ok(None), |failure| Err(error_of(failure)));
                self.state.connection.answer(request, answer);
            }
            ToPlugin::Listing { request } => {
                self.state
                    .connection
                    .answer(request, Ok(descriptors.into_iter().next()));
            }
            ToPlugin::NewOutbox { end, geometry } => {
                let outcome = self.new_outbox(end, geometry, descriptors);
                self.reply(end, outcome, &ToBroker::OutboxMapped { end });
            }
            ToPlugin::LinkPeer { end, peer } => {
                let outcome = self.link_peer(end, peer, descriptors);
                self.reply(end, outcome, &ToBroker::PeerMapped { end });
            }
            ToPlugin::Grant {
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
                };
                self.grant(end, index, grant);
            }
            ToPlugin::Revoke { end, indexes } => {
                self.state.provided.revoke(end, &indexes);
            }
            ToPlugin::GateState { open, state } => {
                if let Some(gate) = self.state.open_gate(open) {
                    let link = state.route.and_then(|route| self.state.link(route.end));
                    gate.set(self.state.bus, &self.state.me, state, link.clone());
                    // It may have ended since it was looked up.
                    if let Some(link) = link.filter(|link| self.state.link(link.end()).is_none()) {
                        gate.lose(&link);
                    }
                }
            }
            ToPlugin::OpenFailed { open, failure } => {
                if let Some(gate) = self.state.open_gate(open) {
                    gate.fail(error_of(failure));
                }
            }
            ToPlugin::NewExtent { end, number, len } => {
                if let Err(error) = self.new_extent(end, (number, len), descriptors) {
                    self.state.break_link(end, &error);
                }
            }
            ToPlugin::PeerExtent { end, number, len } => {
                let Some(link) = self.state.link(end) else {
                    // Nobody here maps it. Were it said to be mapped, an answer would lie there that a
                    // caller which still holds the link cannot read.
                    let failure = let_go();
                    return self.send(&ToBroker::LinkFailed { end, failure });
                };
                let outcome = peer_extent(&link, (number, len), descriptors);
                self.tidy_later();
                match outcome {
                    Err(error) if error.code() == Code::System => {
                        self.extent_failed(end, (false, number), &error);
                    }
                    outcome => {
                        let done = ToBroker::PeerExtentMapped { end, number };
                        self.reply(end, outcome, &done);
                    }
                }
            }
            ToPlugin::ExtentReady { end, number } => {
                self.extents_changed(end, |extents| extents.ready(number));
                self.tidy_later();
            }
            ToPlugin::ExtentRefused { end, failure, .. } => {
                self.extents_changed(end, |extents| extents.refused(error_of(failure)));
            }
            ToPlugin::PeerExtentGone { end, number } => {
                self.extents(end, |extents| extents.remove_peer(number));
            }
            ToPlugin::LinkGone { end, failure } => self.link_gone(end, &error_of(failure)),
        }
    }

    fn grant(&mut self, end: LinkEnd, index: u16, grant: Grant) {
        if !self.state.provided.grant(end, index, grant) {
            // This side found the peer closed; the broker may not know.
            let failure = let_go();
            return self.send(&ToBroker::LinkFailed { end, failure });
        }
        self.reply(end, Ok(()), &ToBroker::GrantInstalled { end, index });
    }

    /// Says that a step of a link's set-up is done, or why it failed.
    fn reply(&mut self, end: LinkEnd, outcome: Result<()>, done: &ToBroker) {
        match outcome {
            Ok(()) => self.send(done),
            Err(error) => {
                self.outboxes.remove(&end);
                self.state.break_link(end, &error);
            }
        }
    }
}
