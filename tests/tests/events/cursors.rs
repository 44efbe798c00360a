//! A listener that writes wrong values into its cursor: it harms only itself.
//!
//! The test itself plays that listener; the sender and honest listeners are processes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_tests::events::{Numbered, TOPIC};
use callgate_tests::raw::{Ear, Raw};
use callgate_tests::{Bus, programs};

use crate::scene::{Listener, Sender, expect_all};

/// A ring for 63 of these events.
const OPTIONS: [&str; 3] = ["lossless", "65536", "1000"];
/// The bytes of such an event, or a few less.
const EVENT: u64 = 1_000;

/// How many events are sent before the sender waits for the listeners.
const AT_ONCE: u64 = 50;

struct Scene {
    bus: Bus,
    sender: Sender,
    listeners: Vec<Listener>,
    villain: Raw,
    ear: Ear,
}

impl Scene {
    fn new() -> Scene {
        let bus = Bus::start(programs!());
        let sender = Sender::start(&bus, OPTIONS);
        let start = |mode| Listener::start(&bus, mode, (mode, 0));
        let listeners = ["handler", "pull"].map(start).into();
        let mut villain = Raw::join(&bus, "Villain");
        let ear = villain.hear::<Numbered>(TOPIC);
        Scene {
            bus,
            sender,
            listeners,
            villain,
            ear,
        }
    }

    fn says(&self, position: u64) {
        self.ear.handled(&self.villain, position);
    }

    /// Sends while the villain repeats an action. Returns how long the slow sends waited, and how long all of them
    /// took. The other listeners keep pace even if they get no processor for a while: they have handled everything
    /// before more is sent than the ring holds.
    fn send(
        &mut self,
        events: u64,
        mut meanwhile: impl FnMut(&Raw, &mut Ear) + Send,
    ) -> [Duration; 2] {
        let begun = Instant::now();
        let is_over = AtomicBool::new(false);
        let (villain, ear, sender) = (&self.villain, &mut self.ear, &mut self.sender);
        let listeners = &mut self.listeners;
        let waited = thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    meanwhile(villain, ear);
                }
            });
            let _ends = Ends(&is_over);
            let (mut left, mut waited) = (events, 0);
            while left > 0 {
                let part = left.min(AT_ONCE);
                let (sent, millis) = sender.ask(&format!("send {part}"));
                for listener in &mut *listeners {
                    listener.await_heard(sender.id(), |heard| heard.next == sent);
                }
                (left, waited) = (left - part, millis);
            }
            waited
        });
        [Duration::from_millis(waited), begun.elapsed()]
    }

    /// Checks that the others have heard each event that was sent, once and in order.
    fn others_heard(&mut self, events: u64) {
        expect_all(&mut self.listeners, &self.sender, events);
    }
}

/// Stops the villain when this is dropped, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn nothing(_: &Raw, _: &mut Ear) {
    thread::sleep(Duration::from_millis(1));
}

/// A listener that claims to have handled events that were not sent yet is dropped, and named in a warning. The
/// sender does not use that position.
#[test]
fn who_runs_ahead_is_dropped_and_named() {
    for ahead in [8, 1 << 20, u64::MAX / 2] {
        let mut scene = Scene::new();
        let (sent, _) = scene.sender.ask("send 20");
        assert_eq!(scene.sender.listeners(), "3");
        scene.says(scene.ear.head() + ahead);
        scene.sender.flush();
        assert_eq!(scene.sender.listeners(), "2");
        let warnings = scene.sender.warnings();
        let is_named = warnings.contains("Villain") && warnings.contains("not sent yet");
        assert!(is_named, "{warnings}");
        // Whatever it writes now has no effect.
        scene.says(scene.ear.head());
        let [waited, _] = scene.send(500, nothing);
        assert!(waited < Duration::from_millis(900), "{waited:?}");
        scene.others_heard(sent + 500);
        // It may subscribe again.
        scene.villain = Raw::join(&scene.bus, "Villain again");
        scene.ear = scene.villain.hear::<Numbered>(TOPIC);
        assert_eq!(scene.sender.listeners(), "3");
    }
}

/// A listener whose position goes back stays where it was: the sender does not wait again for events that it has seen
/// handled.
#[test]
fn who_runs_back_is_where_it_was() {
    let mut scene = Scene::new();
    let mut sent = 0;
    for _ in 0..20 {
        sent = scene.sender.ask("send 30").0;
        scene.says(scene.ear.head());
        scene.sender.flush();
        for back in [8, 10 * EVENT, 25 * EVENT, scene.ear.head()] {
            scene.says(scene.ear.head().saturating_sub(back));
            scene.sender.flush();
        }
    }
    assert_eq!(scene.sender.listeners(), "3");
    scene.others_heard(sent);
}

/// A budget is one second at first, and a tenth of the time. The limit is three times that, because the processors
/// are busy.
fn most([_, elapsed]: [Duration; 2]) -> Duration {
    3 * (Duration::from_secs(1) + elapsed / 10)
}

/// A listener that lives and takes nothing delays its sender only as long as its budget lasts.
#[test]
fn who_stands_still_costs_its_budget_and_no_more() {
    let mut scene = Scene::new();
    let times = scene.send(3_000, nothing);
    assert!(times[0] < most(times), "{times:?}");
    assert!(times[0] > Duration::from_millis(500), "{times:?}");
    scene.others_heard(3_000);
    // It was not taken for one that is gone.
    assert_eq!(scene.sender.listeners(), "3");
}

/// A listener that takes a few events whenever its sender has waited for some milliseconds also uses up its budget.
/// Otherwise it could slow its sender down without end: 15 seconds for this test.
#[test]
fn who_catches_up_just_often_enough_costs_its_budget_and_no_more() {
    let mut scene = Scene::new();
    let times = scene.send(4_000, |villain, ear| {
        if !ear.is_starving() {
            return thread::sleep(Duration::from_micros(100));
        }
        thread::sleep(Duration::from_millis(15));
        // It skips what it was made to lose, and so delays the sender again.
        let position = ear.take(4);
        ear.handled(villain, position);
    });
    assert!(times[0] < most(times), "{times:?}");
    assert!(times[0] > Duration::from_millis(500), "{times:?}");
    scene.others_heard(4_000);
    assert_eq!(scene.sender.listeners(), "3");
}

/// A listener that names a position in the middle of an event makes no other listener lose events.
#[test]
fn who_says_a_place_in_the_middle_of_an_event_makes_nobody_else_lose() {
    let mut scene = Scene::new();
    scene.send(4_000, |villain, ear| {
        if !ear.is_starving() {
            return thread::yield_now();
        }
        let position = ear.take(4);
        ear.handled(villain, position - 8);
    });
    scene.others_heard(4_000);
}
