//! The broker's one thread: sockets, descriptors and time around the [`Bus`].
//!
//! The poll is edge-triggered. Sessions that have something to read are in a queue, and are read in bounded batches, so that none keeps the
//! others waiting. Nothing here blocks.

mod absent;
mod accept;
mod cells;
mod commands;
mod descriptors;
mod effects;
mod ends;
mod failures;
mod files;
mod held;
mod listed_plugins;
mod listed_shares;
mod listed_topics;
mod listing;
mod memory;
mod numbers;
mod outgoing;
mod pulses;
mod records;
mod session;
mod shares;
mod snapshot;
mod socket;
mod spawn;
mod spawners;
mod starts;
mod stop;
mod tokens;
mod watches;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::control::{Failure, MAX_RECORD};
use crossbeam_channel::{Receiver, Sender};
use mio::{Events, Poll};

pub(crate) use commands::{Command, Lent, Outcome, WayBack};
pub(crate) use tokens::WAKER;

use crate::bus::Bus;
use crate::child::Tracked;
use crate::deadlines::Deadlines;
use crate::helper::Helper;
use crate::huge;
use crate::id::PluginId;
use crate::memory::AnyMemory;
use crate::persistent::Store;
use crate::quota::TokenBucket;
use crate::settings::Settings;
use crate::socket::{DirectoryWatch, Listener};
use files::Files;
use held::HeldMemory;
pub(crate) use listed_plugins::Unusable;
use listed_plugins::{AllBroken, AllSupervised};
use listing::Listings;
use memory::Memory;
use numbers::Numbers;
use pulses::Pulses;
use session::{Connection, Session};
use shares::{Came, SharePage};
use spawn::Exec;
use spawners::Spawners;
use starts::Starts;
use tokens::{DIRECTORY, Kind, parts};
use watches::Watches;

/// How many records are read from one session before the next one has its turn.
const BATCH: usize = 32;
/// How long to wait when the kernel has no descriptors, or no room for them.
const SCARCITY: Duration = Duration::from_millis(50);
/// How many warnings about plugins are logged a second at most, so that no plugin can fill a log.
const WARNINGS: u32 = 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    /// The deadline for the hello of a connection.
    Hello(PluginId),
    /// From then on, sending descriptors is tried again.
    Resend(PluginId),
    /// From then on, accepting is tried again.
    Accept,
    /// From then on, memory that was still held is looked at again.
    Held,
    /// The deadline for loading a program.
    Exec(u64),
    /// The deadline for the end of a program that has closed its connection.
    Closed(u64),
    /// From then on, the peers of a plugin that has closed its connection are told that it is gone, even if its process has not ended.
    Gone(PluginId),
    /// From then on, the broker looks whether its socket is still there.
    Socket,
    /// From then on, the next listing may begin.
    Listing,
    /// A sign of life is due.
    Sign,
}

/// Everything that the broker's thread has.
pub(crate) struct Reactor {
    poll: Poll,
    settings: Settings,
    listener: Option<Listener>,
    directory: Option<DirectoryWatch>,
    commands: Receiver<Command>,
    way_back: WayBack,
    bus: Bus,
    sessions: HashMap<PluginId, Session>,
    /// The memory that the broker has made: outboxes, extents, rings, cells and versions of shares.
    memory: HashMap<AnyMemory, Memory>,
    share_pages: HashMap<u64, SharePage>,
    /// The descriptor that came with the record which is handled now.
    came: Came,
    returned: HashMap<u64, OwnedFd>,
    watches: Watches,
    held: HeldMemory,
    /// The thread that works on memory; `None` until there is such work.
    memory_helper: Option<Helper<Outcome>>,
    /// The files of persistent shares.
    files: Files,
    /// Those who wait for a change of policy to be in force.
    policy_changes: HashMap<u64, Sender<Vec<String>>>,
    children: HashMap<u64, Tracked>,
    supervised: AllSupervised,
    /// Folders of plugins that cannot be used, with the reasons.
    broken: AllBroken,
    pulses: Pulses,
    /// A connection that was accepted, but whose process could not be looked up for want of descriptors.
    half_accepted: Option<OwnedFd>,
    /// Whether connections wait for descriptors; that was logged.
    accepts_late: bool,
    /// A pidfd of the broker's own process, which all plugins in it share.
    own_process: Option<Arc<OwnedFd>>,
    /// Programs that are being started.
    execs: HashMap<u64, Exec>,
    spawners: Spawners,
    starts: Starts,
    next_id: u64,
    /// The number of the bus, which plugins are told.
    number: u64,
    listings: Listings,
    timers: Deadlines<Timer>,
    readable: VecDeque<PluginId>,
    doomed: VecDeque<(PluginId, Failure)>,
    buffer: Vec<u8>,
    warnings: TokenBucket,
    started: Instant,
    stopping: bool,
}

