//! Plugins of one group, which share a thread for their handlers and a doorbell: events to all of them, and from one to the others.

use std::sync::Arc;
use std::time::Duration;

use callgate_client::{Code, Dispatch, EventContext, Group, Plugin, Received};

use super::scene::{Notes, PATIENCE, Scene, TOPIC, numbers};

const MEMBERS: [&str; 3] = ["One", "Two", "Three"];

fn members(scene: &Scene, group: &Group) -> [Plugin; 3] {
    MEMBERS.map(|name| {
        let builder = Plugin::builder(name).group(group);
        let builder = builder.descriptor(scene.broker.connect().unwrap());
        builder.connect().unwrap()
    })
}

/// Each member of a group, which share a doorbell, is woken for its own events and hears each of them once.
#[test]
fn each_member_of_a_group_hears_each_event_once() {
    let scene = Scene::new();
    let group = Group::new().unwrap();
    let sender = scene.connect("Sender", Dispatch::Thread);
    let members = members(&scene, &group);
    let notes = MEMBERS.map(|_| Notes::new());
    let _heard: Vec<_> = members
        .iter()
        .zip(&notes)
        .map(|(member, notes)| {
            let seen = notes.clone();
            let subscribed = member.subscribe(TOPIC, move |n: u32| seen.add(n));
            subscribed.unwrap()
        })
        .collect();
    // One of them also takes events on a thread of its own.
    let mut pulled = members[1].events::<(u32,)>(TOPIC).unwrap();
    let topic = numbers(&sender);
    assert_eq!(topic.subscription_count(), 4);
    let expected: Vec<u32> = (0..5_000).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut taken = Vec::new();
            while taken.len() < expected.len() {
                let next = pulled.next(PATIENCE).unwrap().expect("it is sent");
                taken.extend(next.event().map(|event| event.values.0));
            }
            assert!(taken == expected);
        });
        for n in &expected {
            topic.send(&(*n,)).unwrap();
        }
    });
    topic.flush(PATIENCE).unwrap();
    for notes in &notes {
        assert!(notes.all() == expected, "{}", notes.all().len());
    }
    // When one has gone, the others go on.
    let [one, two, three] = members;
    drop((two, pulled));
    topic.send(&(5_000,)).unwrap();
    topic.flush(PATIENCE).unwrap();
    assert_eq!(topic.subscription_count(), 2);
    let counts = notes.map(|notes| notes.all().len());
    assert_eq!(counts, [5_001, 5_000, 5_001]);
    drop((one, three));
}

/// A handler that sends to members of its own group does not wait for their handlers, which cannot run before it
/// returns.
#[test]
fn a_member_that_sends_to_its_group_from_a_handler_waits_for_nobody() {
    let scene = Scene::new();
    let group = Group::new().unwrap();
    let [one, two, three] = members(&scene, &group);
    let topic = Arc::new(numbers(&one));
    let sender = scene.connect("Sender", Dispatch::Thread);
    let begin = sender.topic::<(u32,)>("Begin").unwrap();
    let (notes, flushed) = (Notes::new(), Notes::new());
    let _heard: Vec<_> = [&one, &two, &three]
        .map(|member| {
            let seen = notes.clone();
            let hear = move |event: EventContext<'_>, n: u32| seen.add((event.number(), n));
            member.subscribe(TOPIC, hear).unwrap()
        })
        .into();
    let (own, told) = (topic.clone(), flushed.clone());
    let _begin = two
        .subscribe("Begin", move |count: u32| {
            (0..count).for_each(|n| own.send(&(n,)).unwrap());
            told.add(own.flush(PATIENCE).unwrap_err().code());
        })
        .unwrap();
    begin.send(&(100,)).unwrap();
    assert_eq!(flushed.wait(1), [Code::InvalidArgument]);
    let mut all = notes.wait(300);
    all.sort_unstable();
    let expected = (0..100).flat_map(|n| [(u64::from(n), n); 3]);
    assert!(all.into_iter().eq(expected));
    topic.flush(PATIENCE).unwrap();
    // A listener that pulls is waited for, and named.
    let mut events = three.events::<(u32,)>(TOPIC).unwrap();
    topic.send(&(100,)).unwrap();
    let error = topic.flush(Duration::from_millis(50)).unwrap_err();
    assert!(error.message().contains("`Three`"), "{error}");
    while events
        .next(PATIENCE)
        .unwrap()
        .and_then(Received::event)
        .is_none()
    {}
    topic.flush(PATIENCE).unwrap();
}
