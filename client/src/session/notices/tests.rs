//! Which notices are told, in which order, and until when.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_layout::Code;
use crossbeam_channel::{Receiver, Sender, bounded, unbounded};

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn back(generation: u64) -> BrokerEvent {
    BrokerEvent::Back { pid: 1, generation }
}

fn generation(event: &BrokerEvent) -> u64 {
    match event {
        BrokerEvent::Back { generation, .. } => *generation,
        other => panic!("{other:?}"),
    }
}

fn next(told: &Receiver<u64>) -> u64 {
    told.recv_timeout(PATIENCE).expect("it is told")
}

/// Notices with a function that passes on the generations that it is told.
fn listened() -> (Notices, Receiver<u64>) {
    let (sender, told) = unbounded();
    let notices = Notices::default();
    notices.set(Arc::new(move |event| {
        let _ = sender.send(generation(&event));
    }));
    (notices, told)
}

/// Notices with a function that reports when it runs, and returns when the test lets it.
struct Held {
    notices: Notices,
    runs: Receiver<u64>,
    go_on: Sender<()>,
}

fn held() -> Held {
    let (sender, runs) = unbounded();
    let (go_on, wait) = bounded::<()>(MOST_WAITING * 2);
    let notices = Notices::default();
    notices.set(Arc::new(move |event| {
        let _ = sender.send(generation(&event));
        let _ = wait.recv_timeout(PATIENCE);
    }));
    Held {
        notices,
        runs,
        go_on,
    }
}

#[test]
fn events_are_told_in_order_by_another_thread() {
    let (sender, told) = unbounded();
    let notices = Notices::default();
    notices.tell(back(1));
    notices.set(Arc::new(move |event| {
        let name = thread::current().name().map(str::to_owned);
        let _ = sender.send((name, generation(&event)));
    }));
    (2..500).for_each(|n| notices.tell(back(n)));
    for n in 2..500 {
        let (name, generation) = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(name.as_deref(), Some("callgate-notice"));
        assert_eq!(generation, n, "what came before the function is not kept");
    }
}

/// A permanent thread for each plugin would cost memory for nothing.
#[test]
fn the_thread_lives_only_while_there_is_something_to_tell() {
    let (notices, told) = listened();
    for n in 0..20 {
        notices.tell(back(n));
        assert_eq!(next(&told), n);
        let until = Instant::now() + PATIENCE;
        let is_there = || {
            let state = notices.state.lock();
            let thread = state.thread.as_ref();
            state.is_telling || thread.is_some_and(|thread| !thread.is_finished())
        };
        while is_there() {
            assert!(Instant::now() < until, "the thread stays");
            thread::yield_now();
        }
    }
}

/// A panic of the program's function ended the thread, and nothing was told after that.
#[test]
fn a_panic_ends_nothing() {
    let (sender, told) = unbounded();
    let notices = Notices::default();
    notices.set(Arc::new(move |event| {
        let _ = sender.send(generation(&event));
        panic!("of the program");
    }));
    for n in 0..3 {
        notices.tell(back(n));
    }
    assert_eq!([next(&told), next(&told), next(&told)], [0, 1, 2]);
    notices.close(true);
}

#[test]
fn another_function_takes_the_place_of_the_first() {
    let (notices, first) = listened();
    notices.tell(back(1));
    assert_eq!(next(&first), 1);
    let (sender, second) = unbounded();
    notices.set(Arc::new(move |event| {
        let _ = sender.send(generation(&event));
    }));
    notices.tell(back(2));
    assert_eq!(next(&second), 2);
    // The first was dropped, with its end of the channel.
    assert!(first.recv_timeout(PATIENCE).is_err());
}

/// After a plugin was dropped, a function of its program was still running, although what it borrowed was gone.
#[test]
fn closing_waits_for_the_function_and_drops_what_is_left() {
    let held = held();
    (1..4).for_each(|n| held.notices.tell(back(n)));
    assert_eq!(next(&held.runs), 1);
    let (notices, closed) = (held.notices.clone(), Arc::new(AtomicUsize::new(0)));
    let sign = closed.clone();
    let closing = thread::spawn(move || {
        notices.close(true);
        sign.store(1, Ordering::Release);
    });
    thread::sleep(Duration::from_millis(50));
    assert_eq!(closed.load(Ordering::Acquire), 0, "the function runs");
    held.go_on.send(()).unwrap();
    closing.join().unwrap();
    held.notices.tell(back(5));
    // The function was dropped, with its end of the channel, and was told nothing more.
    assert!(held.runs.recv_timeout(PATIENCE).is_err());
    let (later, told) = unbounded();
    held.notices.set(Arc::new(move |event| {
        let _ = later.send(generation(&event));
    }));
    held.notices.tell(back(6));
    assert!(told.recv_timeout(PATIENCE).is_err(), "nor is another one");
}

/// A function that dropped its own plugin waited for itself.
#[test]
fn the_function_may_close_and_tell_and_be_replaced() {
    let (sender, told) = unbounded();
    let notices = Notices::default();
    let (other, own) = (sender.clone(), notices.clone());
    notices.set(Arc::new(move |event| {
        let n = generation(&event);
        match n {
            1 => own.tell(back(2)),
            2 => {
                let (last, again) = (other.clone(), own.clone());
                own.set(Arc::new(move |event| {
                    again.close(true);
                    let _ = last.send(generation(&event) * 10);
                }));
                own.tell(back(3));
            }
            _ => panic!("it was replaced"),
        }
        let _ = sender.send(n);
    }));
    notices.tell(back(1));
    assert_eq!([next(&told), next(&told), next(&told)], [1, 2, 30]);
    notices.tell(back(4));
    assert!(told.recv_timeout(PATIENCE).is_err(), "it is closed");
}

/// Events for a function that did not return took more and more memory.
#[test]
fn of_many_events_the_last_are_kept() {
    let held = held();
    held.notices.tell(back(0));
    assert_eq!(next(&held.runs), 0);
    let many = MOST_WAITING as u64 + 100;
    (1..=many).for_each(|n| held.notices.tell(back(n)));
    (0..=MOST_WAITING).for_each(|_| held.go_on.send(()).unwrap());
    for n in 101..=many {
        assert_eq!(next(&held.runs), n);
    }
}

#[test]
fn an_event_says_why() {
    let error = Error::new(Code::BrokerGone, "it was restarted");
    let event = BrokerEvent::Lost(error);
    assert!(format!("{event:?}").contains("it was restarted"));
}
