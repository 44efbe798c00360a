//! A source in memory of the test, with listeners that the test plays.

mod ends;
mod scene;
mod waits;

use std::time::Duration;

use callgate_layout::events::{Kind, Run, Taken};
use callgate_layout::{Code, Encoding};

use self::scene::{Ear, HERE, Heard, Scene, settings};
use super::Settings;
use super::event::Typed;

fn event(number: u32, text: &str) -> (u32, String) {
    (number, text.to_owned())
}

#[test]
fn without_a_listener_nothing_is_counted() {
    let scene = Scene::new(settings());
    (0..10).for_each(|number| scene.send(number, "nobody hears it").unwrap());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut ear = Ear::new(&scene, &ring, (1, false));
    assert_eq!(ear.start, (0, 0));
    scene.send(10, "mild").unwrap();
    assert_eq!(ear.take(), Heard::Event(0, event(10, "mild")));
    assert_eq!((ear.take(), scene.source.listeners()), (Heard::Nothing, 1));
}

#[test]
fn events_come_in_order_round_and_round() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let (mut one, mut other) = (
        Ear::new(&scene, &ring, (1, false)),
        Ear::new(&scene, &ring, (2, false)),
    );
    let text = "x".repeat(100);
    for number in 0..5_000 {
        scene.send(number, &text[..number as usize % 100]).unwrap();
        for ear in [&mut one, &mut other] {
            let expected = event(number, &text[..number as usize % 100]);
            assert_eq!(ear.take(), Heard::Event(u64::from(number), expected));
            ear.handled();
        }
    }
}

/// `oldest` could not be moved behind a record longer than a sixteenth of the ring.
#[test]
fn events_of_up_to_a_quarter_are_sent_and_no_longer_ones() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut ear = Ear::new(&scene, &ring, (1, false));
    // Of 16 KiB, the record's head takes 16 bytes, and the archive 12 bytes besides the text.
    let most = (16 << 10) - 16 - 12;
    for (number, len) in [most, 5_000, most - 3, 40, 9_000, most]
        .into_iter()
        .cycle()
        .take(100)
        .enumerate()
    {
        let text = "y".repeat(len);
        scene.send(number as u32, &text).unwrap();
        let expected = event(number as u32, &text);
        assert_eq!(ear.take(), Heard::Event(number as u64, expected));
        ear.handled();
    }
    let error = scene.send(0, &"y".repeat(most + 1)).unwrap_err();
    assert_eq!(error.code(), Code::RequestTooLarge);
    assert!(
        error.message().contains("TopicOptions::capacity"),
        "{error}"
    );
    assert_eq!(ear.take(), Heard::Nothing);
}

#[test]
fn a_new_listener_is_shown_the_last_events() {
    let scene = Scene::new(Settings {
        history: 3,
        ..settings()
    });
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut early = Ear::new(&scene, &ring, (1, false));
    assert_eq!(early.start, (0, 0));
    (0..3_000).for_each(|number| {
        scene.send(number, "warm").unwrap();
        early.take_all();
    });
    let mut ear = Ear::new(&scene, &ring, (2, false));
    let last = (2_997..3_000).map(|n| Heard::Event(u64::from(n), event(n, "warm")));
    assert_eq!(ear.take_all(), last.collect::<Vec<_>>());
}

