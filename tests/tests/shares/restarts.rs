//! The broker ends and another one starts, while shares are held, made and published.

use callgate_client::Code;
use callgate_tests::proc::eventually;
use callgate_tests::shares::Content;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, Process, programs};

use crate::scene::{expect_no_shares, holder, patient};

const TAG: &str = "Restart.Table";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Maker,
    Reader,
    Both,
}

struct Scene {
    bus: Bus,
    maker: Process,
    reader: Process,
}

impl Scene {
    /// A maker with a share, and a reader that follows and holds it.
    fn start() -> Scene {
        let bus = Bus::start(programs!());
        let (mut maker, mut reader) = (holder(&bus, "maker"), holder(&bus, "reader"));
        assert_eq!(maker.ask(&format!("make {TAG} 1 100000")), "1");
        assert_eq!(reader.ask(&format!("get {TAG}")), "1");
        assert_eq!(reader.ask(&format!("follow {TAG}")), "OK");
        assert_eq!(reader.ask(&format!("latest {TAG}")), "1");
        Scene { bus, maker, reader }
    }

    fn broker(&self) -> String {
        self.bus.broker.as_ref().expect("it runs").id().to_string()
    }

    /// Starts the next broker. One of the two finds it before the other, which stands still meanwhile.
    fn restart(&mut self, first: First) {
        match first {
            First::Maker => self.reader.stop(),
            First::Reader => self.maker.stop(),
            First::Both => {}
        }
        self.bus.restart_broker();
        let broker = self.broker();
        let is_back =
            |process: &mut Process| await_that("it is back", || process.ask("broker x") == broker);
        match first {
            First::Maker => is_back(&mut self.maker),
            First::Reader => is_back(&mut self.reader),
            First::Both => {}
        }
        for process in [&self.maker, &self.reader] {
            process.signal(nix::sys::signal::Signal::SIGCONT);
        }
        is_back(&mut self.maker);
        is_back(&mut self.reader);
    }
}

fn guards_and_versions_go_on(first: First, rounds: u64) {
    let mut scene = Scene::start();
    for round in 1..=rounds {
        println!("{first:?}, round {round}");
        scene.restart(first);
        // Held shares need no broker, and are unchanged.
        assert_eq!(scene.reader.ask(&format!("check {TAG}")), round.to_string());
        assert_eq!(
            scene.reader.ask(&format!("latest {TAG}")),
            round.to_string()
        );
        // Others find the share with its old number.
        let late = scene.bus.plugin("late");
        eventually("it is there again", || {
            match patient(&late).try_get::<Content>(TAG) {
                Ok(Some(share)) => {
                    assert_eq!((share.check(TAG), share.version()), (round, round));
                    Ok(())
                }
                other => Err(format!("{:?}", other.map(|_| ()))),
            }
        });
        // The next version has the next number, and reaches the plugins that follow.
        let published = scene
            .maker
            .ask(&format!("publish {TAG} {} 100000", round + 1));
        assert_eq!(published, (round + 1).to_string());
        assert_eq!(
            scene.reader.ask(&format!("latest {TAG}")),
            (round + 1).to_string()
        );
        assert_eq!(
            scene.reader.ask(&format!("get {TAG}")),
            (round + 1).to_string()
        );
    }
    assert_eq!(scene.maker.ask(&format!("drop {TAG}")), "OK");
    assert_eq!(scene.reader.ask(&format!("drop {TAG}")), "OK");
    expect_no_shares(&scene.bus);
}

#[test]
fn a_share_goes_on_when_its_maker_is_back_first() {
    guards_and_versions_go_on(First::Maker, 2);
}

#[test]
fn a_share_goes_on_when_its_reader_is_back_first() {
    guards_and_versions_go_on(First::Reader, 2);
}

#[test]
fn a_share_goes_on_when_both_come_back_at_once() {
    guards_and_versions_go_on(First::Both, 6);
}

/// A share whose maker is gone stays with those that have it, and nobody else finds it.
#[test]
fn a_share_that_nobody_returns_is_gone_for_others_and_can_be_made_anew() {
    let mut scene = Scene::start();
    scene.bus.kill_broker();
    scene.maker.end();
    scene.bus.start_broker();
    let late = scene.bus.plugin("late");
    let broker = scene.broker();
    await_that("the reader is back", || {
        scene.reader.ask("broker x") == broker
    });
    let found = patient(&late).get::<Content>(TAG).map(drop);
    assert_eq!(
        found.expect_err("nobody returned it").code(),
        Code::NotReady
    );
    assert_eq!(scene.reader.ask(&format!("check {TAG}")), "1");
    let made = patient(&late)
        .get_or_create(TAG, || Content::new(TAG, 7, 100))
        .expect("made");
    assert_eq!(made.check(TAG), 7);
    // The reader still has the old one, and follows the new one.
    assert_eq!(scene.reader.ask(&format!("check {TAG}")), "1");
    await_that("it is given the new one", || {
        scene.reader.ask(&format!("latest {TAG}")) == "7"
    });
}

/// A plugin that makes the tag before its maker is back owns it. The maker keeps its guard, and publishes on the new
/// share.
#[test]
fn who_comes_before_the_maker_has_the_tag() {
    let mut scene = Scene::start();
    scene.bus.kill_broker();
    scene.maker.stop();
    scene.bus.start_broker();
    let early = scene.bus.plugin("early");
    let made = patient(&early)
        .get_or_create(TAG, || Content::new(TAG, 9, 100))
        .expect("made");
    assert_eq!(made.check(TAG), 9);
    scene.maker.signal(nix::sys::signal::Signal::SIGCONT);
    let broker = scene.broker();
    await_that("the maker is back", || {
        scene.maker.ask("broker x") == broker
    });
    assert_eq!(scene.maker.ask(&format!("check {TAG}")), "1");
    // The maker is back before the broker has answered its return. Until then its `get` finds its old share.
    await_that("the maker is given the new one", || {
        scene.maker.ask(&format!("get {TAG}")) == "9"
    });
    let published = scene.maker.ask(&format!("publish {TAG} 10 100"));
    assert_eq!(published, (made.version() + 1).to_string());
    await_that("the reader is given it", || {
        scene.reader.ask(&format!("latest {TAG}")) == "10"
    });
}

/// A making that was under way is begun again by a plugin that waits for the share.
#[test]
fn who_waits_for_a_share_has_it_from_the_next_broker() {
    let mut bus = Bus::start(programs!());
    let mut first = holder(&bus, "first");
    assert_eq!(first.ask(&format!("hang {TAG}")), "making");
    let second = bus.plugin("second");
    let shares = patient(&second);
    let waits = std::thread::spawn(move || {
        shares
            .get_or_create(TAG, || Content::new(TAG, 2, 100))
            .map(|made| made.check(TAG))
    });
    std::thread::sleep(std::time::Duration::from_millis(100));
    bus.kill_broker();
    first.end();
    bus.start_broker();
    assert_eq!(waits.join().expect("no panic").expect("made"), 2);
}
