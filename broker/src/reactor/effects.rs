//! Carries out the effects of the bus: sends records, hands out pages and introduces peers. Effects about memory are in `memory.rs`.

use std::os::fd::AsFd;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::control::{
    Failure, LinkEnd, LinkToPlugin, MemoryId, PeerInfo, SessionToPlugin, SourceToPlugin, ToPlugin,
};
use callgate_layout::sys::{memfd, process};

use super::failures::no_memory;
use super::outgoing::{Descriptors, Flushed, Overflow};
use super::session::{DoorbellPage, Pages, Session};
use super::{Reactor, SCARCITY, Timer};
use crate::bus::protocol;
use crate::effect::Effect;
use crate::id::PluginId;
use crate::persistent::Way;
use crate::quota::Charge;
use crate::shown::shown;

impl Reactor {
    pub(super) fn perform(&mut self, effect: Effect, now: Instant) {
        match effect {
            Effect::Send(to, record) => self.send(to, record, Vec::new(), now),
            Effect::Welcome(to) => self.welcome(to, now),
            Effect::SealStatus(plugin) => self.seal_status(plugin),
            Effect::Make { to, memory, len } => self.make(to, memory, len, now),
            Effect::Seal(writer, memory) => self.seal(writer, memory, now),
            Effect::HandOver(reader, memory) => self.hand_over(reader, memory, now),
            Effect::Peer { to, end, peer } => self.introduce(to, end, peer, now),
            Effect::Read(reader, memory) => self.read(reader, memory),
            Effect::LetGo {
                memory,
                users,
                serial,
            } => self.let_go(memory, (users, serial), now),
            Effect::MakeRing {
                to,
                ring,
                len,
                record,
            } => self.make_ring(to, (ring, len), record, now),
            Effect::Follow {
                to,
                ring,
                sender,
                record,
            } => self.follow(to, (ring, sender), record, now),
            Effect::MakeCell {
                to,
                memory,
                last,
                len,
                record,
            } => self.make_cell(to, (memory, len, last), record, now),
            Effect::ReadCell { to, memory, record } => self.read_cell(to, memory, record, now),
            Effect::DropCell {
                memory,
                writer,
                users,
            } => self.drop_cell(memory, writer, &users),
            Effect::Listen {
                to,
                listener,
                record,
            } => self.introduce_listener(to, listener, record, now),
            Effect::MakeVersion {
                to,
                version,
                share,
                len,
                record,
            } => self.make_share_version(to, (version, share, len), record, now),
            Effect::CopyVersion {
                from,
                version,
                share,
                value,
            } => self.copy_share_version(from, (version, share), &value, now),
            Effect::Keep { from, version } => self.keep_returned(from, version, now),
            Effect::Examine {
                from,
                version,
                share,
                len,
            } => self.examine_returned(from, (version, share, len), now),
            Effect::Published { share, number } => self.published(share, number),
            Effect::Retired(version) => self.retired(version),
            Effect::Have {
                to,
                share,
                version,
                record,
            } => self.send_share(to, (share, version), record, now),
            Effect::SendVersion {
                to,
                version,
                record,
            } => self.send_share_version(to, version, record, now),
            Effect::Hidden(share) => self.hide_share(share),
            Effect::EndShare(share) => self.end_share(share),
            Effect::Save { version, kept } => self.save(version, kept, now),
            Effect::Load {
                version,
                share,
                tag,
                in_place,
            } => {
                let way = if in_place { Way::InPlace } else { Way::Copied };
                self.load((version, share), tag, way, now);
            }
            Effect::RemoveFile { from, request, tag } => {
                self.remove_file((from, request), tag, now);
            }
            Effect::GaveUp(link, why) => {
                // A plugin can cause this as often as it likes and with any text, so it is limited like other warnings.
                if self.warnings.take(now) {
                    tracing::warn!(link, "a link is given up: {why:?}");
                }
            }
            Effect::NotRefused(plugin) => self.not_refused(plugin, now),
            Effect::Deadlocked(circle) => {
                // Limited, because plugins can cause deadlocks as often as they like.
                if self.warnings.take(now) {
                    tracing::warn!("a deadlock: {circle}");
                }
            }
            Effect::Listing(to, request) => self.list(to, request, now),
            Effect::OpenedAbsent(to, open, gate) => self.tell_failed(to, open, &gate, now),
            Effect::WhyAbsent(to, request, gate) => self.explain_absence(to, request, &gate, now),
            Effect::PolicySet(change, missing) => self.policy_set(change, missing),
            Effect::End(plugin, failure) => self.doomed.push_back((plugin, failure)),
        }
    }

    /// Queues a record for a plugin, and sends what its socket takes.
    pub(super) fn send(
        &mut self,
        to: PluginId,
        record: impl Into<ToPlugin>,
        descriptors: Descriptors,
        now: Instant,
    ) {
        self.send_charged(to, &record.into(), (descriptors, None), now);
    }

    /// The same as [`Reactor::send`], with a charge that the plugin bears until it has taken the datagram.
    pub(super) fn send_charged(
        &mut self,
        to: PluginId,
        record: &ToPlugin,
        (descriptors, charge): (Descriptors, Option<Charge>),
        now: Instant,
    ) {
        let Some(session) = self.sessions.get_mut(&to) else {
            return;
        };
        match session.outgoing.push(record, descriptors, charge) {
            Ok(()) => self.flush(to, now),
            Err(Overflow) => {
                let most = self.settings.limits.queued_records;
                let message =
                    format!("it left {most} records unread: it may be stopped or too busy");
                // `TIMEOUT`, so that the plugin comes back when it goes on.
                let failure = Failure::new(Code::Timeout, message);
                self.doomed.push_back((to, failure));
            }
        }
    }

