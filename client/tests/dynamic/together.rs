//! Answers that are given together: a sleeping caller is woken once, when all of them are published.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use callgate::BusLimits;
use callgate_client::dynamic::{self, Bytes, Gate, Sent, answer_together};
use callgate_client::{Code, Context, Dispatch, Result, WaitPolicy, signature_of};

use crate::scene::{
    GATE, Job, PATIENCE, Scene, await_that, deferring, deferring_at, poll, scene_with, waker,
};

/// More time than a thread needs to fall asleep, or than a waker that is called takes.
const MOMENT: Duration = Duration::from_millis(200);
/// A caller that is not woken sleeps until its deadline, which is later.
const SOON: Duration = Duration::from_secs(8);

/// Plugins whose callers go to sleep without polling first.
fn sleepers() -> Scene {
    waiting_by(WaitPolicy::Park)
}

fn waiting_by(policy: WaitPolicy) -> Scene {
    scene_with(Dispatch::Thread, policy, BusLimits::default())
}

/// Calls for which a thread sleeps, and the number of those whose wakers were called.
fn asleep(gate: &Gate, jobs: &Receiver<Job>, count: u8) -> (Vec<Sent>, Vec<Job>, Arc<AtomicUsize>) {
    let told = Arc::new(AtomicUsize::new(0));
    let mut sent: Vec<Sent> = (0..count).map(|n| gate.send(&[n]).unwrap()).collect();
    let jobs = (0..count).map(|_| jobs.recv_timeout(PATIENCE).unwrap());
    let jobs = jobs.collect();
    for sent in &mut sent {
        let told = told.clone();
        let waker = waker(move || {
            told.fetch_add(1, Ordering::Relaxed);
        });
        assert!(poll(sent, &waker).is_pending());
    }
    thread::sleep(MOMENT);
    (sent, jobs, told)
}

fn answer(jobs: impl IntoIterator<Item = Job>) {
    for (request, responder) in jobs {
        responder.reply(&request).unwrap();
    }
}

/// The thread of the caller is woken when all answers are there, and not by each of them.
#[test]
fn callers_are_woken_when_all_answers_are_there() {
    let scene = sleepers();
    let (_provider, gate, jobs) = deferring(&scene);
    let (mut sent, jobs, told) = asleep(&gate.with_timeout(PATIENCE), &jobs, 16);
    answer_together(|| {
        // The end of an inner group wakes nobody.
        answer_together(|| answer(jobs));
        thread::sleep(MOMENT);
        assert_eq!(told.load(Ordering::Relaxed), 0);
    });
    await_that("all were told", || told.load(Ordering::Relaxed) == 16);
    for (n, sent) in sent.iter_mut().enumerate() {
        let Poll::Ready(Ok(result)) = poll(sent, &waker(|| {})) else {
            panic!("it was told");
        };
        assert_eq!(*result, [n as u8]);
    }
}

/// Threads that wait for calls of their own have bells of their own, and each is woken.
#[test]
fn callers_on_threads_are_woken_each() {
    let scene = sleepers();
    let (_provider, gate, jobs) = deferring(&scene);
    let gate = gate.with_timeout(PATIENCE);
    let start = Instant::now();
    thread::scope(|scope| {
        let call = |n: u8| {
            let gate = &gate;
            scope.spawn(move || assert_eq!(*gate.call(&[n]).unwrap(), [n]))
        };
        let callers: Vec<_> = (0..8).map(call).collect();
        let jobs: Vec<Job> = (0..8)
            .map(|_| jobs.recv_timeout(PATIENCE).unwrap())
            .collect();
        thread::sleep(MOMENT);
        answer_together(|| answer(jobs));
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
    });
    assert!(start.elapsed() < SOON);
}

/// A panic between the answers and the end does not leave the callers asleep until their deadlines.
#[test]
fn callers_are_woken_where_what_is_done_together_panics() {
    let scene = sleepers();
    let (_provider, gate, jobs) = deferring(&scene);
    let (sent, jobs, _told) = asleep(&gate.with_timeout(PATIENCE), &jobs, 2);
    let start = Instant::now();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        answer_together(|| {
            answer(jobs);
            panic!("in the middle");
        });
    }));
    assert!(panicked.is_err());
    for sent in sent {
        sent.wait().unwrap();
    }
    assert!(start.elapsed() < SOON);
}

/// Callers whose answers were there slept until another call of the answering thread was over, which may wait for them.
#[test]
fn callers_are_woken_before_the_thread_waits_for_a_call() {
    woken_before_a_call(WaitPolicy::Park);
}

/// A thread that waited for a call without sleeping did not wake them at all.
#[test]
fn callers_are_woken_before_the_thread_waits_for_a_call_awake() {
    woken_before_a_call(WaitPolicy::Spin);
}

fn woken_before_a_call(policy: WaitPolicy) {
    let scene = waiting_by(policy);
    let (_provider, gate, jobs) = deferring(&scene);
    let (_other, other, others) = deferring_at(&scene, "Bytes.Other");
    // Longer than the test waits, because callers look again at their deadlines.
    let long = 4 * PATIENCE;
    let (other, others) = (other.with_timeout(long), Mutex::new(others));
    let calls: [&dyn Fn() -> Result<Bytes>; 2] =
        [&|| other.call(&[7]), &|| other.send(&[7])?.wait()];
    for call in calls {
        let (_sent, jobs, told) = asleep(&gate.with_timeout(long), &jobs, 4);
        thread::scope(|scope| {
            let (told, others) = (&told, &others);
            scope.spawn(move || {
                let job = others.lock().unwrap().recv_timeout(PATIENCE).unwrap();
                await_that("all were told", || told.load(Ordering::Relaxed) == 4);
                answer([job]);
            });
            answer_together(|| {
                answer(jobs);
                assert_eq!(*call().unwrap(), [7]);
            });
        });
    }
}

