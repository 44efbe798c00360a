//! What a subscription keeps for a program that does not take.

use std::time::{Duration, Instant};

use callgate_client::{Dispatch, EventNotice, Plugin, Received};

use super::scene::{Notes, PATIENCE, Scene};

const OFFERS: u64 = 200;

/// Offers what cannot be heard, again and again; which was the last.
fn offer_unfit(sender: &Plugin) -> String {
    for number in 0..OFFERS {
        drop(
            sender
                .topic::<(Vec<String>,)>(&format!("Weather.Unfit{number}"))
                .unwrap(),
        );
    }
    format!("Weather.Unfit{}", OFFERS - 1)
}

fn name_of(notice: &EventNotice) -> String {
    match notice {
        EventNotice::Unfit { topic, .. } => topic.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A peer that offered what is unfit, again and again, made the memory grow of a plugin that was not pumped meanwhile.
#[test]
fn notices_that_nobody_takes_are_bounded() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Pump);
    let notes = Notes::new();
    let told = notes.clone();
    let subscription = listener
        .subscription("Weather.*")
        .on_notice(move |notice| told.add(name_of(notice)))
        .subscribe(|_: u32| ())
        .unwrap();
    let mut events = listener.events::<(u32,)>("Weather.*").unwrap();
    let last = offer_unfit(&sender);
    let until = Instant::now() + PATIENCE;
    while subscription.unfit() < OFFERS {
        assert!(Instant::now() < until, "{}", subscription.unfit());
        std::thread::sleep(Duration::from_millis(1));
    }
    while !notes.all().contains(&last) {
        assert!(Instant::now() < until, "{:?}", notes.all());
        let soon = Instant::now() + Duration::from_millis(20);
        let _ = listener.pump(soon).unwrap();
    }
    let taken = events.drain(1000).unwrap().into_iter();
    let taken: Vec<_> = taken
        .map(|received| match received {
            Received::Notice(notice) => name_of(&notice),
            Received::Event(event) => panic!("{event:?}"),
        })
        .collect();
    assert!(taken.contains(&last), "{taken:?}");
    for told in [taken, notes.all()] {
        assert!(told.len() <= 64, "{told:?}");
    }
}