    /// Sends what waits for a plugin, and arranges to be woken when its socket takes more.
    pub(super) fn flush(&mut self, id: PluginId, now: Instant) {
        let Some(session) = self.sessions.get_mut(&id) else {
            return;
        };
        let flushed = session.outgoing.flush(session.socket.as_fd());
        let crowded = matches!(flushed, Ok(Flushed::Crowded));
        let watched = flushed.and_then(|flushed| {
            session.watch_writable(self.poll.registry(), flushed == Flushed::Full)
        });
        let resend = crowded.then(|| now + SCARCITY);
        self.timers.set(Timer::Resend(id), resend);
        if let Err(error) = watched {
            let message = format!("its connection broke: {error}");
            let failure = Failure::new(Code::ProviderGone, message);
            self.doomed.push_back((id, failure));
        }
    }

    fn not_refused(&mut self, plugin: PluginId, now: Instant) {
        if let Some(member) = self.bus.member(plugin)
            && self.warnings.take(now)
        {
            let (label, step) = (member.label(), self.settings.step_deadline);
            tracing::warn!(
                "{} did not say within {step:?} that it refuses what a link of an older broker may not \
                 be used for any more. It may be stopped or too busy",
                shown(&label)
            );
        }
    }

    fn welcome(&mut self, to: PluginId, now: Instant) {
        let shared = self.shared_doorbell(to);
        let is_shared = shared.is_some();
        let pages = match Pages::new(to, shared) {
            Ok(pages) => pages,
            Err(error) => {
                let failure = no_memory("a plugin's doorbell and status page", &error);
                return self.doomed.push_back((to, failure));
            }
        };
        self.bus.is_served_with(to, pages.doorbell.first);
        let doorbell = (!is_shared).then(|| pages.doorbell.file.clone());
        let descriptors = doorbell.into_iter().chain([pages.status.clone()]).collect();
        if let Some(session) = self.sessions.get_mut(&to) {
            session.pages = Some(pages);
        }
        let (plugin, limits) = (to.0, self.bus.limits_of(to));
        let record = SessionToPlugin::Welcome {
            bus: self.number,
            plugin,
            limits,
            broker: self.facts(),
        };
        self.send(to, record, descriptors, now);
    }

    /// The doorbell page that a plugin wants to share, if other plugins of its process have it. Otherwise it gets a page of its own: a
    /// process must not get another process's doorbell by naming it.
    fn shared_doorbell(&self, of: PluginId) -> Option<DoorbellPage> {
        let session = self.sessions.get(&of)?;
        let first = session.shares?.plugin;
        let has_it =
            |other: &&Session| other.pid == session.pid && other.doorbell_of(first).is_some();
        let mut others = self.sessions.values().filter(has_it);
        // A process of the same number may have ended without the broker having noticed.
        let other = others.find(|other| !process::has_ended(other.process.as_fd()))?;
        other.doorbell_of(first).cloned()
    }

    fn seal_status(&mut self, plugin: PluginId) {
        let session = self.sessions.get(&plugin);
        let Some(pages) = session.and_then(|session| session.pages.as_ref()) else {
            return;
        };
        if let Err(error) = memfd::seal_writer(pages.status.as_fd()) {
            let what = format!("it sealed its status page before the broker did ({error})");
            return self.doomed.push_back((plugin, protocol(&what)));
        }
        self.start_succeeded(plugin);
    }

    /// Tells a source who listens, with the status page, doorbell and process of that plugin.
    fn introduce_listener(
        &mut self,
        to: PluginId,
        listener: PluginId,
        record: SourceToPlugin,
        now: Instant,
    ) {
        let session = self.sessions.get(&listener);
        let pages = session.and_then(|session| session.pages.as_ref());
        if let (Some(session), Some(pages)) = (session, pages) {
            let (status, doorbell) = (pages.status.clone(), pages.doorbell.file.clone());
            let descriptors = vec![status, doorbell, session.process.clone()];
            self.send(to, record, descriptors, now);
        }
    }

    /// Tells a plugin who is on the other side of a link, and sends it that side's outbox.
    fn introduce(&mut self, to: PluginId, end: LinkEnd, peer: PluginId, now: Instant) {
        let (Some(session), Some(member)) = (self.sessions.get(&peer), self.bus.member(peer))
        else {
            return;
        };
        let outbox = MemoryId::Outbox { end: end.other() };
        let (Some(pages), Some(outbox)) = (&session.pages, self.memory.get_mut(&outbox.into()))
        else {
            return;
        };
        let Some(outbox) = outbox.take_reader() else {
            return;
        };
        let descriptors = vec![
            outbox,
            pages.status.clone(),
            pages.doorbell.file.clone(),
            session.process.clone(),
        ];
        let peer = PeerInfo {
            plugin: peer.0,
            pid: session.pid,
            identity: member.identity.clone(),
        };
        let geometry = self.settings.limits.geometry;
        let record = LinkToPlugin::Peer {
            end,
            peer,
            geometry,
        };
        self.send(to, record, descriptors, now);
    }
}
