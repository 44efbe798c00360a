//! Rings of events, with what the client does around the layout's steps: sources that wake, and listeners that sleep.

mod cursors;
mod ring;
mod waking;

use std::sync::Arc;

use callgate_layout::bells::Bells;
use callgate_layout::events::cursor::{self, Waiter};
use callgate_layout::events::{Kind, RingReader, RingWriter, Run, Taken, all_armed, is_armed};
use callgate_layout::pages::{self, Activity, Doorbell, Status};
use callgate_layout::view::{ReadView, Use, WriteView};
use loom::sync::Mutex;

use crate::bench::{Futex, Without};

/// The source's topic word.
const WORD: u16 = 1;

/// A ring of four events with a payload of one word, by the byte table in `events`.
fn memory() -> WriteView {
    use std::iter::{once, repeat_n};
    let numbers = repeat_n(Use::Wide, 2).chain(repeat_n(Use::Data, 6));
    let oldest = once(Use::Wide).chain(repeat_n(Use::Data, 7));
    let header = numbers.chain(oldest).chain(once(Use::Narrow));
    WriteView::heap(header.chain(repeat_n(Use::Overwritten, 16)))
}

/// A doorbell page with three bells, two topic words and two feed words.
fn doorbell() -> Doorbell {
    use std::iter::{once, repeat_n};
    let line = || once(Use::Narrow).chain(repeat_n(Use::Data, 7));
    let bells = (0..3).flat_map(|_| line());
    Doorbell::new(WriteView::heap(bells.chain(repeat_n(Use::Narrow, 3))))
}

/// A status page with two cursors.
fn status() -> WriteView {
    use std::iter::{once, repeat_n};
    let state = once(Use::Narrow).chain(repeat_n(Use::Data, 15));
    let counters = repeat_n(Use::Wide, 3).chain(repeat_n(Use::Data, 5));
    let line = || {
        let position = repeat_n(Use::Wide, 2).chain(once(Use::Narrow));
        let lost = repeat_n(Use::Wide, 2).chain(repeat_n(Use::Data, 3));
        position.chain(lost)
    };
    let cursors = (0..2).flat_map(|_| line());
    WriteView::heap(state.chain(counters).chain(cursors))
}

/// A plugin that listens: its pages, and the threads that sleep on their words.
#[derive(Debug)]
struct Listener {
    status: Status,
    seen: ReadView,
    bell: Arc<Doorbell>,
    bells: Arc<Bells>,
    queue: Futex,
}

impl Listener {
    fn new() -> Arc<Listener> {
        let (status, bell) = (status(), Arc::new(doorbell()));
        Arc::new(Listener {
            seen: status.as_read().clone(),
            status: Status::new(status),
            bells: Arc::new(Bells::new(bell.clone())),
            bell,
            queue: Futex::new(),
        })
    }
}

/// The thread that takes the events of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Dispatcher,
    /// A thread of its own, which sleeps as its cursor says.
    Pulled,
}

/// One feed of a source, as the source knows it.
#[derive(Debug)]
struct Feed {
    listener: Arc<Listener>,
    cursor: u16,
    by: By,
}

/// A plugin that sends on one topic.
#[derive(Debug)]
struct Source {
    writer: Mutex<RingWriter>,
    ring: ReadView,
    bell: Doorbell,
    /// Threads asleep on *room*.
    queue: Futex,
    feeds: Vec<Feed>,
}

impl Source {
    fn new(feeds: Vec<Feed>) -> Arc<Source> {
        let memory = memory();
        Arc::new(Source {
            ring: memory.as_read().clone(),
            writer: Mutex::new(RingWriter::new(memory, 0)),
            bell: doorbell(),
            queue: Futex::new(),
            feeds,
        })
    }

    /// A source whose listeners use their first cursors.
    fn heard_by(listeners: &[Arc<Listener>], by: By) -> Arc<Source> {
        let feed = |listener: &Arc<Listener>| Feed {
            listener: listener.clone(),
            cursor: 0,
            by,
        };
        Source::new(listeners.iter().map(feed).collect())
    }

    fn reader(&self) -> RingReader {
        RingReader::new(self.ring.clone(), 0, 0).unwrap()
    }

    /// Sends an event, for which there is room.
    fn send(&self, number: u64) {
        write(&mut self.writer.lock().unwrap(), number);
        self.wake();
    }

    /// Sends no more.
    fn close(&self) {
        self.writer.lock().unwrap().close();
        self.wake();
    }

    /// Wakes the listeners that sleep.
    fn wake(&self) {
        if is_armed(&self.bell, WORD) {
            self.bell.disarm(WORD);
            self.feeds.iter().for_each(Feed::wake);
        }
    }

    /// Has the threads that wait for cursors look again.
    fn ring_room(&self) {
        self.bell.touch_room(WORD);
        self.queue.wake();
    }
}

impl Feed {
    fn wake(&self) {
        let listener = &self.listener;
        match (self.by, cursor::waiter(&listener.seen, self.cursor)) {
            (By::Dispatcher, _) if pages::activity(&listener.seen) == Activity::Parked => {
                listener.bell.touch();
            }
            (By::Pulled, Waiter::Feed) => listener.bell.touch_feed(self.cursor),
            (By::Pulled, Waiter::Bell(bell)) => listener.bell.touch_callers(bell),
            _ => return,
        }
        listener.queue.wake();
    }
}

/// Writes and publishes an event whose payload is its number.
fn write(writer: &mut RingWriter, number: u64) {
    writer.push(Kind::Event, number, &number.to_ne_bytes());
    writer.publish();
}

/// What a feed has had.
#[derive(Debug)]
struct Place {
    reader: RingReader,
    run: Run,
    /// Events that were taken or lost.
    count: u64,
    taken: u64,
}

impl Place {
    fn new(source: &Source) -> Place {
        Place::at(source.reader())
    }

    fn at(reader: RingReader) -> Place {
        Place {
            reader,
            run: Run::default(),
            count: 0,
            taken: 0,
        }
    }

    /// Takes what is next; an event has to be whole, and the one that is expected.
    fn take(&mut self) -> Taken {
        let taken = self.reader.take(&mut self.run);
        match taken {
            Taken::Event => {
                let number = self.reader.number() - 1;
                assert_eq!((number, self.run.time()), (self.count, self.count));
                assert_eq!(self.run.payload(), number.to_ne_bytes());
                self.count += 1;
                self.taken += 1;
            }
            Taken::Lost(lost) => self.count += lost,
            Taken::Nothing | Taken::Closed | Taken::Again => {}
            broken => panic!("{broken:?}"),
        }
        taken
    }

    /// Takes everything that is there.
    fn drain(&mut self) {
        while !matches!(self.take(), Taken::Nothing | Taken::Closed) {}
    }
}
