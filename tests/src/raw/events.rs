//! A plugin that hears or sends events and writes any values into its cursors or its rings.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use callgate_client::{Arguments, action_signature_of};
use callgate_layout::control::{
    FeedToBroker, FeedToPlugin, SchemaSource, SessionToPlugin, SourceToBroker, SourceToPlugin,
    ToPlugin,
};
use callgate_layout::events::cursor::{self, Waiter};
use callgate_layout::events::{self, Kind, RingReader, RingWriter, Run, Taken};
use callgate_layout::hostile::poke;
use callgate_layout::pages::{DOORBELL_LEN, Doorbell, STATUS_LEN};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};
use callgate_layout::{Encoding, Encodings};

use super::{Raw, copy, map_writable, shape};

/// The offset of the cursors in a status page, from the byte table in `callgate_layout::events::cursor`.
const CURSORS: usize = 69_632;

/// A number that no other source of this process has had.
fn incarnation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    u64::from(std::process::id()) << 32 | NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A feed as its listener sees it.
#[derive(Debug)]
pub struct Ear {
    ring: ReadView,
    /// Stands after the last event that it has taken.
    reader: RingReader,
    cursor: u16,
    sender: Doorbell,
    word: u16,
}

impl Ear {
    /// The position up to which there are events.
    pub fn head(&self) -> u64 {
        events::shown(&self.ring).0
    }

    /// Whether the sender waits for a listener.
    pub fn is_starving(&self) -> bool {
        self.reader.is_starving()
    }

    /// Takes up to so many events as a correct client does. Returns the position after them, without marking them as
    /// handled.
    pub fn take(&mut self, most: usize) -> u64 {
        let mut run = Run::default();
        for _ in 0..most {
            match self.reader.take(&mut run) {
                Taken::Event | Taken::Lost(_) => {}
                Taken::Nothing | Taken::Again => break,
                other => panic!("{other:?}"),
            }
        }
        self.reader.position()
    }

    /// Marks everything before a position as handled, and wakes a sender that waits.
    pub fn handled(&self, raw: &Raw, position: u64) {
        let status = raw.status.as_ref().expect("a status page");
        poke(status, CURSORS + 64 * usize::from(self.cursor), position);
        self.sender.wake_room(self.word);
    }
}

fn reader(ring: &ReadView, (position, number): (u64, u64)) -> RingReader {
    RingReader::new(ring.clone(), position, number).expect("a ring")
}

/// A source as its sender sees it.
#[derive(Debug)]
pub struct Voice {
    rings: Vec<Ring>,
    ears: Vec<Listener>,
}

#[derive(Debug)]
struct Ring {
    encoding: Encoding,
    writer: RingWriter,
    /// A second view of the same memory.
    memory: WriteView,
}

#[derive(Debug)]
struct Listener {
    status: ReadView,
    bell: Doorbell,
    cursor: u16,
    pulled: bool,
}

impl Voice {
    /// Sends an event in an encoding as a correct client does.
    pub fn send(&mut self, encoding: Encoding, payload: &[u8]) {
        let ring = self.ring(encoding);
        ring.writer.push(Kind::Event, 0, payload);
        ring.writer.publish();
        self.wake();
    }

    /// Where the next record would begin, in bytes of the ring's records.
    pub fn end(&mut self, encoding: Encoding) -> u64 {
        self.ring(encoding).writer.head()
    }

    /// Stores any word anywhere in a ring.
    pub fn write(&mut self, encoding: Encoding, at: usize, word: u64) {
        poke(&self.ring(encoding).memory, at, word);
    }

    /// Wakes every listener, whether it sleeps or not.
    pub fn wake(&self) {
        for ear in &self.ears {
            match cursor::waiter(&ear.status, ear.cursor) {
                Waiter::Bell(bell) if ear.pulled => ear.bell.ring_callers(bell),
                _ => ear.bell.ring(),
            }
        }
    }

    fn ring(&mut self, encoding: Encoding) -> &mut Ring {
        let mut rings = self.rings.iter_mut();
        rings
            .find(|ring| ring.encoding == encoding)
            .expect("somebody reads it")
    }
}