impl Reactor {
    /// Creates the reactor from what the builder has made.
    pub(crate) fn new(
        poll: Poll,
        settings: Settings,
        (listener, store): (Option<Listener>, Option<Store>),
        commands: Receiver<Command>,
        way_back: WayBack,
    ) -> io::Result<Reactor> {
        if let Some(listener) = &listener {
            listener.watch(poll.registry(), tokens::LISTENER)?;
        }
        let now = Instant::now();
        let numbers = Numbers::draw();
        let (limits, step) = (settings.limits.for_plugins(), settings.step_deadline);
        let mut bus = Bus::new(limits, step, numbers.first);
        // Half of the processors are left for everything else.
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let most = settings.limits.bus_extent_mib;
        bus.limit_extents(most, huge::unit_mib(), processors / 2);
        bus.limit_shares(settings.limits.bus_share_mib);
        let files = Files::new(store, &mut bus);
        bus.lay_out_outboxes(settings.limits.geometry);
        bus.set_policies(settings.policies.clone());
        let mut reactor = Reactor {
            poll,
            settings,
            listener,
            directory: None,
            commands,
            way_back,
            bus,
            sessions: HashMap::new(),
            memory: HashMap::new(),
            share_pages: HashMap::new(),
            came: Came::Nothing,
            returned: HashMap::new(),
            watches: Watches::new(),
            held: HeldMemory::new(),
            memory_helper: None,
            files,
            policy_changes: HashMap::new(),
            children: HashMap::new(),
            supervised: AllSupervised::new(),
            broken: AllBroken::new(),
            pulses: Pulses::default(),
            half_accepted: None,
            accepts_late: false,
            own_process: None,
            execs: HashMap::new(),
            spawners: Spawners::default(),
            starts: Starts::default(),
            next_id: numbers.plugin,
            number: numbers.bus,
            listings: Listings::default(),
            timers: Deadlines::new(),
            readable: VecDeque::new(),
            doomed: VecDeque::new(),
            buffer: vec![0; MAX_RECORD],
            warnings: TokenBucket::new(WARNINGS, WARNINGS, now),
            started: now,
            stopping: false,
        };
        reactor.watch_directory(now);
        let sign = reactor.settings.signs_of_life.as_ref().map(|_| now);
        reactor.timers.set(Timer::Sign, sign);
        Ok(reactor)
    }

