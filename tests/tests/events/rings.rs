//! A sender that writes wrong values into its rings: a listener ends that feed, and no other.
//!
//! The test itself plays that sender; honest senders and listeners are processes.

use std::thread;
use std::time::Instant;

use callgate_client::dynamic;
use callgate_layout::Encoding::{Archive, Json};
use callgate_tests::random::Random;
use callgate_tests::raw::{Raw, Voice};
use callgate_tests::{Bus, programs};

use crate::scene::Talker;

const OPEN: &str = "Open.Numbers";
const OWNED: &str = "Owned.Numbers";
const CAPACITY: u32 = 65_536;
/// Where the records begin in a ring.
const RECORDS: usize = 4_096;

/// Two listeners, and one correct sender on the same open topic and on one of its own.
struct Scene {
    bus: Bus,
    honest: Talker,
    listeners: [Talker; 2],
    sent: u64,
}

impl Scene {
    fn new() -> Scene {
        let bus = Bus::start(programs!());
        let mut honest = Talker::start(&bus, "Honest", "thread");
        honest.does(&format!("offer {OPEN} open {CAPACITY} 0 u32"));
        honest.does(&format!("offer {OWNED} owned {CAPACITY} 0 u32"));
        let listeners = [("Handler", "handler"), ("Puller", "pull")].map(|(name, how)| {
            let mut listener = Talker::start(&bus, name, "thread");
            listener.does(&format!("hear {OPEN} {how} u32"));
            listener.does(&format!("hear {OWNED} {how} u32"));
            listener
        });
        Scene {
            bus,
            honest,
            listeners,
            sent: 0,
        }
    }

    /// A plugin that also sends on the open topic, and has sent four events of 32 bytes each, with their headers.
    fn villain(&mut self, name: &str) -> (Raw, Voice) {
        let mut raw = Raw::join(&self.bus, name);
        let mut voice = raw.offer::<(u32,)>(OPEN, true, (CAPACITY, self.listeners.len()));
        (0..4_u32).for_each(|n| voice.send(Archive, &n.to_le_bytes()));
        self.expect(name, "here, 0..4");
        (raw, voice)
    }

    /// Checks that all listeners have heard this of a sender on the open topic.
    #[track_caller]
    fn expect(&mut self, sender: &str, expected: &str) {
        for listener in &mut self.listeners {
            listener.expect((sender, OPEN), expected);
        }
    }

    /// Checks that all listeners hear what the honest sender sends, on both topics.
    fn is_well(&mut self) {
        self.sent += 50;
        let expected = format!("here, 0..{}", self.sent);
        for topic in [OPEN, OWNED] {
            assert_eq!(
                self.honest.ask(&format!("send {topic} 50")),
                self.sent.to_string()
            );
            for listener in &mut self.listeners {
                listener.expect(("Honest", topic), &expected);
            }
        }
    }
}

/// Words after the fourth event, and where the ring claims to begin and to end.
struct Wrong {
    what: &'static str,
    record: [u64; 2],
    oldest: u64,
    head: u64,
}

/// The position after the fourth event.
const END: u64 = 4 * 32;
/// A correct fifth event: its length and kind, and its number.
const RIGHT: [u64; 2] = [4, 4];

const fn wrong(what: &'static str, record: [u64; 2], oldest: u64, head: u64) -> Wrong {
    Wrong {
        what,
        record,
        oldest,
        head,
    }
}

