//! How the end of a call is reported: a waker belongs to the program, and may do anything.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::thread;
use std::time::Duration;

use callgate_client::dynamic::Sent;
use callgate_client::{Code, Dispatch};

use crate::scene::{PATIENCE, await_that, block_on, deferring, deferring_at, poll, scene, waker};

/// A waker that panics does not end the thread that looks after all calls.
#[test]
fn a_waker_that_panics_ends_nothing() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let mut first = gate.send(b"first").unwrap();
    let panics = waker(|| std::panic::resume_unwind(Box::new("on purpose")));
    assert!(poll(&mut first, &panics).is_pending());
    jobs.recv_timeout(PATIENCE).unwrap().1.reply(b"").unwrap();
    let second = gate.send(b"second").unwrap();
    let (request, responder) = jobs.recv_timeout(PATIENCE).unwrap();
    responder.reply(&request).unwrap();
    assert_eq!(*block_on(second).unwrap(), *b"second");
    assert_eq!(*block_on(first).unwrap(), *b"");
}

/// A waker may wait for another call, on the thread that would report it.
#[test]
fn a_waker_may_send_wait_and_drop() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let answering = thread::spawn(move || {
        // Both at the same time, so that the thread finds both answers in one look.
        while let Ok(one) = jobs.recv() {
            let other = jobs.recv_timeout(Duration::from_millis(50)).ok();
            for (request, responder) in [Some(one), other].into_iter().flatten() {
                if request != b"never" {
                    let _ = responder.reply(&request);
                } else {
                    std::mem::forget(responder);
                }
            }
        }
    });
    let (told, telling) = mpsc::channel();
    let other = Mutex::new(Some(gate.send(b"other").unwrap()));
    let mut first = gate.send(b"first").unwrap();
    let short = gate.with_timeout(Duration::from_millis(200));
    let never = Mutex::new(Some(short.send(b"never").unwrap()));
    let busy = waker(move || {
        let other = other.lock().unwrap().take().map(Sent::wait);
        let never = never.lock().unwrap().take().map(Sent::wait);
        let called = gate.call(b"called");
        drop(gate.send(b"dropped").unwrap());
        told.send((other, never, called)).unwrap();
    });
    assert!(poll(&mut first, &busy).is_pending());
    let (other, never, called) = telling.recv_timeout(PATIENCE).expect("the waker is back");
    assert_eq!(*other.unwrap().unwrap(), *b"other");
    assert_eq!(never.unwrap().unwrap_err().code(), Code::Timeout);
    assert_eq!(*called.unwrap(), *b"called");
    assert_eq!(*first.wait().unwrap(), *b"first");
    drop(scene);
    drop(_provider);
    answering.join().unwrap();
}

/// A sent call that has an earlier deadline than all others ends in time, although the thread sleeps until the first
/// deadline that it knew.
#[test]
fn a_deadline_that_comes_before_all_others_is_told_of_in_time() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let patient = gate.with_timeout(10 * PATIENCE);
    let calls = [(); 2].map(|()| patient.send(b"x").unwrap());
    let held = [(); 2].map(|()| jobs.recv_timeout(PATIENCE).unwrap());
    // Lets it fall asleep.
    thread::sleep(Duration::from_millis(50));
    let mut hasty = gate
        .with_timeout(Duration::from_millis(100))
        .send(b"y")
        .unwrap();
    let (told, telling) = mpsc::channel();
    let is_over = waker(move || told.send(()).unwrap());
    if poll(&mut hasty, &is_over).is_pending() {
        telling.recv_timeout(PATIENCE).expect("its time is up");
    }
    assert_eq!(hasty.wait().unwrap_err().code(), Code::Timeout);
    for (request, responder) in held {
        responder.reply(&request).unwrap();
    }
    for sent in calls {
        assert_eq!(*sent.wait().unwrap(), *b"x");
    }
}

