//! Records as they come in: received, decoded, and handed to the bus.

use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use callgate_layout::control::{
    DecodeError, Failure, Identity, MAX_TEXT, ToBroker, VERSION, check_plugin_name,
};
use callgate_layout::sys::fdpass::Received;
use callgate_layout::sys::process::has_ended;
use callgate_layout::{Code, clock};

use super::{BATCH, Reactor, Timer};
use crate::bus::{Weight, protocol};
use crate::clocks::SeenClock;
use crate::quota::TokenBucket;
use crate::registry::PluginId;

impl Reactor {
    /// Reads a bounded number of records; says whether there may be more.
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
                Ok(received) => self.datagram(id, &received, now),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
                Err(error) => {
                    let message = format!("its connection broke: {error}");
                    Err(Failure::new(Code::ProviderGone, message))
                }
            };
            if let Err(failure) = taken {
                self.end(id, &failure, now);
            }
            self.settle(now);
        }
        true
    }

    fn datagram(&mut self, id: PluginId, received: &Received, now: Instant) -> Result<(), Failure> {
        if received.truncated {
            let too_long = received.len >= self.buffer.len();
            return Err(protocol(match too_long {
                true => "it sent a datagram that is too long",
                false => "it sent descriptors, which only the broker does",
            }));
        }
        let record = ToBroker::decode(&self.buffer[..received.len]).map_err(undecodable)?;
        let Some(session) = self.sessions.get_mut(&id) else {
            return Ok(());
        };
        if record == ToBroker::Took {
            if !session.outgoing.took() {
                return Err(protocol("it took a datagram that nobody sent"));
            }
            self.flush(id, now);
            return Ok(());
        }
        let is_new = self.bus.member(id).is_none();
        let record = match record {
            ToBroker::Hello(identity) if is_new => {
                return self.hello(id, identity, received.sender_pid, now);
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
        sender: Option<u32>,
        now: Instant,
    ) -> Result<(), Failure> {
        let Some(session) = self.sessions.get(&id) else {
            return Ok(());
        };
        let pid = session.pid;
        check_expected(&session.expected, &identity.name, sender)?;
        check_identity(&identity)?;
        self.bus.check_admission(&identity.name)?;
        if session.expected.name.is_none() {
            self.check_reserved(&identity.name)?;
        }
        if let Some(holder) = self.bus.holder(&identity.name) {
            self.make_way(holder, &identity.name, now)?;
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
        Ok(())
    }

    /// Refuses a name that was given to a plugin which was started and has not said hello yet.
    fn check_reserved(&self, name: &str) -> Result<(), Failure> {
        let mut sessions = self.sessions.values();
        let expected = sessions.find(|session| {
            let given = session.expected.name.as_deref();
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

    /// Frees the name of a plugin whose end was not noticed yet; refuses the name of a living
    /// one.
    fn make_way(&mut self, holder: PluginId, name: &str, now: Instant) -> Result<(), Failure> {
        let Some(session) = self.sessions.get(&holder) else {
            return Ok(());
        };
        let why = if has_ended(session.pidfd.as_fd()) {
            "its process has ended"
        } else if session.is_hung_up() {
            // What it sent last may be unread still.
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

fn check_expected(
    expected: &super::session::Expected,
    name: &str,
    sender: Option<u32>,
) -> Result<(), Failure> {
    if let Some(pid) = expected.sender
        && sender != Some(pid)
    {
        let sender = sender.map_or_else(|| "an unknown process".into(), |pid| format!("pid {pid}"));
        let message = format!("this connection was made for pid {pid}, but {sender} said hello");
        return Err(Failure::new(Code::PermissionDenied, message));
    }
    if let Some(expected) = &expected.name
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
