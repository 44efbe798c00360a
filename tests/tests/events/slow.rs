//! A listener that is slower than a sender that does not wait.

use callgate_tests::{Bus, programs};

use crate::scene::{Listener, Sender};

#[test]
fn what_a_slow_listener_loses_is_counted_to_the_last_event() {
    let bus = Bus::start(programs!());
    let modes = ["handler", "pull", "task"];
    let mut listeners = modes.map(|mode| Listener::start(&bus, mode, (mode, 10)));
    // The ring has room for fifteen events.
    let mut sender = Sender::start(&bus, ["oldest", "65536", "4096"]);
    let (mut sent, mut waited) = (0, 0);
    for _ in 0..20 {
        (sent, waited) = sender.ask("send 500");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // At 10 ms for each event, waiting for the listener would take 100 seconds.
    assert!(waited < 20_000, "{waited} ms");
    sender.flush();
    for listener in &mut listeners {
        let heard = listener.await_heard(sender.id(), |heard| heard.next == sent);
        assert_eq!(
            (heard.first, heard.received + heard.lost),
            (0, sent),
            "{heard:?}"
        );
        assert!(heard.lost > 0 && heard.received > 15, "{heard:?}");
    }
}