const WRONG: [Wrong; 14] = [
    wrong("a length beyond the end", [9, 4], 0, END + 32),
    wrong("a length that no event has", [1 << 14, 4], 0, 1 << 15),
    wrong("all bits of a length", [u32::MAX as u64, 4], 0, END + 32),
    wrong("another kind", [2 << 32 | 4, 4], 0, END + 32),
    wrong(
        "all bits of a kind",
        [0xffff_ffff << 32 | 4, 4],
        0,
        END + 32,
    ),
    wrong("the last number again", [4, 3], 0, END + 32),
    wrong("a number that leaves one out", [4, 5], 0, END + 32),
    wrong("an end that goes back", RIGHT, 0, END - 32),
    wrong("an end within a word", RIGHT, 0, END + 33),
    wrong(
        "an end beyond the ring",
        RIGHT,
        0,
        END + 32 + CAPACITY as u64,
    ),
    wrong("a beginning behind the end", RIGHT, END + 64, END + 32),
    wrong("a beginning within a record", RIGHT, END + 8, END + 32),
    wrong("a beginning that is nowhere", RIGHT, 1 << 63, END + 32),
    wrong("no more lost than there was", RIGHT, END + 32, END + 64),
];

/// A wrong length or position ends that feed and not the whole subscription. The listener does not read outside of
/// the ring, take an event that nobody sent, or wait for ever.
#[test]
fn what_no_sender_writes_ends_that_feed_alone() {
    let mut scene = Scene::new();
    for (number, wrong) in WRONG.iter().enumerate() {
        let name = format!("Villain{number}");
        let (raw, mut voice) = scene.villain(&name);
        let at = RECORDS + END as usize;
        voice.write(Archive, at, wrong.record[0]);
        voice.write(Archive, at + 8, wrong.record[1]);
        // The number of the record after it, if that is read: larger than what the ring can have lost.
        voice.write(Archive, at + 32 + 8, 1 << 62);
        voice.write(Archive, 64, wrong.oldest);
        voice.write(Archive, 0, wrong.head);
        voice.wake();
        let begin = format!("here, 0..4, gone PROTOCOL: plugin `{name}` has written ");
        for listener in &mut scene.listeners {
            let heard = listener.await_heard((&name, OPEN), |heard| heard.contains("gone"));
            assert!(heard.starts_with(&begin), "{}: {heard}", wrong.what);
        }
        scene.is_well();
        drop(raw);
    }
}

/// Words that only say whether a sender waits do no harm when they are wrong.
#[test]
fn words_that_say_nothing_of_events_do_no_harm() {
    let mut scene = Scene::new();
    let (_raw, mut voice) = scene.villain("Villain");
    // It claims to wait for room, although no listener is behind. Its next number is none that it sends.
    voice.write(Archive, 128, 0xffff_ffff);
    voice.write(Archive, 8, u64::MAX);
    for n in 4..1_000_u32 {
        voice.send(Archive, &n.to_le_bytes());
    }
    scene.expect("Villain", "here, 0..1000");
    scene.is_well();
    // It claims that it has ended, and goes on.
    voice.write(Archive, 128, 1 << 32);
    voice.send(Archive, &1_000_u32.to_le_bytes());
    for listener in &mut scene.listeners {
        listener.await_heard(("Villain", OPEN), |heard| {
            heard.contains("gone PROVIDER_GONE")
        });
    }
    scene.is_well();
}

/// Words that change while they are read end only that feed, and a ring that changes all the time does not keep a
/// listener from others.
#[test]
fn nonsense_in_every_word_while_it_is_read_hurts_no_other_feed() {
    let mut scene = Scene::new();
    let mut random = Random::new("a hostile sender");
    for round in 0..12 {
        let (raw, mut voice) = scene.villain(&format!("Villain{round}"));
        let (begun, odds) = (Instant::now(), 1 << (round % 6 * 2));
        let mut n = 4_u32;
        while begun.elapsed().as_millis() < 60 {
            if voice.end(Archive) + 64 < u64::from(CAPACITY) {
                voice.send(Archive, &n.to_le_bytes());
                n += 1;
            }
            if random.below(odds) == 0 {
                let at = [
                    0,
                    8,
                    64,
                    128,
                    RECORDS + 8 * random.below(CAPACITY as usize / 8),
                ];
                let word = match random.below(4) {
                    0 => random.number(),
                    1 => u64::MAX,
                    2 => 32 * (random.number() % 128),
                    _ => random.number() % 64,
                };
                voice.write(Archive, at[random.below(at.len())], word);
                voice.wake();
            }
            thread::yield_now();
        }
        scene.is_well();
        drop(raw);
    }
    scene.is_well();
}

