//! A source, and listeners that the test plays.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use callgate_layout::buffer::Buffer;
use callgate_layout::events::{Kind, RingReader, Run, Taken, ring_len};
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN, Status};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Encoding, clock};

use parking_lot::Mutex;

use super::super::event::Typed;
use super::super::{NewRing, RingKey, Settings, Source, SourceParts};
use crate::base::archive;
use crate::base::error::Result;
use crate::base::json;
use crate::events::budget::Budget;
use crate::events::inside::{Inside, Lasting};
use crate::events::listeners::Listening;
use crate::events::peers::Peer;
use crate::link::peer::Caller;
use crate::link::topic_words::TopicWords;

pub(super) type Event = (u32, String);

/// The membership in which a source begins.
pub(super) const HERE: u64 = 1;

/// The number of a plugin whose handlers cannot run while the test's threads wait.
pub(super) const STANDS_STILL: u64 = 99;

pub(super) fn file(len: usize) -> (OwnedFd, OwnedFd) {
    let file = memfd::create("test", len).unwrap();
    let same = file.as_fd().try_clone_to_owned().unwrap();
    (file, same)
}

pub(super) fn writable(file: OwnedFd, len: usize) -> WriteView {
    WriteView::new(Mapping::writable(file, len).unwrap()).unwrap()
}

fn readable(file: OwnedFd, len: usize) -> ReadView {
    ReadView::new(Mapping::read_only(file, len).unwrap())
}

pub(super) fn settings() -> Settings {
    Settings {
        capacity: 64 << 10,
        history: 0,
        lossless: true,
        budgets: true,
        send_timeout: Duration::from_secs(20),
    }
}

fn convert(bytes: &[u8], out: &mut Buffer, most: usize) -> Result<()> {
    let value = archive::deserialize::<Event>(archive::access::<Event>(bytes)?)?;
    json::write_arguments(&value, out, None, most)
}

/// Stands for threads that run no handlers.
#[derive(Debug)]
struct Outside;

impl Inside for Outside {
    fn stands_still(&self, peer: &Peer) -> bool {
        peer.who.plugin == STANDS_STILL
    }

    fn begin(&self) -> Option<Box<dyn Lasting>> {
        None
    }
}

/// A source and the doorbell page of its plugin.
pub(super) struct Scene {
    pub(super) source: Arc<Source>,
    words: Arc<TopicWords>,
    pub(super) doorbell: Arc<Doorbell>,
}

impl Scene {
    pub(super) fn new(settings: Settings) -> Scene {
        let source = Source::new(SourceParts {
            name: "Weather.Changed".into(),
            settings,
            incarnation: 7,
            convert: Some(convert),
            inside: Box::new(Outside),
        });
        let (page, _) = file(DOORBELL_LEN);
        let doorbell = Arc::new(Doorbell::new(writable(page, DOORBELL_LEN)));
        let scene = Scene {
            source: Arc::new(source),
            words: Arc::new(TopicWords::new(doorbell.clone())),
            doorbell,
        };
        scene.place(HERE);
        scene
    }

    pub(super) fn place(&self, of: u64) {
        self.source.place(of, self.words.take().unwrap());
    }

    /// Wakes the thread that waits for listeners, as a listener does when it has moved on.
    pub(super) fn moved_on(&self) {
        // The first place has the first word.
        self.doorbell.wake_room(0);
    }

    /// Makes a ring, and returns what its listeners map.
    pub(super) fn ring(&self, (of, ring): (u64, u64), encoding: Encoding) -> Ring {
        let capacity = self.source.settings().capacity;
        let len = match encoding {
            Encoding::Archive => ring_len(capacity),
            Encoding::Json => ring_len(capacity * 4),
        } as usize;
        let (file, same) = file(len);
        let key = RingKey { of, ring };
        let memory = writable(file, len);
        self.source
            .add_ring(NewRing {
                key,
                encoding,
                memory,
            })
            .unwrap();
        Ring {
            key,
            encoding,
            memory: readable(same, len),
        }
    }

    pub(super) fn send(&self, number: u32, text: &str) -> Result<()> {
        self.source.send(&Typed(&(number, text.to_owned())))
    }

    /// Fills the ring until the next event would have to wait for a listener. Returns the number of events.
    pub(super) fn fill(&self, text: &str) -> u32 {
        let record = {
            let archive = archive_of(&(0, text.to_owned()));
            (16 + archive.len()).next_multiple_of(16)
        };
        let count = (self.source.settings().capacity as usize / record) as u32;
        (0..count).for_each(|number| self.send(number, text).unwrap());
        count
    }
}

