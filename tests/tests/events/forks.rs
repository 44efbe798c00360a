//! A process that forks and goes on as the child, with all handles of its parent.

use callgate_tests::events::forked::{HEARD, SENT};
use callgate_tests::{Bus, programs};

use crate::scene::Talker;

/// A forked child gets errors from sends and feeds. It reads no memory that it does not have (a signal would end it),
/// waits for no event that cannot come, and writes nothing into the rings and pages of its parent.
#[test]
fn a_forked_child_sends_and_hears_nothing_and_leaves_what_is_its_parent_s() {
    let bus = Bus::start(programs!());
    let mut other = Talker::start(&bus, "Other", "thread");
    other.does(&format!("offer {HEARD} owned 65536 0 u32"));
    other.does(&format!("hear {SENT} handler u32"));
    let mut forked = bus.peer("forked-events", "Forked", &[]);
    other.ask(&format!("send {HEARD} 5"));
    assert_eq!(forked.ask("go on"), "has heard one");
    other.expect(("Forked", SENT), "here, 0..3");
    forked.say("fork");
    for what in [
        "next_async",
        "next",
        "drain",
        "send",
        "send to nobody",
        "send_all",
        "flush",
        "subscribe",
        "topic",
    ] {
        assert_eq!(forked.expect_line(), format!("{what}: CLOSED"));
    }
    let dropped = forked.expect_line();
    assert_eq!(dropped, "dropped (0, false)", "nobody hears what it says");
    // The parent has ended, and the others have heard nothing else of it.
    let heard = other.await_heard(("Forked", SENT), |heard| heard.contains("gone"));
    assert!(
        heard.starts_with("here, 0..3, gone PROVIDER_GONE"),
        "{heard}"
    );
    other.await_answer(&format!("listeners {HEARD}"), |count| count == "0");
    other.does(&format!("flush {HEARD}"));
    assert_eq!(forked.expect_line(), "ready");
    assert_eq!(forked.ask("still there"), "OK");
}
