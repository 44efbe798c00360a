//! A ring against a list of which the oldest are forgotten.

use callgate_layout::buffer::Buffer;
use callgate_layout::events::{self, Kind, MIN_CAPACITY, RingReader, RingWriter, Taken};
use proptest::prelude::*;

use super::{HEADER, payload, ring};

/// The same events as a list.
pub(super) struct List {
    /// Start and length of the payload of each event.
    pub(super) all: Vec<(u64, usize)>,
    pub(super) published: usize,
    pub(super) oldest: usize,
    pub(super) first: u64,
}

impl List {
    pub(super) fn start(&self, event: usize) -> u64 {
        let end = |(at, len): &(u64, usize)| at + (HEADER + len).next_multiple_of(8) as u64;
        let next = || self.all.last().map_or(0, end);
        self.all.get(event).map_or_else(next, |(at, _)| *at)
    }

    /// What a listener at an event takes next.
    pub(super) fn check(&self, reader: &mut RingReader, at: &mut usize, buffer: &mut Buffer) {
        let taken = reader.take(buffer);
        if *at == self.published {
            assert_eq!(taken, Taken::Nothing);
        } else if *at >= self.oldest {
            let (number, len) = (self.first + *at as u64, self.all[*at].1);
            let kind = if len % 5 == 0 {
                Kind::Unfit
            } else {
                Kind::Event
            };
            assert_eq!(
                taken,
                Taken::Event {
                    kind,
                    number,
                    time: number * 3
                }
            );
            assert!(buffer[..] == payload(number, len));
            *at += 1;
        } else if self.oldest == self.published {
            assert_eq!(taken, Taken::Again);
        } else {
            assert_eq!(taken, Taken::Lost((self.oldest - *at) as u64));
            *at = self.oldest;
        }
        assert_eq!(
            (reader.position(), reader.number()),
            (self.start(*at), self.first + *at as u64)
        );
        assert_eq!(reader.has_news(), *at < self.published);
    }

    /// As a sender that drops the oldest.
    pub(super) fn send(&mut self, writer: &mut RingWriter, len: usize, ahead: u64, publish: bool) {
        let needed = writer.needed(len);
        if !writer.has_room(len) {
            if needed > writer.head() {
                // What is not published is not dropped.
                assert!(!writer.forget(needed, u64::MAX));
                self.publish(writer);
            }
            // The start of the first record that may stay.
            let least = (self.oldest..)
                .find(|event| self.start(*event) >= needed)
                .unwrap();
            let limit = (self.start(least) + ahead).min(writer.head());
            assert!(writer.forget(needed, limit));
            while self.oldest < self.published && self.start(self.oldest + 1) <= limit {
                self.oldest += 1;
            }
        }
        assert!(writer.has_room(len));
        let number = writer.next();
        let kind = if len % 5 == 0 {
            Kind::Unfit
        } else {
            Kind::Event
        };
        writer.push(kind, number * 3, &payload(number, len));
        self.all.push((self.start(self.all.len()), len));
        if publish {
            self.publish(writer);
        }
    }

    fn publish(&mut self, writer: &mut RingWriter) {
        writer.publish();
        self.published = self.all.len();
        assert_eq!(
            (writer.oldest(), writer.head()),
            (self.start(self.oldest), self.start(self.published))
        );
    }

    /// What the sender itself finds in its ring.
    fn check_past(&self, writer: &RingWriter, events: u64) {
        let from = self
            .oldest
            .max(self.published.saturating_sub(events as usize));
        let (at, number) = writer.last(events);
        assert_eq!((at, number), (self.start(from), self.first + from as u64));
        let (mut at, mut copy) = (at, Vec::new());
        for event in from..self.published {
            let (number, len) = (self.first + event as u64, self.all[event].1);
            let (kind, time, next) = writer.read_back(at, &mut copy).unwrap();
            assert_eq!(
                (kind == Kind::Unfit, time, next),
                (len % 5 == 0, number * 3, self.start(event + 1))
            );
            assert!(copy == payload(number, len));
            at = next;
        }
        assert!(writer.read_back(at, &mut copy).is_none());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Send {
        len: usize,
        ahead: u64,
        publish: bool,
    },
    Take {
        reader: usize,
        events: usize,
    },
    Past(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let most = events::most_payload(u64::from(MIN_CAPACITY));
    let len = prop_oneof![4 => 0..100_usize, 4 => 0..3000_usize, 2 => 0..=most, 1 => Just(most)];
    let ahead = prop_oneof![Just(0), 0..5000_u64, Just(u64::from(MIN_CAPACITY))];
    let send = (len, ahead, prop::bool::weighted(0.7));
    let send = send.prop_map(|(len, ahead, publish)| Step::Send {
        len,
        ahead,
        publish,
    });
    let take = (0..2_usize, 0..40_usize).prop_map(|(reader, events)| Step::Take { reader, events });
    let step = prop_oneof![20 => send, 3 => take, 1 => (0..100_u64).prop_map(Step::Past)];
    prop::collection::vec(step, 0..200)
}

proptest! {
    /// Any lengths, laps and losses: what is taken is what was sent, and what is missing is counted.
    #[test]
    fn a_ring_is_a_list_of_which_the_oldest_are_forgotten(steps in steps(), first in 0..1000_u64) {
        let (mut writer, inbox, _) = ring(MIN_CAPACITY, first);
        let mut model = List { all: Vec::new(), published: 0, oldest: 0, first };
        let new = || (RingReader::new(inbox.clone(), 0, first).unwrap(), 0_usize);
        let (mut readers, mut buffer) = ([new(), new()], Buffer::new());
        for step in steps {
            match step {
                Step::Send { len, ahead, publish } => model.send(&mut writer, len, ahead, publish),
                Step::Take { reader, events } => {
                    let (reader, at) = &mut readers[reader];
                    for _ in 0..events {
                        model.check(reader, at, &mut buffer);
                    }
                }
                Step::Past(events) => model.check_past(&writer, events),
            }
        }
        model.publish(&mut writer);
        for (reader, at) in &mut readers {
            while *at < model.published {
                model.check(reader, at, &mut buffer);
            }
        }
        writer.close();
        assert_eq!(readers[0].0.take(&mut buffer), Taken::Closed);
    }
}
