//! The ring, compared with a model: a list of records.

use callgate_layout::events::{Extent, Kind, RingReader, RingWriter, Run, Taken, shown};
use proptest::prelude::*;

use super::{Shared, payload, ring};

const CAPACITY: usize = 1024;
const MOST: usize = CAPACITY / 4 - 16;

#[derive(Clone, Debug)]
enum Step {
    /// Writes an event of this length, if there is room.
    Push(usize, bool),
    Publish,
    /// Makes room for an event of this length. The limit is so many bytes after the needed position.
    Forget(usize, u64),
    /// A reader takes events so many times.
    Take(usize, usize),
    /// Looks for the last so many events, and reads them back.
    Last(u64),
    /// A reader begins again at the last so many events.
    Begin(usize, u64),
    Close,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..=MOST, any::<bool>()).prop_map(|(len, fit)| Step::Push(len, fit)),
        8 => Just(Step::Publish),
        8 => (0..=MOST, 0..=CAPACITY as u64).prop_map(|(len, more)| Step::Forget(len, more)),
        8 => (0..3_usize, 1..6_usize).prop_map(|(reader, times)| Step::Take(reader, times)),
        2 => (0..12_u64).prop_map(Step::Last),
        2 => (0..3_usize, 0..8_u64).prop_map(|(reader, events)| Step::Begin(reader, events)),
        1 => Just(Step::Close),
    ];
    proptest::collection::vec(step, 1..150)
}

/// Numbers of first events. A record has only the low half of the number.
fn firsts() -> impl Strategy<Value = u64> {
    let carries = (1..40_u64).prop_map(|before| (1 << 32) - before);
    prop_oneof![0..1_000_000_u64, carries, (1_u64 << 40)..(1 << 62)]
}

#[derive(Clone, Debug)]
struct Record {
    kind: Kind,
    time: u64,
    payload: Vec<u8>,
    start: u64,
    end: u64,
}

/// The expected state of the ring.
struct Model {
    first: u64,
    records: Vec<Record>,
    published: usize,
    oldest: usize,
    is_closed: bool,
    /// The record that each reader takes next, how far it has copied, and the last head that it has seen.
    readers: [usize; 3],
    copied: [u64; 3],
    heads: [u64; 3],
}

/// The result of taking; for an event also its number, kind, time and payload.
type Found = (Taken, Option<(u64, Kind, u64, Vec<u8>)>);

fn len_of(payload: usize) -> u64 {
    (payload as u64 + 16).div_ceil(16) * 16
}

impl Model {
    fn start(&self, at: usize) -> u64 {
        self.records
            .get(at)
            .map_or_else(|| self.end(), |record| record.start)
    }

    fn end(&self) -> u64 {
        self.records.last().map_or(0, |record| record.end)
    }

    fn head(&self) -> u64 {
        self.start(self.published)
    }

    fn needed(&self, len: usize) -> u64 {
        (self.end() + len_of(len)).saturating_sub(CAPACITY as u64)
    }

    fn push(&mut self, kind: Kind, len: usize) -> &Record {
        let number = self.records.len() as u64;
        let start = self.end();
        self.records.push(Record {
            kind,
            time: number * 1000,
            payload: payload(number, len),
            start,
            end: start + len_of(len),
        });
        &self.records[number as usize]
    }

    /// The first record that begins at the needed position or later, or else the last one that begins at or before
    /// the limit; not after the newest published one.
    fn forget(&mut self, needed: u64, limit: u64) -> bool {
        let newest = self.published.saturating_sub(1);
        let mut to = self.oldest;
        while to < newest && (self.start(to) < needed || self.start(to + 1) <= limit) {
            to += 1;
        }
        let is_enough = self.start(to) >= needed;
        if is_enough {
            self.oldest = to;
        }
        is_enough
    }

    fn last(&self, events: u64) -> usize {
        let from = self.published.saturating_sub(events as usize);
        from.max(self.oldest)
    }

    /// What a reader finds. Records that it has already copied stay available, even if they were overwritten since.
    fn take(&mut self, reader: usize) -> Found {
        let at = self.readers[reader];
        if at == self.published {
            let taken = match self.is_closed {
                true => Taken::Closed,
                false => Taken::Nothing,
            };
            return (taken, None);
        }
        let Record { start, end, .. } = self.records[at];
        if self.copied[reader] < end {
            if self.heads[reader] <= start || at < self.oldest {
                self.heads[reader] = self.head();
            }
            if at < self.oldest {
                self.readers[reader] = self.oldest;
                return (Taken::Lost((self.oldest - at) as u64), None);
            }
            let len = (16 * (end - start)).min(CAPACITY as u64);
            self.copied[reader] = self.heads[reader].min(start + len);
        }
        self.readers[reader] += 1;
        let Record {
            kind,
            time,
            payload,
            ..
        } = self.records[at].clone();
        let number = self.first + at as u64;
        (Taken::Event, Some((number, kind, time, payload)))
    }
}

