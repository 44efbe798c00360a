//! Sender, listener and broker are started again, in each order, while events are sent.

use callgate_tests::random::Random;
use callgate_tests::shorthand::await_that;
use callgate_tests::{Bus, Process, programs};

use crate::scene::{Listener, Sender};

const OPTIONS: [&str; 3] = ["lossless", "1048576", "16"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Sender,
    Listener,
    Broker,
}

const ORDERS: [[Who; 3]; 6] = {
    use Who::{Broker, Listener, Sender};
    [
        [Sender, Listener, Broker],
        [Sender, Broker, Listener],
        [Listener, Sender, Broker],
        [Listener, Broker, Sender],
        [Broker, Sender, Listener],
        [Broker, Listener, Sender],
    ]
};

struct Scene {
    bus: Bus,
    random: Random,
    sender: Sender,
    /// A listener that is started again. The next one runs all the time.
    listener: Listener,
    stays: Listener,
    /// Whether a new broker has been started since all parties heard each other.
    is_new: bool,
}

impl Scene {
    fn start() -> Scene {
        let bus = Bus::start(programs!());
        let stays = Listener::start(&bus, "Stays", ("pull", 0));
        let listener = Listener::start(&bus, "Listener", ("handler", 0));
        let mut sender = Sender::start(&bus, OPTIONS);
        sender.ask("stream 200");
        let random = Random::new("restarts");
        Scene {
            bus,
            random,
            sender,
            listener,
            stays,
            is_new: false,
        }
    }

    fn restart(&mut self, who: Who) {
        self.random.pause(20);
        match who {
            Who::Sender => self.restart_sender(),
            Who::Listener => {
                self.listener.process.end();
                self.listener = Listener::start(&self.bus, "Listener", ("handler", 0));
            }
            Who::Broker => {
                self.bus.kill_broker();
                self.random.pause(20);
                self.bus.start_broker();
                self.is_new = true;
            }
        }
    }

    /// Kills the sender while it sends, or after it has sent everything.
    fn restart_sender(&mut self) {
        let id = self.sender.id();
        let is_stopped = self.random.below(2) == 0;
        let sent = if is_stopped {
            self.sender.ask("stop").0
        } else {
            0
        };
        self.sender.process.end();
        self.sender = Sender::start(&self.bus, OPTIONS);
        let heard = self.stays.await_heard(id, |heard| heard.gone > 0);
        assert!(heard.next >= sent, "{sent} were sent: {heard:?}");
        expect_no_gap(&heard);
        self.sender.ask("stream 200");
        if !self.is_new {
            let heard = self
                .stays
                .await_heard(self.sender.id(), |heard| heard.received > 0);
            assert_eq!(heard.first, 0, "{heard:?}");
        }
    }

    /// Waits until each listener hears new events.
    fn settle(&mut self) {
        let id = self.sender.id();
        let (marked, _) = self.sender.ask("mark");
        for listener in [&mut self.stays, &mut self.listener] {
            let heard = listener.await_heard(id, |heard| heard.next >= marked);
            expect_no_gap(&heard);
        }
        if self.is_new {
            // A listener that was there may still hear the sender without the broker, but can learn of the next
            // sender only from it.
            let broker = self.bus.broker.as_ref().map(Process::id);
            let broker = broker.expect("it runs").to_string();
            await_that("it is taken in again", || {
                self.stays.process.ask("broker") == broker
            });
            // A plugin has two memberships at most. A listener that hears a sender over the oldest alone loses it
            // when a third one begins.
            await_that("both hear it by the new broker", || self.heard_by() == 2);
        }
        self.is_new = false;
    }
}

impl Scene {
    /// How many listeners hear the sender by way of the present broker.
    fn heard_by(&self) -> usize {
        let output = self.bus.command(&["ls", "topics", "--json"]).output();
        let output = output.expect("it runs").stdout;
        let topics: serde_json::Value = serde_json::from_slice(&output).expect("a document");
        topics[0]["subscribers"].as_array().map_or(0, Vec::len)
    }
}

fn expect_no_gap(heard: &callgate_tests::events::Heard) {
    assert_eq!(
        heard.received + heard.lost,
        heard.next - heard.first,
        "{heard:?}"
    );
}

fn rounds(count: usize) {
    let mut scene = Scene::start();
    for round in 0..count {
        let order = ORDERS[round % ORDERS.len()];
        println!("round {round}: {order:?}");
        order.into_iter().for_each(|who| scene.restart(who));
        scene.settle();
    }
}

#[test]
fn nobody_is_deaf_after_restarts_in_each_order() {
    rounds(18);
}

#[test]
#[ignore = "twenty rounds of each order"]
fn nobody_is_deaf_after_twenty_rounds_of_restarts_in_each_order() {
    rounds(120);
}
