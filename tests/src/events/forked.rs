//! The role `forked-events NAME`: it sends and hears, forks, and prints in the child the error code that each
//! operation gives there.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use callgate_client::{Plugin, Received, Result};
use nix::unistd::daemon;

use super::answer;
use crate::PATIENCE;

/// The topic that it sends on.
pub const SENT: &str = "Forked.Sent";
/// The topic that it hears.
pub const HEARD: &str = "Forked.Heard";

pub(super) fn run(name: &str) -> Result<()> {
    let plugin = Plugin::connect(name)?;
    let topic = plugin.topic::<(u32,)>(SENT)?;
    let unheard = plugin.topic::<(u32,)>("Forked.Unheard")?;
    let mut events = plugin.events::<(u32,)>(HEARD)?;
    let handler = plugin.subscribe(HEARD, |_: u32| {})?;
    println!("ready");
    // Three events of its own, and one that it takes before the fork, so that others are left to take.
    std::io::stdin()
        .read_line(&mut String::new())
        .expect("a line");
    for n in 0..3 {
        topic.send(&(n,))?;
    }
    topic.flush(PATIENCE)?;
    while events.next(PATIENCE)?.and_then(Received::event).is_none() {}
    println!("has heard one");
    std::io::stdin()
        .read_line(&mut String::new())
        .expect("a line");
    daemon(true, true).expect("forking");
    let mut context = Context::from_waker(Waker::noop());
    let polled = {
        let next = pin!(events.next_async());
        match next.poll(&mut context) {
            Poll::Ready(polled) => polled.map(drop),
            Poll::Pending => panic!("nobody wakes it here"),
        }
    };
    say("next_async", polled);
    say("next", events.next(PATIENCE).map(drop));
    say("drain", events.drain(10).map(drop));
    say("send", topic.send(&(3,)));
    say("send to nobody", unheard.send(&(3,)));
    say("send_all", topic.send_all([(4,), (5,)]).map(drop));
    say("flush", topic.flush(PATIENCE));
    say("subscribe", plugin.subscribe(HEARD, |_: u32| {}).map(drop));
    say("topic", plugin.topic::<(u32,)>("Forked.Later").map(drop));
    let counts = (topic.subscription_count(), topic.is_offered());
    drop((handler, events, topic, unheard, plugin));
    println!("dropped {counts:?}");
    answer(|_| "OK".to_owned());
    Ok(())
}

fn say(what: &str, outcome: Result<()>) {
    let outcome = outcome.map_or_else(|error| error.code().to_string(), |()| "OK".to_owned());
    println!("{what}: {outcome}");
}
