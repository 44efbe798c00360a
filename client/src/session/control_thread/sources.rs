//! The broker's records about sources: topics that were registered, rings that are to be made, and listeners.

use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use callgate_layout::control::{Failure, PeerInfo, SourceToBroker, SourceToPlugin};
use callgate_layout::events::capacity_of;
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN};
use callgate_layout::{Code, Encoding};
use mio::Token;

use super::memory::{caller, expect};
use super::plugin::PluginWork;
use crate::base::error::{Error, Result};
use crate::events::listeners::Listening;
use crate::events::peers::Peer;
use crate::events::source::{RingKey, Start};
use crate::session::allocation::{self, NewRing};
use crate::session::connection::{Answer, Answered, Returned, failure as error_of};
use crate::session::events::sources::{Offered, Standing};
use crate::session::here;
use crate::session::mapping::{map_read_only, map_writable, system};
use crate::session::notices::BrokerEvent;

/// A listening plugin, as the broker has described it.
struct NewListener {
    ring: u64,
    feed: u64,
    cursor: u16,
    pulled: bool,
    peer: PeerInfo,
}

impl PluginWork<'_> {
    pub(super) fn source_record(&mut self, record: SourceToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            SourceToPlugin::Offered { request, source } => {
                self.plugin.membership.sources.offered(request, source);
                self.answer(request, Ok(Answered::Offered));
            }
            SourceToPlugin::Lost { request, owner } => self.topic_lost(request, owner),
            SourceToPlugin::MakeRing {
                request,
                ring,
                encoding,
                len,
            } => self.make_ring(request, (ring, encoding, len), descriptors),
            SourceToPlugin::Listen {
                ring,
                feed,
                cursor,
                pulled,
                peer,
            } => {
                let listener = NewListener {
                    ring,
                    feed,
                    cursor,
                    pulled,
                    peer,
                };
                self.listen(listener, descriptors);
            }
            SourceToPlugin::Unlisten { ring, feed } => self.unlisten(ring, feed),
            SourceToPlugin::DropRing { ring } => self.drop_ring(ring),
            SourceToPlugin::Closed { source, failure } => {
                if let Some(offered) = self.plugin.membership.sources.closed(source) {
                    self.topic_refused(&offered, error_of(failure));
                }
            }
        }
    }

    /// Handles a new broker's answer to a topic that was offered again.
    pub(super) fn topic_back(&mut self, offered: &Arc<Offered>, answer: Answer) {
        match answer {
            Ok(_) => {
                let was = offered.stands(Standing::Offered);
                if matches!(was, Standing::InLine { .. }) {
                    let gate = offered.source.name().to_string();
                    let notices = &self.plugin.state.notices;
                    notices.tell(BrokerEvent::GateBack { gate });
                }
            }
            Err(error) => self.topic_refused(offered, error),
        }
    }

    /// Ends a topic on which the broker does not let the plugin send any more.
    fn topic_refused(&mut self, offered: &Arc<Offered>, error: Error) {
        let error = error.at_gate(offered.source.name().clone());
        tracing::warn!(%error, "the broker does not let this plugin send on a topic any more");
        let (state, membership) = (&self.plugin.state, &self.plugin.membership);
        state.topic_ended(membership, offered, &error);
        let gate = offered.source.name().to_string();
        state.notices.tell(BrokerEvent::GateRefused { gate, error });
        self.let_go_of_listeners();
    }

    /// Notes that another plugin took a topic before this one was back.
    fn topic_lost(&mut self, request: u32, owner: String) {
        let plugin = &self.plugin;
        let returned = plugin.membership.connection.returning(request);
        let Some(Returned::Topic(offered)) = returned else {
            return;
        };
        let gate = offered.source.name().to_string();
        tracing::warn!(%gate, %owner, "another plugin sends on a topic of this one now");
        let in_line = Standing::InLine {
            owner: owner.clone(),
        };
        offered.stands(in_line);
        plugin
            .state
            .notices
            .tell(BrokerEvent::GateLost { gate, owner });
    }

    /// Starts the thread that allocates a ring, because that takes too long for this one.
    fn make_ring(
        &mut self,
        request: u32,
        (ring, encoding, len): (u64, Encoding, u32),
        descriptors: Vec<OwnedFd>,
    ) {
        let [file] = match expect(descriptors) {
            Ok(file) => file,
            Err(error) => return self.over(&error),
        };
        if capacity_of(len).is_none() {
            let text = "the broker sent a ring of an impossible size";
            return self.over(&Error::new(Code::Protocol, text));
        }
        let new = NewRing {
            request,
            ring,
            encoding,
            len: len as usize,
            file,
        };
        allocation::allocate_ring(&self.plugin.membership, new);
    }

    /// Tells the broker that a ring cannot be made.
    pub(super) fn ring_failed(&mut self, (request, ring): (u32, u64), error: Error) {
        tracing::warn!(%error, "a ring of events cannot be made");
        let failure = Failure::new(error.code(), error.message());
        self.send(&SourceToBroker::RingFailed { ring, failure }.into());
        if let Some(offered) = self.plugin.membership.sources.offer(request) {
            offered.ring_settled(&Err(error));
        }
    }

    /// Adds a listener to a source.
    fn listen(&mut self, new: NewListener, descriptors: Vec<OwnedFd>) {
        let (feed, name) = (new.feed, new.peer.identity.name.clone());
        match self.note_listener(new, descriptors) {
            Ok(Start { position, number }) => {
                let heard = SourceToBroker::Heard {
                    feed,
                    position,
                    number,
                };
                self.send(&heard.into());
            }
            Err(error) => self.listen_failed((feed, &name), &error),
        }
    }

    /// Tells the broker that a plugin cannot listen. The broker has only a few listeners without an answer at a
    /// time.
    pub(super) fn listen_failed(&mut self, (feed, peer): (u64, &str), error: &Error) {
        // If the ring has ended meanwhile, this is no failure: the two records have crossed.
        if error.code() != Code::ProviderGone {
            tracing::warn!(%error, peer, "a plugin cannot listen to this one");
        }
        let failure = Failure::new(error.code(), error.message());
        self.send(&SourceToBroker::ListenFailed { feed, failure }.into());
    }

    fn note_listener(&mut self, new: NewListener, descriptors: Vec<OwnedFd>) -> Result<Start> {
        let NewListener {
            ring,
            feed,
            cursor,
            pulled,
            peer,
        } = new;
        let peer = self.peer_of(peer, descriptors)?;
        let membership = &self.plugin.membership;
        let key = RingKey {
            of: membership.id.number(),
            ring,
        };
        let listening = Listening {
            feed,
            cursor,
            pulled,
            peer,
        };
        let offered = membership.sources.ring(ring);
        let start = offered.and_then(|offered| offered.source.listen(key, listening));
        start.ok_or_else(|| Error::new(Code::ProviderGone, "the ring of events has ended"))
    }

    /// The mapped memory of a listening plugin. If it is not mapped yet, maps it and watches the plugin's process.
    fn peer_of(&mut self, peer: PeerInfo, descriptors: Vec<OwnedFd>) -> Result<Arc<Peer>> {
        let [status, bell, process] = expect(descriptors)?;
        let plugin = &mut *self.plugin;
        let membership = &plugin.membership;
        let is_here = here::is_here(membership.bus, peer.plugin);
        let (poller, number, listeners) = (&mut *self.poller, plugin.number, &mut plugin.listeners);
        membership.sources.peers.get(peer.plugin, |budget| {
            let process = Arc::new(process);
            let peer = Arc::new(Peer {
                who: caller(peer),
                bus: membership.bus,
                status: map_read_only(status, STATUS_LEN)?,
                bell: Doorbell::new(map_writable(bell, DOORBELL_LEN)?),
                budget,
            });
            // A plugin in this process cannot end without it, and the broker tells when the plugin leaves.
            if !is_here {
                let watched = poller.watch(number, &process);
                let token = watched.map_err(|error| system("watching a listener", &error))?;
                listeners.insert(token, (Arc::downgrade(&peer), process));
            }
            Ok(peer)
        })
    }

    fn unlisten(&mut self, ring: u64, feed: u64) {
        let membership = &self.plugin.membership;
        let of = membership.id.number();
        if let Some(offered) = membership.sources.ring(ring) {
            offered.source.unlisten(RingKey { of, ring }, feed);
        }
        self.let_go_of_listeners();
    }

    fn drop_ring(&mut self, ring: u64) {
        let membership = &self.plugin.membership;
        let of = membership.id.number();
        if let Some(offered) = membership.sources.remove_ring(ring) {
            offered.source.drop_ring(RingKey { of, ring });
        }
        self.let_go_of_listeners();
    }

    /// Handles the end of a process, if it was a listener's: nobody waits for that plugin any more. Returns whether
    /// it was one.
    pub(super) fn listener_ended(&mut self, token: Token) -> bool {
        let plugin = &mut *self.plugin;
        let Some((peer, process)) = plugin.listeners.remove(&token) else {
            return false;
        };
        self.poller.unwatch(token, &process);
        if let Some(peer) = peer.upgrade() {
            let offers = plugin.membership.sources.all();
            offers
                .iter()
                .for_each(|offered| offered.source.peer_ended(&peer));
        }
        true
    }

    /// Stops watching plugins that do not listen to anything any more.
    fn let_go_of_listeners(&mut self) {
        let is_over = |_: &Token, (peer, _): &mut (Weak<Peer>, _)| peer.strong_count() == 0;
        for (token, (_, process)) in self.plugin.listeners.extract_if(is_over) {
            self.poller.unwatch(token, &process);
        }
    }
}