#[test]
fn who_needs_json_hears_the_same_under_the_same_numbers() {
    let scene = Scene::new(settings());
    let archives = scene.ring((HERE, 1), Encoding::Archive);
    let mut one = Ear::new(&scene, &archives, (1, false));
    scene.send(20, "cold").unwrap();
    let texts = scene.ring((HERE, 2), Encoding::Json);
    let mut other = Ear::new(&scene, &texts, (2, false));
    scene.send(21, "mild").unwrap();
    assert_eq!(one.take_all().len(), 2);
    let text = Heard::Text(1, r#"[21,"mild"]"#.to_owned());
    assert_eq!(other.take_all(), [text]);
    // Whether or not another plugin listens to archives.
    scene.source.drop_ring(archives.key);
    scene.send(22, "warm").unwrap();
    let text = Heard::Text(2, r#"[22,"warm"]"#.to_owned());
    assert_eq!(other.take_all(), [text]);
}

#[test]
fn a_history_is_converted_for_who_needs_json() {
    let scene = Scene::new(Settings {
        history: 2,
        ..settings()
    });
    scene.ring((HERE, 1), Encoding::Archive);
    (20..24).for_each(|number| scene.send(number, "warm").unwrap());
    let texts = scene.ring((HERE, 2), Encoding::Json);
    let mut ear = Ear::new(&scene, &texts, (1, false));
    scene.send(24, "hot").unwrap();
    let expected = [(2, 22, "warm"), (3, 23, "warm"), (4, 24, "hot")];
    let expected = expected.map(|(at, n, text)| Heard::Text(at, format!("[{n},\"{text}\"]")));
    assert_eq!(ear.take_all(), expected);
}

/// An event that JSON cannot express was not sent to the listeners of archives either.
#[test]
fn what_json_cannot_say_is_told_there_alone() {
    let scene = Scene::new(settings());
    let archives = scene.ring((HERE, 1), Encoding::Archive);
    let texts = scene.ring((HERE, 2), Encoding::Json);
    let mut one = Ear::new(&scene, &archives, (1, false));
    let mut other = Ear::new(&scene, &texts, (2, false));
    scene.source.send(&Typed(&(f64::NAN,))).unwrap();
    let mut run = Run::default();
    assert_eq!(one.reader.take(&mut run), Taken::Event);
    assert_eq!((run.kind(), one.reader.number()), (Kind::Event, 1));
    let Heard::Unfit(0, why) = other.take() else {
        panic!("something else");
    };
    assert!(why.contains("NaN"), "{why}");
    // In JSON, a number of 16 bits takes six characters.
    scene
        .source
        .send(&Typed(&(vec![60_000_u16; 8_000],)))
        .unwrap();
    assert!(matches!(other.take(), Heard::Text(1, _)));
    scene
        .source
        .send(&Typed(&(vec![u64::MAX; 2_000],)))
        .unwrap();
    assert!(matches!(other.take(), Heard::Text(2, _)));
    scene
        .source
        .send(&Typed(&("\u{1}".repeat(15_000),)))
        .unwrap();
    let Heard::Unfit(3, why) = other.take() else {
        panic!("something else");
    };
    assert!(why.contains("longer than"), "{why}");
}

#[test]
fn a_batch_is_sent_as_events_one_by_one() {
    let scene = Scene::new(settings());
    let events: Vec<_> = (0..200).map(|n| event(n, "rain")).collect();
    let all = |scene: &Scene| scene.source.send_all(events.iter().map(Typed));
    let (sent, outcome) = all(&scene);
    assert_eq!((sent, outcome.is_ok()), (200, true));
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut ear = Ear::new(&scene, &ring, (1, false));
    assert_eq!(all(&scene).0, 200);
    let expected = (0..200).map(|n| Heard::Event(u64::from(n), event(n, "rain")));
    assert_eq!(ear.take_all(), expected.collect::<Vec<_>>());
    scene.ring((HERE, 2), Encoding::Json);
    assert_eq!(all(&scene).0, 200);
    assert_eq!(ear.take_all().len(), 200);
}

/// Events of a batch before one that is too long were sent, those after it were not, and the caller was not told
/// which.
#[test]
fn a_batch_says_how_many_of_it_were_sent() {
    let scene = Scene::new(settings());
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut ear = Ear::new(&scene, &ring, (1, false));
    let long = "z".repeat(20_000);
    let events = ["a", "b", &long, "c"].map(|text| event(1, text));
    let (sent, outcome) = scene.source.send_all(events.iter().map(Typed));
    assert_eq!(
        (sent, outcome.unwrap_err().code()),
        (2, Code::RequestTooLarge)
    );
    assert_eq!(ear.take_all().len(), 2);
}

#[test]
fn long_events_are_sent_in_a_batch_too() {
    let scene = Scene::new(Settings {
        capacity: 1 << 20,
        send_timeout: Duration::ZERO,
        ..settings()
    });
    let ring = scene.ring((HERE, 1), Encoding::Archive);
    let mut ear = Ear::new(&scene, &ring, (1, false));
    let events: Vec<_> = (0..20)
        .map(|n| event(n, &"z".repeat(n as usize * 7_000)))
        .collect();
    let (sent, outcome) = scene.source.send_all(events.iter().map(Typed));
    assert!(sent == 20 && outcome.is_ok());
    let heard = ear.take_all();
    // The events take 1.3 MB, so the first ones were overwritten.
    assert!(matches!(heard[0], Heard::Lost(_)), "{:?}", heard.len());
    assert_eq!(heard.last(), Some(&Heard::Event(19, events[19].clone())));
}