/// A plugin that pumped for long, after it had answered, kept the callers asleep meanwhile.
#[test]
fn callers_are_woken_before_the_thread_pumps() {
    let pumping = || scene_with(Dispatch::Pump, WaitPolicy::Park, BusLimits::default());
    let (scene, pumped) = (sleepers(), pumping());
    let (_provider, gate, jobs) = deferring(&scene);
    let (_sent, jobs, told) = asleep(&gate.with_timeout(4 * PATIENCE), &jobs, 4);
    thread::scope(|scope| {
        let told = &told;
        let woken = scope.spawn(move || {
            let begun = Instant::now();
            await_that("all were told", || told.load(Ordering::Relaxed) == 4);
            begun.elapsed()
        });
        answer_together(|| {
            answer(jobs);
            pumped.provider.pump(Instant::now() + SOON).unwrap();
        });
        assert!(woken.join().unwrap() < SOON / 2);
    });
}

/// Closing a plugin, one of whose handlers ran on, kept callers asleep meanwhile.
#[test]
fn callers_are_woken_before_the_thread_closes_a_plugin() {
    let (scene, closed) = (sleepers(), sleepers());
    let (_provider, gate, jobs) = deferring(&scene);
    let (_sent, jobs, told) = asleep(&gate.with_timeout(4 * PATIENCE), &jobs, 4);
    let (begin, begun) = channel();
    let begin = Mutex::new(begin);
    let busy = move |_: Context<'_>, _: &[u8]| {
        begin.lock().unwrap().send(()).unwrap();
        await_that("all were told", || told.load(Ordering::Relaxed) == 4);
        Ok(Vec::new())
    };
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let provided = dynamic::provide(&closed.provider, GATE, &signature, busy).unwrap();
    let busy = dynamic::open(closed.caller(), GATE, &signature).unwrap();
    let busy = busy.with_timeout(PATIENCE).send(b"").unwrap();
    begun.recv_timeout(PATIENCE).unwrap();
    drop(provided);
    let begun = Instant::now();
    answer_together(|| {
        answer(jobs);
        drop(closed.provider);
    });
    assert!(begun.elapsed() < SOON);
    drop(busy);
}

/// A call that waited for the next broker kept other callers asleep meanwhile.
#[test]
fn callers_are_woken_before_the_thread_waits_for_a_broker() {
    let (scene, other) = (sleepers(), sleepers());
    let (_provider, gate, jobs) = deferring(&scene);
    let (_absent, absent, _none) = deferring(&other);
    let absent = absent.with_timeout(SOON);
    drop(other.provider);
    drop(other.broker);
    await_that("there is no broker", || {
        let hasty = absent.with_timeout(Duration::from_millis(1));
        hasty.call(b"").unwrap_err().code() == Code::BrokerGone
    });
    let (_sent, jobs, told) = asleep(&gate.with_timeout(4 * PATIENCE), &jobs, 4);
    thread::scope(|scope| {
        let told = &told;
        let woken = scope.spawn(move || {
            let begun = Instant::now();
            await_that("all were told", || told.load(Ordering::Relaxed) == 4);
            begun.elapsed()
        });
        answer_together(|| {
            answer(jobs);
            absent.call(b"").unwrap_err();
        });
        assert!(woken.join().unwrap() < SOON / 2);
    });
}

/// The same inside a handler.
#[test]
fn callers_are_woken_before_a_handler_waits_for_a_call_awake() {
    let scene = waiting_by(WaitPolicy::Spin);
    let (_provider, gate, jobs) = deferring(&scene);
    let (_other, other, others) = deferring_at(&scene, "Bytes.Other");
    let long = 4 * PATIENCE;
    let (_sent, jobs, told) = asleep(&gate.with_timeout(long), &jobs, 4);
    let (jobs, other) = (Mutex::new(jobs), other.with_timeout(long));
    let handler = move |_: Context<'_>, _: &[u8]| {
        answer_together(|| {
            answer(jobs.lock().unwrap().drain(..));
            assert_eq!(*other.call(&[7]).unwrap(), [7]);
        });
        Ok(Vec::new())
    };
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let _busy = dynamic::provide(scene.caller(), "Bytes.Busy", &signature, handler).unwrap();
    let busy = dynamic::open(&scene.provider, "Bytes.Busy", &signature).unwrap();
    let busy = busy.with_timeout(long).send(b"").unwrap();
    let job = others.recv_timeout(PATIENCE).unwrap();
    await_that("all were told", || told.load(Ordering::Relaxed) == 4);
    answer([job]);
    busy.wait().unwrap();
}

/// A caller's memory stays until its bell was rung.
#[test]
fn a_caller_may_go_before_it_is_woken() {
    let mut scene = sleepers();
    let (_provider, gate, jobs) = deferring(&scene);
    let (sent, jobs, _told) = asleep(&gate.with_timeout(PATIENCE), &jobs, 4);
    answer_together(|| {
        answer(jobs);
        drop((sent, gate));
        drop(scene.take_caller());
        thread::sleep(MOMENT);
    });
}

/// Published answers arrive also if their plugin closes before the callers are woken.
#[test]
fn answers_stand_where_the_plugin_closes_before_callers_are_woken() {
    let scene = sleepers();
    let (provider, gate, jobs) = deferring(&scene);
    let (sent, jobs, _told) = asleep(&gate.with_timeout(PATIENCE), &jobs, 4);
    answer_together(|| {
        answer(jobs);
        drop(provider);
        drop(scene.provider);
        for (n, sent) in sent.into_iter().enumerate() {
            assert_eq!(*sent.wait().unwrap(), [n as u8]);
        }
    });
}