    /// Serves until it is told to stop.
    pub(crate) fn run(mut self) {
        let mut events = Events::with_capacity(256);
        while !self.stopping {
            // Deadlines are compared with the time before the poll: a plugin that has acknowledged before then is heard first, however long
            // that takes.
            let asked = Instant::now();
            if let Err(error) = self.poll.poll(&mut events, self.patience())
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!("the broker cannot wait for its plugins and stops: {error}");
                break;
            }
            let now = Instant::now();
            for event in &events {
                self.event(event, now);
            }
            self.serve_readable(now);
            self.expire(asked);
        }
        self.wind_down(&mut events);
    }

    /// How long the thread can sleep unless an event comes.
    fn patience(&self) -> Option<Duration> {
        if !self.readable.is_empty() {
            return Some(Duration::ZERO);
        }
        let next = [self.timers.next(), self.bus.next_deadline()];
        let next = next.into_iter().flatten().min()?;
        Some(next.saturating_duration_since(Instant::now()))
    }

    fn event(&mut self, event: &mio::event::Event, now: Instant) {
        match parts(event.token()) {
            (Kind::Own, _) if event.token() == WAKER => self.obey(now),
            (Kind::Own, _) if event.token() == tokens::WATCHES => self.extents_gone(now),
            (Kind::Own, _) if event.token() == DIRECTORY => self.directory_changed(now),
            (Kind::Own, _) => self.accept(now),
            (Kind::Socket, id) => {
                let id = PluginId(id);
                if event.is_writable() {
                    // The plugin has read what filled its socket.
                    self.bus.answers(id, now);
                    self.flush(id, now);
                }
                if event.is_readable() || event.is_read_closed() || event.is_error() {
                    self.enqueue(id);
                }
            }
            (Kind::Process, id) => self.process_ended(PluginId(id), now),
            // Also ends the child's session, which has the same number.
            (Kind::Child, id) => self.reap(id, now),
        }
        self.settle(now);
    }

    /// Gives the sign of life that this thread serves.
    fn give_sign(&mut self, now: Instant) {
        if let Some(signs) = &self.settings.signs_of_life {
            signs.say(self.bus.members().count());
            self.timers.set(Timer::Sign, Some(now + signs.every));
        }
    }

    fn enqueue(&mut self, id: PluginId) {
        if let Some(session) = self.sessions.get_mut(&id)
            && !session.queued
        {
            session.queued = true;
            self.readable.push_back(id);
        }
    }

    /// Reads one batch from each session that is in the queue now.
    fn serve_readable(&mut self, now: Instant) {
        for _ in 0..self.readable.len() {
            let Some(id) = self.readable.pop_front() else {
                return;
            };
            if let Some(session) = self.sessions.get_mut(&id) {
                session.queued = false;
            }
            if self.read_batch(id, now) {
                self.enqueue(id);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(timer) = self.timers.pop(now) {
            match timer {
                Timer::Hello(id) => {
                    let step = self.settings.step_deadline;
                    let message = format!("the connection said no hello within {step:?}");
                    self.end(id, &Failure::new(Code::Timeout, message), now);
                }
                Timer::Resend(id) => {
                    // The plugin was late because the kernel had no room for what was sent to it, and it may have nothing left to
                    // acknowledge.
                    self.bus.answers(id, now);
                    self.flush(id, now);
                }
                Timer::Accept => self.accept(now),
                Timer::Held => self.look_at_held(now),
                Timer::Exec(id) => self.give_up_start(id),
                Timer::Closed(id) => self.lives_unconnected(id, now),
                Timer::Gone(id) => self.has_not_ended(id, now),
                Timer::Socket => self.look_after_socket(now),
                Timer::Listing => self.begin_listing(now),
                Timer::Sign => self.give_sign(now),
            }
        }
        self.bus.expire(now);
        self.settle(now);
    }

    /// Carries out all effects of the bus, and ends all sessions that are to end.
    fn settle(&mut self, now: Instant) {
        loop {
            if let Some(effect) = self.bus.next_effect() {
                self.perform(effect, now);
            } else if let Some((id, failure)) = self.doomed.pop_front() {
                self.lose(id, &failure, now);
            } else {
                return;
            }
        }
    }

    /// Starts a session on a connection.
    fn adopt(&mut self, connection: Connection, now: Instant) -> io::Result<PluginId> {
        let id = PluginId(self.next_id);
        self.next_id += 1;
        self.adopt_as(id, connection, now)?;
        Ok(id)
    }

    /// The same, under a number that was given before.
    fn adopt_as(&mut self, id: PluginId, connection: Connection, now: Instant) -> io::Result<()> {
        let limits = &self.settings.limits;
        let bucket = TokenBucket::new(limits.requests_per_second, limits.request_burst, now);
        let session = Session::new(id, connection, limits.queued_records, bucket);
        session.watch(self.poll.registry())?;
        self.sessions.insert(id, session);
        Ok(())
    }
}
