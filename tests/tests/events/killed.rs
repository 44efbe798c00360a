//! Senders that are killed while they write.

use callgate_tests::random::Random;
use callgate_tests::{Bus, programs};

use crate::scene::{Listener, Sender};

/// Kills senders one after the other, each at some instant while it sends as fast as it can.
fn senders_are_killed(rounds: u64) {
    let bus = Bus::start(programs!());
    let mut random = Random::new("killed");
    let modes = ["handler", "pull"];
    let mut listeners = modes.map(|mode| Listener::start(&bus, mode, (mode, 0)));
    for round in 0..rounds {
        let length = ["0", "1000", "9000"][round as usize % 3];
        let mut sender = Sender::start(&bus, ["lossless", "65536", length]);
        let id = sender.id();
        let (marked, _) = sender.ask("mark");
        sender.ask("stream 0");
        random.pause(40);
        sender.process.kill();
        for listener in &mut listeners {
            let heard = listener.await_heard(id, |heard| heard.gone > 0);
            assert_eq!(
                (heard.here, heard.gone, heard.first),
                (1, 1, 0),
                "{heard:?}"
            );
            assert!(heard.next >= marked, "round {round}: {heard:?}");
            assert_eq!(
                heard.received + heard.lost,
                heard.next,
                "round {round}: {heard:?}"
            );
        }
    }
}

#[test]
fn who_listens_goes_on_with_the_next_sender_when_one_is_killed_while_it_writes() {
    senders_are_killed(12);
}

#[test]
#[ignore = "a thousand processes are killed: some minutes"]
fn who_listens_goes_on_with_the_next_of_a_thousand_senders() {
    senders_are_killed(1_000);
}