pub(super) fn archive_of(event: &Event) -> Vec<u8> {
    let mut bytes = Buffer::new();
    archive::serialize_vec(event, &mut bytes, None, 1 << 20).unwrap();
    bytes.to_vec()
}

/// A ring as its listeners see it.
pub(super) struct Ring {
    pub(super) key: RingKey,
    encoding: Encoding,
    memory: ReadView,
}

/// A listener.
pub(super) struct Ear {
    pub(super) feed: u64,
    pub(super) peer: Arc<Peer>,
    pub(super) status: Status,
    pub(super) bell: Doorbell,
    pub(super) reader: RingReader,
    pub(super) start: (u64, u64),
    encoding: Encoding,
}

/// The outcome of taking an event.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Heard {
    Event(u64, Event),
    Text(u64, String),
    Unfit(u64, String),
    Lost(u64),
    Closed,
    Nothing,
}

impl Ear {
    /// Makes a plugin with this number that listens to a ring, on its dispatcher or on a thread of its own.
    pub(super) fn new(scene: &Scene, ring: &Ring, listens: (u64, bool)) -> Ear {
        let budget = Arc::new(Mutex::new(Budget::new(clock::now())));
        Ear::with(scene, ring, listens, budget)
    }

    /// Makes another feed of the same plugin.
    pub(super) fn another(&self, scene: &Scene, ring: &Ring, feed: u64) -> Ear {
        Ear::with(scene, ring, (feed, false), self.peer.budget.clone())
    }

    fn with(
        scene: &Scene,
        ring: &Ring,
        (feed, pulled): (u64, bool),
        budget: Arc<Mutex<Budget>>,
    ) -> Ear {
        let (status, same_status) = file(STATUS_LEN);
        let (bell, same_bell) = file(DOORBELL_LEN);
        let peer = Arc::new(Peer {
            who: Caller {
                name: format!("Listener{feed}"),
                display_name: String::new(),
                version: String::new(),
                pid: 1,
                plugin: feed,
            },
            bus: 1,
            status: readable(same_status, STATUS_LEN),
            bell: Doorbell::new(writable(same_bell, DOORBELL_LEN)),
            budget,
        });
        let listening = Listening {
            feed,
            cursor: 3,
            pulled,
            peer: peer.clone(),
        };
        let start = scene.source.listen(ring.key, listening).unwrap();
        Ear {
            feed,
            peer,
            status: Status::new(writable(status, STATUS_LEN)),
            bell: Doorbell::new(writable(bell, DOORBELL_LEN)),
            reader: RingReader::new(ring.memory.clone(), start.position, start.number).unwrap(),
            start: (start.position, start.number),
            encoding: ring.encoding,
        }
    }

    /// Takes an event, without counting it as handled.
    pub(super) fn take(&mut self) -> Heard {
        let mut run = Run::default();
        let taken = self.reader.take(&mut run);
        let (number, bytes) = (self.reader.number(), run.payload().to_vec());
        let number = number.saturating_sub(1);
        match taken {
            Taken::Nothing | Taken::Again => Heard::Nothing,
            Taken::Closed => Heard::Closed,
            Taken::Lost(count) => Heard::Lost(count),
            Taken::Event => match (run.kind(), self.encoding) {
                (Kind::Unfit, _) => Heard::Unfit(number, String::from_utf8(bytes).unwrap()),
                (_, Encoding::Json) => Heard::Text(number, String::from_utf8(bytes).unwrap()),
                _ => {
                    let mut aligned = rkyv::util::AlignedVec::<16>::new();
                    aligned.extend_from_slice(&bytes);
                    let archived = archive::access::<Event>(&aligned).unwrap();
                    Heard::Event(number, archive::deserialize::<Event>(archived).unwrap())
                }
            },
            broken => panic!("{broken:?}"),
        }
    }

    /// Says that all events that were taken have been handled.
    pub(super) fn handled(&self) {
        self.handled_up_to(self.reader.position());
    }

    pub(super) fn handled_up_to(&self, position: u64) {
        self.status
            .cursor(3)
            .handled(position, self.reader.number());
    }

    /// Takes all events that there are.
    pub(super) fn take_all(&mut self) -> Vec<Heard> {
        let all = std::iter::repeat_with(|| self.take());
        let all = all.take_while(|heard| !matches!(heard, Heard::Nothing | Heard::Closed));
        let all: Vec<Heard> = all.collect();
        self.handled();
        all
    }
}
