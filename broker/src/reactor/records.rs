//! Records that come in: received, decoded, and handed to the bus.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use callgate_layout::control::{
    DecodeError, DoorbellName, Failure, Identity, MAX_TEXT, SessionToBroker, ToBroker, VERSION,
    check_plugin_name,
};
use callgate_layout::sys::fdpass::Received;
use callgate_layout::sys::process::{has_ended, pidfd_open};
use callgate_layout::{Code, clock};

use super::{BATCH, Came, Reactor, Timer};
use crate::bus::{Weight, protocol};
use crate::clocks::SeenClock;
use crate::descent::descends;
use crate::id::PluginId;
use crate::quota::TokenBucket;

impl Reactor {
    /// Reads a bounded number of records. Returns whether there may be more.
    pub(super) fn read_batch(&mut self, id: PluginId, now: Instant) -> bool {
        for _ in 0..BATCH {
            let Some(session) = self.sessions.get(&id) else {
                return false;
            };
            let taken = match session.receive(&mut self.buffer) {
                Ok(received) if received.len == 0 => {
                    let message = "it closed its connection";
                    Err(Failure::new(Code::ProviderGone, message))
                }
                Ok(received) => self.datagram(id, received, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) => {
                    let message = format!("its connection broke: {error}");
                    Err(Failure::new(Code::ProviderGone, message))
                }
            };
            let is_over = taken.is_err();
            if let Err(failure) = taken {
                self.lose(id, &failure, now);
            }
            self.settle(now);
            self.close_what_came();
            if is_over {
                return false;
            }
        }
        true
    }

    fn datagram(&mut self, id: PluginId, received: Received, now: Instant) -> Result<(), Failure> {
        self.came = Came::with(&received);
        let (sender_pid, descriptors) = (received.sender_pid, received.descriptors);
        let has_more = self.keep_what_came(descriptors);
        if received.truncated {
            return Err(protocol("it sent a datagram that is too long"));
        }
        let record = ToBroker::decode(&self.buffer[..received.len]).map_err(undecodable);
        if has_more || !self.came.may_come_with(record.as_ref().ok()) {
            return Err(protocol(
                "it sent descriptors, of which only a share that is returned has one",
            ));
        }
        let record = record?;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        if record == ToBroker::Session(SessionToBroker::Took) {
            if !session.outgoing.took() {
                return Err(protocol("it took a datagram that nobody sent"));
            }
            self.bus.answers(id, now);
            self.flush(id, now);
            return Ok(());
        }
        if let ToBroker::Session(SessionToBroker::Pulse { request, pulse }) = record {
            return self.pulse_said(id, (request, pulse));
        }
        let is_new = self.bus.member(id).is_none();
        let record = match record {
            ToBroker::Session(SessionToBroker::Hello(identity)) if is_new => {
                return self.hello(id, identity, (sender_pid, false), now);
            }
            ToBroker::Session(SessionToBroker::HelloInGroup {
                identity,
                doorbells,
            }) if is_new => {
                let of_bus = |doorbell: &DoorbellName| doorbell.bus == self.number;
                session.shares = doorbells.into_iter().find(of_bus);
                return self.hello(id, identity, (sender_pid, false), now);
            }
            ToBroker::Session(SessionToBroker::Inspect(identity)) if is_new => {
                return self.hello(id, identity, (sender_pid, true), now);
            }
            record => record,
        };
        if self.bus.record(id, record, now)? == Weight::Charged {
            return self.charge(id, now);
        }
        Ok(())
    }

    fn charge(&mut self, id: PluginId, now: Instant) -> Result<(), Failure> {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        if session.may_request(now) {
            return Ok(());
        }
        let rate = session.bucket.rate();
        let message = format!("it made more than {rate} control requests a second");
        Err(Failure::new(Code::Overloaded, message))
    }

    fn hello(
        &mut self,
        id: PluginId,
        identity: Identity,
        (sender, inspects): (Option<u32>, bool),
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        check_name(&session.expected, &identity.name)?;
        let is_given = session.expected.says().is_some();
        let pid = self.check_sender(id, sender)?;
        check_identity(&identity)?;
        self.bus.check_admission(&identity.name)?;
        if !is_given {
            self.check_reserved(&identity.name)?;
        }
        if let Some(holder) = self.bus.holder(&identity.name) {
            self.make_way(holder, &identity.name, now)?;
        }
        if !inspects {
            self.check_plugin_room()?;
        }
        tracing::info!(
            version = identity.version,
            "plugin `{}` (pid {pid}) came",
            identity.name
        );
        self.timers.set(Timer::Hello(id), None);
        if let Some(rate) = self.bus.requests_per_second(&identity.name)
            && let Some(session) = self.sessions.get_mut(&id)
        {
            session.bucket = TokenBucket::new(rate, rate.saturating_mul(2), now);
        }
        let clock = SeenClock::new(identity.clock, clock::now());
        self.bus.admit(id, identity, (pid, clock), now);
        if inspects {
            self.bus.only_inspects(id);
        }
        Ok(())
    }

