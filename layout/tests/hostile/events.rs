//! A sender that writes wrong values into its ring, and one that lies about the position at which a listener begins.

use super::*;
use callgate_layout::events::{self, Kind, RING_HEADER, Run, Taken};

const CAPACITY: usize = 256;
const MOST: usize = CAPACITY / 4 - 16;
const WIDE: [u64; 16] = [
    0,
    1,
    7,
    8,
    16,
    MOST as u64 + 1,
    CAPACITY as u64,
    CAPACITY as u64 + 16,
    1 << 32,
    1 << 31 | 8,
    u32::MAX as u64,
    u64::MAX / 2 - 15,
    u64::MAX / 2 + 1,
    u64::MAX - 15,
    u64::MAX - 1,
    u64::MAX,
];

/// Memory that is mapped as a ring and cannot be one.
#[test]
fn memory_that_is_no_ring_has_no_reader() {
    for len in [8, RING_HEADER, RING_HEADER + 64, RING_HEADER + 384] {
        let memory = Outbox::new(len);
        assert!(events::RingReader::new(memory.inbox, 0, 0).is_none());
    }
}

/// A ring that was written over more than once, and has three events.
fn honest() -> Outbox {
    let ring = Outbox::new(RING_HEADER + CAPACITY);
    let mut writer = events::RingWriter::new(ring.writer(), 0);
    for number in 0..20_usize {
        let payload = vec![number as u8; number * 7 % (MOST + 1)];
        if !writer.has_room(payload.len()) {
            let needed = writer.needed(payload.len());
            assert!(writer.forget(needed, needed + CAPACITY as u64 / 4));
        }
        writer.push(Kind::Event, number as u64, &payload);
        writer.publish();
    }
    ring
}

/// Takes events as a dispatcher does, and checks that an honest sender could have written them.
fn take_all(ring: &ReadView, (position, number): (u64, u64)) {
    let Some(mut reader) = events::RingReader::new(ring.clone(), position, number) else {
        return;
    };
    let mut run = Run::default();
    for _ in 0..40 {
        let (before, at) = (reader.position(), reader.number());
        let _ = (reader.has_news(), reader.is_starving());
        match reader.take(&mut run) {
            Taken::Event => {
                let len = run.payload().len();
                assert!(len <= MOST);
                let record = (len as u64 + 16).div_ceil(16) * 16;
                let place = (before + record, at + 1);
                assert_eq!((reader.position(), reader.number()), place);
            }
            Taken::Lost(lost) => {
                assert!(lost > 0 && reader.position() > before);
                assert_eq!(reader.number(), at + lost);
            }
            Taken::Again => assert_eq!((reader.position(), reader.number()), (before, at)),
            Taken::Nothing | Taken::Closed | Taken::Broken(_) => return,
            Taken::OutOfMemory(why) => panic!("{why}"),
        }
    }
}

fn places() -> impl Iterator<Item = usize> {
    let head = [0, 8, 64, 128];
    head.into_iter()
        .chain((RING_HEADER..RING_HEADER + CAPACITY).step_by(8))
}

/// One wrong word anywhere in an otherwise correct ring does no harm.
#[test]
fn one_wrong_word_of_a_ring_does_no_harm() {
    let ring = honest();
    let (head, next) = events::shown(&ring.inbox);
    let begin: Vec<(u64, u64)> = [
        (0, 0),
        (16, 1),
        (head - 64, next - 2),
        (head, next),
        (head, next - 1),
    ]
    .into();
    for at in places() {
        let mut honest = [0; 8];
        ring.file.read_exact_at(&mut honest, at as u64).unwrap();
        for word in WIDE {
            ring.write(at, &word.to_le_bytes());
            for place in &begin {
                take_all(&ring.inbox, *place);
            }
        }
        ring.write(at, &honest);
    }
}

/// The position at which a feed begins comes from the sender, too: a wrong one does no harm.
#[test]
fn a_place_that_cannot_be_does_no_harm() {
    let ring = honest();
    for position in WIDE {
        let reader = events::RingReader::new(ring.inbox.clone(), position, 0);
        let can_be = position % 16 == 0 && position <= u64::MAX / 2;
        assert_eq!(reader.is_some(), can_be, "{position}");
        for number in WIDE {
            take_all(&ring.inbox, (position, number));
        }
    }
}

proptest! {
    /// A ring full of random words, some of which are plausible, so that the reader gets further.
    #[test]
    fn a_whole_ring_of_nonsense_does_no_harm(
        mut bytes in proptest::collection::vec(any::<u8>(), CAPACITY),
        tame in any::<[bool; CAPACITY / 8]>(),
        head in 0..600_u64,
        oldest in 0..600_u64,
        wild in any::<[u64; 2]>(),
        is_wild in any::<[bool; 2]>(),
        place in (0..600_u64, 0..40_u64),
    ) {
        for (word, tame) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(tame) {
            if tame {
                *word = (u64::from(word[0]) % 41).to_le_bytes();
            }
        }
        let ring = Outbox::new(RING_HEADER + CAPACITY);
        ring.write(RING_HEADER, &bytes);
        let words = [(0, head), (64, oldest)];
        for (((at, tame), wild), is_wild) in words.into_iter().zip(wild).zip(is_wild) {
            let word = if is_wild { wild } else { tame / 16 * 16 };
            ring.write(at, &word.to_le_bytes());
        }
        take_all(&ring.inbox, (place.0 / 16 * 16, place.1));
    }
}

/// Words that change while they are read.
#[test]
fn a_ring_that_changes_all_the_time_does_no_harm() {
    let ring = honest();
    let writer = ring.writer();
    let is_over = Arc::new(AtomicBool::new(false));
    let liar = thread::spawn({
        let is_over = is_over.clone();
        let file = ring.file.try_clone().unwrap();
        move || {
            let places: Vec<usize> = places().collect();
            let mut turn = 0_usize;
            while !is_over.load(Ordering::Relaxed) {
                turn = turn.wrapping_mul(25_214_903_917).wrapping_add(11);
                let at = places[(turn >> 16) % places.len()];
                let word = match turn >> 8 & 3 {
                    0 => WIDE[(turn >> 24) % WIDE.len()],
                    1 => (turn >> 24) as u64 % 41,
                    _ => (turn >> 24) as u64 % 64 * 16,
                };
                file.write_all_at(&word.to_le_bytes(), at as u64).unwrap();
            }
        }
    });
    for turn in 0..30_000_u64 {
        take_all(writer.as_read(), (turn % 64 * 16, turn % 41));
    }
    is_over.store(true, Ordering::Relaxed);
    liar.join().unwrap();
}