impl Raw {
    /// Subscribes to a topic that somebody sends on, with the types that a client would give.
    pub fn hear<A: Arguments>(&mut self, topic: &str) -> Ear {
        let request = self.number();
        self.send(FeedToBroker::Subscribe {
            request,
            subscription: request,
            topic: topic.into(),
            prefix: false,
            shape: shape(&action_signature_of::<A>()),
            pulled: false,
        });
        let mut ear = None;
        loop {
            let (record, descriptors) = self.receive();
            match record {
                ToPlugin::Feed(FeedToPlugin::Found { feed, .. }) => {
                    let encoding = Encoding::Archive;
                    self.send(FeedToBroker::Take { feed, encoding });
                }
                ToPlugin::Feed(FeedToPlugin::Follow {
                    feed,
                    cursor,
                    len,
                    word,
                }) => {
                    let place = (feed, cursor, len as usize, word);
                    ear = Some(self.follow_feed(place, descriptors));
                }
                ToPlugin::Feed(FeedToPlugin::Start {
                    position, number, ..
                }) => {
                    let mut ear = ear.expect("it was told where that lies");
                    ear.reader = reader(&ear.ring, (position, number));
                    ear.handled(self, position);
                    return ear;
                }
                ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => {
                    panic!("{failure:?}");
                }
                _ => {}
            }
        }
    }

    fn follow_feed(
        &self,
        (feed, cursor, len, word): (u64, u16, usize, u16),
        descriptors: Vec<OwnedFd>,
    ) -> Ear {
        let [ring, bell, _process] = descriptors.try_into().expect("three descriptors");
        let ring = ReadView::new(Mapping::read_only(ring, len).expect("a ring"));
        let ear = Ear {
            reader: reader(&ring, (0, 0)),
            ring,
            cursor,
            sender: Doorbell::new(map_writable(bell, DOORBELL_LEN)),
            word,
        };
        ear.handled(self, 0);
        self.send(FeedToBroker::Following { feed });
        ear
    }

    /// Sends on a topic, with the types that a client would give and in both encodings, and waits for so many
    /// listeners.
    pub fn offer<A: Arguments>(
        &mut self,
        topic: &str,
        open: bool,
        (capacity, listeners): (u32, usize),
    ) -> Voice {
        let signature = action_signature_of::<A>();
        let request = self.number();
        self.send(SourceToBroker::Offer {
            request,
            topic: topic.into(),
            open,
            schema: SchemaSource::Inline(signature.to_bytes().expect("a schema")),
            signature: signature.text(),
            encodings: Encodings::BOTH,
            capacity,
            history: 0,
            word: 0,
            incarnation: incarnation(),
            returning: false,
        });
        let mut voice = Voice {
            rings: Vec::new(),
            ears: Vec::new(),
        };
        let mut is_offered = false;
        while !is_offered || voice.ears.len() < listeners {
            is_offered |= self.speak_to(&mut voice);
        }
        voice
    }

    /// Does what the next record about a source asks for. Returns whether the record confirms the source.
    fn speak_to(&mut self, voice: &mut Voice) -> bool {
        let (record, descriptors) = self.receive();
        match record {
            ToPlugin::Source(SourceToPlugin::MakeRing {
                ring,
                encoding,
                len,
                ..
            }) => {
                let [memory] = descriptors.try_into().expect("a ring");
                memfd::allocate(memory.as_fd(), len as usize).expect("memory");
                let writable = map_writable(copy(&memory), len as usize);
                voice.rings.push(Ring {
                    encoding,
                    writer: RingWriter::new(writable, 0),
                    memory: map_writable(memory, len as usize),
                });
                self.send(SourceToBroker::RingMade { ring });
            }
            ToPlugin::Source(SourceToPlugin::Listen {
                feed,
                cursor,
                pulled,
                ..
            }) => {
                let [status, bell, _process] = descriptors.try_into().expect("three descriptors");
                let status = Mapping::read_only(status, STATUS_LEN).expect("a status page");
                voice.ears.push(Listener {
                    status: ReadView::new(status),
                    bell: Doorbell::new(map_writable(bell, DOORBELL_LEN)),
                    cursor,
                    pulled,
                });
                // Nothing has been sent yet.
                let (position, number) = (0, 0);
                self.send(SourceToBroker::Heard {
                    feed,
                    position,
                    number,
                });
            }
            ToPlugin::Source(SourceToPlugin::Offered { .. }) => return true,
            ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => panic!("{failure:?}"),
            _ => {}
        }
        false
    }
}