    /// Returns the process that says hello: the one that the connection was made for or, if the broker has started that one, a descendant
    /// of it. A descendant is watched from then on.
    fn check_sender(&mut self, id: PluginId, sender: Option<u32>) -> Result<u32, Failure> {
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(0);
        };
        let made_for = session.expected.sender.unwrap_or(session.pid);
        if session.expected.sender.is_none() || sender == Some(made_for) {
            return Ok(made_for);
        }
        let is_started = session.expected.name.is_some();
        // The descriptor is opened first: while it is open, the process has this number, so what is read about the number is about this
        // process.
        let process = sender.filter(|_| is_started).and_then(|pid| {
            let process = pidfd_open(pid).ok()?;
            let is_it = descends(pid, made_for) && !has_ended(process.as_fd());
            is_it.then_some((pid, process))
        });
        let Some((pid, process)) = process else {
            let sender =
                sender.map_or_else(|| "an unknown process".into(), |pid| format!("pid {pid}"));
            let message = format!(
                "this connection was made for pid {made_for} and what that starts, but {sender}, \
                 which does not come from it (any more), said hello"
            );
            return Err(Failure::new(Code::PermissionDenied, message));
        };
        let watched = session.replace_process(self.poll.registry(), pid, process);
        watched.map_err(|error| {
            let message = format!("the broker cannot watch pid {pid}: {error}");
            Failure::new(Code::System, message)
        })?;
        Ok(pid)
    }

    /// Refuses a name that a plugin was started with which has not said hello yet.
    pub(super) fn check_reserved(&self, name: &str) -> Result<(), Failure> {
        let mut sessions = self.sessions.values();
        let expected = sessions.find(|session| {
            let given = session.expected.says();
            given == Some(name) && self.bus.member(session.id).is_none()
        });
        let Some(expected) = expected else {
            return Ok(());
        };
        let message = format!(
            "the name `{name}` was given to a plugin that is starting (pid {}); \
             choose another name",
            expected.pid
        );
        Err(Failure::new(Code::NameTaken, message))
    }

    /// Ends the session of a plugin whose end was not noticed yet, so that its name is free. Fails if that plugin is alive.
    pub(super) fn make_way(
        &mut self,
        holder: PluginId,
        name: &str,
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(session) = self.sessions.get(&holder) else {
            return Ok(());
        };
        let why = if has_ended(session.process.as_fd()) {
            "its process has ended"
        } else if session.is_hung_up() {
            // There may be unread records of it.
            "it closed its connection"
        } else {
            let pid = session.pid;
            let message = format!(
                "the name `{name}` is taken by a living plugin (pid {pid}); \
                 end that one or choose another name"
            );
            return Err(Failure::new(Code::NameTaken, message));
        };
        let failure = Failure::new(Code::ProviderGone, why);
        self.end(holder, &failure, now);
        Ok(())
    }
}

fn undecodable(error: DecodeError) -> Failure {
    match error {
        DecodeError::Version { theirs } => Failure::new(
            Code::VersionMismatch,
            format!(
                "the plugin speaks protocol version {theirs}, the broker version {VERSION}; \
                 use the same version of Callgate for both"
            ),
        ),
        other => protocol(&format!("it sent {other}")),
    }
}

fn check_name(expected: &super::session::Expected, name: &str) -> Result<(), Failure> {
    if let Some(expected) = expected.says()
        && expected != name
    {
        let message = format!("the host started this plugin as `{expected}`, not as `{name}`");
        return Err(Failure::new(Code::PermissionDenied, message));
    }
    Ok(())
}

fn check_identity(identity: &Identity) -> Result<(), Failure> {
    let invalid = |message: String| Failure::new(Code::InvalidArgument, message);
    check_plugin_name(&identity.name).map_err(invalid)?;
    let texts = [
        ("display name", &identity.display_name),
        ("version", &identity.version),
    ];
    for (what, text) in texts {
        if text.len() > MAX_TEXT {
            let len = text.len();
            let message = format!("a plugin's {what} has {len} bytes, more than {MAX_TEXT}");
            return Err(invalid(message));
        }
    }
    Ok(())
}