/// An event whose archive does not match its type is skipped: the listener does not read elsewhere.
#[test]
fn an_event_of_other_types_than_were_said_is_passed_over() {
    let mut scene = Scene::new();
    let mut reader = Talker::start(&scene.bus, "Reader", "thread");
    let mut puller = Talker::start(&scene.bus, "Text puller", "thread");
    reader.does("hear Said.Texts handler text");
    puller.does("hear Said.Texts pull text");
    let mut raw = Raw::join(&scene.bus, "Villain");
    let mut voice = raw.offer::<(String,)>("Said.Texts", true, (CAPACITY, 2));
    let text = |n: u32| dynamic::encode(&(n.to_string(),)).expect("an archive");
    voice.send(Archive, &text(0));
    // No bytes, too few, a text whose pointer leads elsewhere, and a text that is not UTF-8.
    let elsewhere = [0x80 | 5, 0, 0, 0, 0, 0, 0, 0x7f];
    let nonsense: [&[u8]; 4] = [&[], &[7; 5], &elsewhere, &[0xc3, 0x28, 1, 1, 1, 1, 1, 2]];
    nonsense.iter().for_each(|bytes| voice.send(Archive, bytes));
    voice.send(Archive, &text(5));
    for listener in [&mut reader, &mut puller] {
        listener.expect(("Villain", "Said.Texts"), "here, 0..1, 5..6");
    }
    assert_eq!(reader.ask("failed Said.Texts"), "4");
    let codes = puller.ask("failed Said.Texts");
    assert_eq!(codes.split(", ").count(), 4, "{codes}");
    scene.is_well();
}

/// A twin that is no JSON or breaks the rules affects the listeners that read it, and not those that read the
/// archives.
#[test]
fn who_hears_a_twin_hears_what_it_says_and_nobody_else_does() {
    let mut scene = Scene::new();
    let mut wide = Talker::start(&scene.bus, "Wide", "thread");
    wide.does(&format!("hear {OPEN} handler u64"));
    wide.expect(("Honest", OPEN), "here");
    let mut raw = Raw::join(&scene.bus, "Villain");
    let mut voice = raw.offer::<(u32,)>(OPEN, true, (CAPACITY, 3));
    let texts: [&[u8]; 5] = [b"[0]", b"[7]", b"[2", b"{\"a\": 1}", b"[4]"];
    for (n, text) in (0_u32..).zip(texts) {
        voice.send(Archive, &n.to_le_bytes());
        voice.send(Json, text);
    }
    let of = ("Villain", OPEN);
    let said = "here, 0..1 as JSON, another value as 1, 1..2 as JSON, 4..5 as JSON";
    wide.expect(of, said);
    assert_eq!(wide.ask(&format!("failed {OPEN}")), "2");
    scene.expect("Villain", "here, 0..5");
    // Its numbers go back.
    let end = voice.end(Json);
    let at = RECORDS + end as usize;
    for (at, word) in [(at, 3), (at + 8, 0), (0, end + 32)] {
        voice.write(Json, at, word);
    }
    voice.send(Archive, &5_u32.to_le_bytes());
    scene.expect("Villain", "here, 0..6");
    let heard = wide.await_heard(of, |heard| heard.contains("gone"));
    let begin = format!("{said}, gone PROTOCOL: plugin `Villain`");
    assert!(heard.starts_with(&begin), "{heard}");
    // Its other feed is not affected.
    scene.is_well();
    let sent = format!("here, 0..{} as JSON", scene.sent);
    wide.expect(("Honest", OPEN), &sent);
}
