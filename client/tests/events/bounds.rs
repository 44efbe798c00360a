//! What a subscription keeps for a program that does not take events.

use std::time::{Duration, Instant};

use callgate_client::{Code, Dispatch, EventNotice, GateOptions, Plugin, Received, TopicOptions};

use super::scene::{Notes, PATIENCE, Scene, TOPIC};

const OFFERS: u64 = 200;

/// Offers topics with unfit types again and again; returns the last one.
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

/// Notices for a plugin that is not pumped are limited, also if a peer offers unfit topics without end.
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

/// A program that does not read notices can still learn how many events were lost.
#[test]
fn what_was_lost_is_counted() {
    let scene = Scene::new();
    let (sender, listener) = scene.two(Dispatch::Pump);
    let options = TopicOptions::new().drop_oldest().capacity(64 << 10);
    let topic = sender.topic_with::<(u32,)>(TOPIC, options).unwrap();
    let notes = Notes::new();
    let (one, other) = (notes.clone(), notes.clone());
    let subscription = listener.subscribe(TOPIC, move |n: u32| one.add(n)).unwrap();
    let mut events = listener.events::<(u32,)>(TOPIC).unwrap();
    let pump = |expected: u32| {
        let until = Instant::now() + PATIENCE;
        while notes.all().last() != Some(&expected) {
            assert!(Instant::now() < until, "{:?}", notes.all().last());
            let soon = Instant::now() + Duration::from_millis(20);
            let _ = listener.pump(soon).unwrap();
        }
    };
    const COUNT: u32 = 10_000;
    (0..COUNT).for_each(|n| topic.send(&(n,)).unwrap());
    assert_eq!(subscription.lost(), 0, "nobody has looked");
    pump(COUNT - 1);
    let lost = subscription.lost();
    assert!(lost > 0);
    assert_eq!(lost + notes.all().len() as u64, u64::from(COUNT));
    let all = events.drain(COUNT as usize).unwrap().into_iter();
    let heard = all.filter_map(Received::event).count();
    assert_eq!(events.lost() + heard as u64, u64::from(COUNT));
    // A later subscription has lost none of those.
    let later = listener
        .subscribe(TOPIC, move |n: u32| other.add(n))
        .unwrap();
    assert_eq!(later.lost(), 0);
    (COUNT..2 * COUNT).for_each(|n| topic.send(&(n,)).unwrap());
    pump(2 * COUNT - 1);
    assert!(later.lost() > 0);
    assert_eq!(subscription.lost(), lost + later.lost());
}

/// `Weather*` is refused: it is no pattern, and would hear nothing as a name.
#[test]
fn a_star_that_follows_no_dot_is_refused() {
    let scene = Scene::new();
    let listener = scene.connect("Listener", Dispatch::Thread);
    for pattern in [
        "*",
        "Weather*",
        "Weather.*.Inner",
        "*.Changed",
        "Weather.**",
    ] {
        let refused = [
            listener.subscribe(pattern, |_: u32| ()).err(),
            listener.events::<(u32,)>(pattern).err(),
        ];
        for error in refused {
            let error = error.unwrap_or_else(|| panic!("{pattern}"));
            assert_eq!(error.code(), Code::InvalidArgument, "{pattern}");
            assert!(error.to_string().contains("after a dot"), "{error}");
        }
    }
    let _all = listener.subscribe("Weather.*", |_: u32| ()).unwrap();
}

/// A name cannot contain a star: nobody could subscribe to a topic called `Weather.*` by its name. The same holds for
/// gates and shares.
#[test]
fn no_name_has_a_star() {
    let scene = Scene::new();
    let plugin = scene.connect("Plugin", Dispatch::Thread);
    let shares = plugin.shares();
    for name in ["*", "Weather.*", "a*b"] {
        let refused = [
            plugin.topic::<(u32,)>(name).err(),
            plugin.provide(name, |_: u32| ()).err(),
            plugin
                .set_gate_options(&format!("{name}."), GateOptions::default())
                .err(),
            plugin.subscriber::<(u32,), ()>(name).err(),
            plugin.watch(name).err(),
            shares.get_or_create(name, || 7_u32).err(),
            shares.watch(name, |_| ()).err(),
            shares.cell_writer::<u32>(name).err(),
        ];
        for (way, error) in refused.into_iter().enumerate() {
            let error = error.unwrap_or_else(|| panic!("{name} by way {way}"));
            assert_eq!(error.code(), Code::InvalidArgument, "{name} by way {way}");
        }
    }
}