/// The ring and its readers.
struct Real {
    shared: Shared,
    writer: RingWriter,
    readers: [(RingReader, Run); 3],
}

impl Real {
    fn take(&mut self, reader: usize, expected: &Taken) -> Found {
        let (reader, run) = &mut self.readers[reader];
        assert_eq!(reader.has_news(), *expected != Taken::Nothing);
        let taken = reader.take(run);
        let event = (taken == Taken::Event).then(|| {
            assert!(run.payload().as_ptr().addr().is_multiple_of(16));
            let payload = run.payload().to_vec();
            (reader.number() - 1, run.kind(), run.time(), payload)
        });
        (taken, event)
    }

    fn last(&self, model: &Model, events: u64) {
        let at = model.last(events);
        let (mut position, number) = self.writer.last(events);
        assert_eq!(number, model.first + at as u64);
        let mut bytes = vec![9; 3];
        for record in &model.records[at..model.published] {
            assert_eq!(position, record.start);
            let (kind, time, next) = self.writer.read_back(position, &mut bytes).unwrap();
            assert_eq!((kind, time), (record.kind, record.time));
            assert_eq!(bytes, record.payload);
            position = next;
        }
        assert_eq!(position, model.head());
        assert_eq!(self.writer.read_back(position, &mut bytes), None);
        if let Some(before) = model.oldest.checked_sub(1) {
            let before = model.start(before);
            assert_eq!(self.writer.read_back(before, &mut bytes), None);
        }
    }
}

fn perform(step: &Step, real: &mut Real, model: &mut Model) {
    match *step {
        Step::Push(len, fit) => {
            let has_room = model.end() + len_of(len) <= model.start(model.oldest) + CAPACITY as u64;
            assert_eq!(real.writer.has_room(len), has_room);
            if has_room && !model.is_closed {
                let kind = if fit { Kind::Event } else { Kind::Unfit };
                let record = model.push(kind, len);
                real.writer.push(kind, record.time, &record.payload);
            }
        }
        Step::Publish => {
            model.published = model.records.len();
            real.writer.publish();
        }
        Step::Forget(len, more) => {
            let needed = model.needed(len);
            assert_eq!(real.writer.needed(len), needed);
            let is_enough = model.forget(needed, needed + more);
            assert_eq!(real.writer.forget(needed, needed + more), is_enough);
            let is_published = model.published == model.records.len();
            assert!(is_enough || !is_published);
        }
        Step::Take(reader, times) => {
            for _ in 0..times {
                let expected = model.take(reader);
                assert_eq!(real.take(reader, &expected.0), expected);
            }
        }
        Step::Last(events) => real.last(model, events),
        Step::Begin(reader, events) => {
            model.readers[reader] = model.last(events);
            (model.copied[reader], model.heads[reader]) = (0, 0);
            let (position, number) = real.writer.last(events);
            let anew = RingReader::new(real.shared.readable(), position, number).unwrap();
            real.readers[reader] = (anew, Run::default());
        }
        Step::Close => {
            // Everything that was written is published first.
            model.published = model.records.len();
            model.is_closed = true;
            real.writer.publish();
            real.writer.close();
        }
    }
}

fn check(real: &Real, model: &Model) {
    let extent = Extent {
        oldest: model.start(model.oldest),
        head: model.head(),
    };
    assert_eq!(real.writer.extent(), extent);
    assert_eq!(
        (real.writer.oldest(), real.writer.head()),
        (extent.oldest, extent.head)
    );
    let numbers = [model.records.len(), model.published].map(|at| model.first + at as u64);
    assert_eq!(real.writer.next(), numbers[0]);
    let ring = real.shared.readable();
    assert_eq!(shown(&ring), (extent.head, numbers[1]));
    for ((reader, _), at) in real.readers.iter().zip(model.readers) {
        let place = (model.start(at), model.first + at as u64);
        assert_eq!((reader.position(), reader.number()), place);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is written, in batches or one by one, and forgotten: each reader finds the existing events, in order,
    /// and the exact number of lost ones.
    #[test]
    fn a_ring_does_what_a_list_of_records_does(steps in steps(), first in firsts()) {
        let (shared, writer) = ring(CAPACITY, first);
        let readers = [(); 3].map(|()| {
            let reader = RingReader::new(shared.readable(), 0, first).unwrap();
            (reader, Run::default())
        });
        let mut real = Real { shared, writer, readers };
        let mut model = Model {
            first,
            records: Vec::new(),
            published: 0,
            oldest: 0,
            is_closed: false,
            readers: [0; 3],
            copied: [0; 3],
            heads: [0; 3],
        };
        for step in &steps {
            perform(step, &mut real, &mut model);
            check(&real, &model);
        }
    }
}
