//! Tasks that wait for the events of another process.

use callgate_tests::{Bus, programs};

use crate::scene::{Listener, Sender};

/// A sender in another process wakes a task by ringing a bell: the task is found and polled then. A sender in the
/// task's own process would call its waker itself.
#[test]
fn a_task_is_woken_by_who_sends_in_another_process() {
    let bus = Bus::start(programs!());
    let mut sender = Sender::start(&bus, ["lossless", "65536", "1000"]);
    let mut task = Listener::start(&bus, "task", ("task", 0));
    for number in 1..=40 {
        // By now it has nothing to do, and sleeps.
        let (sent, _) = sender.ask("send 1");
        assert_eq!(sent, number);
        let heard = task.await_heard(sender.id(), |heard| heard.next == sent);
        assert_eq!((heard.received, heard.lost), (sent, 0));
    }
}