#[test]
fn a_waker_may_drop_its_plugin() {
    let mut scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let (_other_provider, other, _other_jobs) = deferring_at(&scene, "Bytes.Other");
    let caller = Mutex::new(Some(scene.take_caller()));
    let mut first = gate.send(b"first").unwrap();
    let rest: Vec<_> = (0..100_u8).map(|n| other.send(&[n]).unwrap()).collect();
    let drops = waker(move || drop(caller.lock().unwrap().take()));
    assert!(poll(&mut first, &drops).is_pending());
    jobs.recv_timeout(PATIENCE).unwrap().1.reply(b"").unwrap();
    for sent in rest {
        assert_eq!(sent.wait().unwrap_err().code(), Code::Closed);
    }
    first.wait().unwrap();
}

/// Only the waker of the last poll is called, and no lock is held when a waker is dropped.
#[test]
fn only_the_last_waker_is_woken() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let woken = Arc::new([const { AtomicU32::new(0) }; 3]);
    let mut sent = gate.send(b"x").unwrap();
    for n in 0..3 {
        let woken = woken.clone();
        let waker = waker(move || {
            woken[n].fetch_add(1, Ordering::SeqCst);
        });
        for _ in 0..3 {
            assert!(poll(&mut sent, &waker).is_pending());
        }
    }
    jobs.recv_timeout(PATIENCE).unwrap().1.reply(b"y").unwrap();
    await_that("the last is woken", || woken[2].load(Ordering::SeqCst) == 1);
    assert_eq!(
        woken[0].load(Ordering::SeqCst) + woken[1].load(Ordering::SeqCst),
        0
    );
    assert_eq!(*block_on(&mut sent).unwrap(), *b"y");
    let error = block_on(&mut sent).unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    assert_eq!(sent.wait().unwrap_err().code(), Code::InvalidArgument);
}

/// A replaced waker may own the last handle of a task, and dropping it drops the task's calls.
#[test]
fn a_waker_may_own_calls_which_are_dropped_with_it() {
    struct Owns(Mutex<Option<Sent>>);
    impl Wake for Owns {
        fn wake(self: Arc<Self>) {}
    }
    impl Drop for Owns {
        fn drop(&mut self) {
            // This waits for the thread that reports calls, which must not wait for this one.
            if let Some(sent) = self.0.get_mut().unwrap().take() {
                sent.wait().unwrap();
            }
        }
    }
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let (owned, mut polled) = (gate.send(b"owned").unwrap(), gate.send(b"polled").unwrap());
    let owner = Waker::from(Arc::new(Owns(Mutex::new(Some(owned)))));
    assert!(poll(&mut polled, &owner).is_pending());
    drop(owner);
    let answering = thread::spawn(move || {
        let jobs = [(); 2].map(|()| jobs.recv_timeout(PATIENCE).unwrap());
        // The call that is polled first, while its waker is being replaced.
        thread::sleep(Duration::from_millis(50));
        for (request, responder) in jobs.into_iter().rev() {
            responder.reply(&request).unwrap();
            thread::sleep(Duration::from_millis(20));
        }
    });
    assert_eq!(*block_on(polled).unwrap(), *b"polled");
    answering.join().unwrap();
}

/// What is known of a call that is over does not keep a later deadline from being told of, with and without another call
/// under way.
#[test]
fn a_deadline_that_comes_after_that_of_a_call_which_is_over_is_told_of_in_time() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    /// Long enough for an answer on a busy machine.
    const SHORT: Duration = Duration::from_secs(4);
    let mut under_way = None;
    for _ in 0..2 {
        let first = gate.with_timeout(SHORT).send(b"first").unwrap();
        jobs.recv_timeout(PATIENCE).unwrap().1.reply(b"").unwrap();
        block_on(first).unwrap();
        // Lets the thread fall asleep.
        thread::sleep(Duration::from_millis(50));
        let late = gate.with_timeout(SHORT + Duration::from_millis(200));
        let mut late = late.send(b"late").unwrap();
        let (told, telling) = mpsc::channel();
        let is_over = waker(move || told.send(()).unwrap());
        if poll(&mut late, &is_over).is_pending() {
            telling.recv_timeout(PATIENCE).expect("its time is up");
        }
        assert_eq!(late.wait().unwrap_err().code(), Code::Timeout);
        drop(jobs.recv_timeout(PATIENCE).unwrap());
        under_way = Some(gate.with_timeout(10 * PATIENCE).send(b"other").unwrap());
        std::mem::forget(jobs.recv_timeout(PATIENCE).unwrap().1);
    }
    drop(under_way);
}
