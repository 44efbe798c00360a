//! The role `numbers-listener NAME handler|pull|task MILLIS`: it counts events, and takes so many milliseconds for
//! each.
//!
//! It answers `heard PROCESS` with what it has heard of that process, and `broker` with the process of the broker
//! that it has come back to: 0 as long as there is none.
//! taken it in again: 0 as long as none has.

use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use callgate_client::{BrokerEvent, Code, Plugin, Received, Result, View};

use super::{Numbered, TOPIC, Tally, answer, number};
use crate::PATIENCE;

pub(super) fn run(name: &str, more: &[String]) -> Result<()> {
    let [mode, millis] = more else {
        panic!("usage: callgate-peer numbers-listener NAME handler|pull|task MILLIS");
    };
    let pause = Duration::from_millis(millis.parse().expect("a number"));
    let plugin = Plugin::connect(name)?;
    let tally = Arc::<Mutex<Tally>>::default();
    let mut _subscription = None;
    match mode.as_str() {
        "handler" => _subscription = Some(hear(&plugin, &tally, pause)?),
        "task" => wait_in_a_task(&plugin, &tally, pause)?,
        _ => pull(&plugin, &tally, pause)?,
    }
    let (broker, lost) = (Arc::<AtomicU32>::default(), Arc::<AtomicU32>::default());
    let told = (broker.clone(), lost.clone());
    plugin.on_broker(move |event| match event {
        BrokerEvent::Back { pid, .. } => told.0.store(pid, Ordering::Relaxed),
        BrokerEvent::Lost(_) => {
            told.1.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    });
    answer(|words| match words[0] {
        "broker" => broker.load(Ordering::Relaxed).to_string(),
        _ => lock(&tally).line(number(words, 1) as u32, lost.load(Ordering::Relaxed)),
    });
    Ok(())
}

fn hear(
    plugin: &Plugin,
    tally: &Arc<Mutex<Tally>>,
    pause: Duration,
) -> Result<callgate_client::Subscription> {
    let (events, notices) = (tally.clone(), tally.clone());
    plugin
        .subscription(TOPIC)
        .on_notice(move |notice| lock(&notices).notice(notice))
        .subscribe(move |process: u32, n: u64, _: View<'_, Vec<u8>>| {
            thread::sleep(pause);
            lock(&events).event(process, n);
        })
}

fn pull(plugin: &Plugin, tally: &Arc<Mutex<Tally>>, pause: Duration) -> Result<()> {
    let mut events = plugin.events::<Numbered>(TOPIC)?;
    let tally = tally.clone();
    thread::spawn(move || while note(&tally, pause, events.next(PATIENCE)) {});
    Ok(())
}

/// A task that is polled again only after its waker was called.
fn wait_in_a_task(plugin: &Plugin, tally: &Arc<Mutex<Tally>>, pause: Duration) -> Result<()> {
    let mut events = plugin.events::<Numbered>(TOPIC)?;
    let tally = tally.clone();
    thread::spawn(move || while note(&tally, pause, block_on(events.next_async()).map(Some)) {});
    Ok(())
}

/// Notes what was received; false when no more can come.
fn note(tally: &Mutex<Tally>, pause: Duration, came: Result<Option<Received<Numbered>>>) -> bool {
    match came {
        Ok(Some(Received::Event(event))) => {
            thread::sleep(pause);
            lock(tally).event(event.values.0, event.values.1);
        }
        Ok(Some(Received::Notice(notice))) => lock(tally).notice(&notice),
        Ok(None) => {}
        Err(error) if error.code() == Code::Closed => return false,
        Err(error) => panic!("{error}"),
    }
    true
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

fn lock(tally: &Mutex<Tally>) -> std::sync::MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}
