//! A thread that waits for a sent call takes the answers meanwhile, and whoever else waits still hears of them.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use callgate_client::dynamic::{self, Gate, Sent};
use callgate_client::{Context, Dispatch, signature_of};

use crate::scene::{Job, PATIENCE, await_that, block_on, deferring, poll, scene, waker};

/// Answers each call with its request, until there are no more. Counts them.
fn echo(jobs: mpsc::Receiver<Job>) -> (Arc<AtomicUsize>, JoinHandle<()>) {
    let answered = Arc::new(AtomicUsize::new(0));
    let count = answered.clone();
    let answering = thread::spawn(move || {
        for (request, responder) in jobs {
            responder.reply(&request).unwrap();
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    (answered, answering)
}

/// Sends a call and waits for it on this thread.
fn ask(gate: &Gate, n: u32) {
    let request = n.to_le_bytes();
    let sent = gate.send(&request).unwrap();
    assert_eq!(*sent.wait().unwrap(), request);
}

/// A waker of the program's kept the thread busy that looks after sent calls, and threads that waited for others
/// got no answer before their deadlines.
#[test]
fn a_thread_that_waits_needs_no_other() {
    let scene = scene(Dispatch::Thread);
    let (provider, gate, jobs) = deferring(&scene);
    let ((go_on, held), (told, busy)) = (mpsc::channel(), mpsc::channel());
    let held = Mutex::new(held);
    let keeps_busy = waker(move || {
        told.send(()).unwrap();
        let _: Result<(), _> = held.lock().unwrap().recv_timeout(PATIENCE);
    });
    let mut first = gate.send(b"first").unwrap();
    assert!(poll(&mut first, &keeps_busy).is_pending());
    jobs.recv_timeout(PATIENCE).unwrap().1.reply(b"").unwrap();
    busy.recv_timeout(PATIENCE).expect("it is busy");
    assert!(poll(&mut first, &waker(|| ())).is_ready());
    let (_, answering) = echo(jobs);
    (0..100).for_each(|n| ask(&gate, n));
    // More than have slots at once.
    let numbers: Vec<_> = (0..100_u32).map(u32::to_le_bytes).collect();
    let send = |number: &[u8; 4]| gate.send(number).unwrap();
    let sent: Vec<Sent> = numbers.iter().map(send).collect();
    for (number, sent) in numbers.iter().zip(sent) {
        assert_eq!(*sent.wait().unwrap(), *number);
    }
    go_on.send(()).unwrap();
    drop((scene, provider));
    answering.join().unwrap();
}

/// The thread that looks after calls leaves the answers to a thread that waits, and takes them again where that one
/// does other work.
#[test]
fn answers_that_nobody_asks_for_keep_no_slots() {
    let scene = scene(Dispatch::Thread);
    let (provider, gate, jobs) = deferring(&scene);
    let (answered, answering) = echo(jobs);
    for round in 1..=5 {
        (0..20).for_each(|n| ask(&gate, n));
        let sent: Vec<_> = (0..100).map(|_| gate.send(b"").unwrap()).collect();
        await_that("all are answered", || {
            answered.load(Ordering::SeqCst) == round * 120
        });
        drop(sent);
    }
    drop((scene, provider));
    answering.join().unwrap();
}

/// A thread waits for a call, and meanwhile another call is over for which a task waits.
#[test]
fn a_task_is_told_while_a_thread_waits_for_another_call() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let sent = gate.with_timeout(10 * PATIENCE).send(b"slow").unwrap();
    let waiting = thread::spawn(move || sent.wait().map(|result| result.to_vec()));
    let (request, slow) = jobs.recv_timeout(PATIENCE).unwrap();
    // Let it wait, so that the answers are left to it.
    thread::sleep(Duration::from_millis(50));
    for _ in 0..3 {
        let (told, telling) = mpsc::channel();
        let is_over = waker(move || told.send(()).unwrap_or(()));
        let mut polled = gate.send(b"polled").unwrap();
        assert!(poll(&mut polled, &is_over).is_pending());
        let (request, responder) = jobs.recv_timeout(PATIENCE).unwrap();
        responder.reply(&request).unwrap();
        telling.recv_timeout(PATIENCE).expect("it is told");
        assert_eq!(*block_on(polled).unwrap(), *b"polled");
    }
    slow.reply(&request).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), b"slow");
}

/// A plugin had come to a new broker while a thread waited for a call over a link of the old one. Calls over links of
/// the new one that waited for slots were not sent until that wait was over.
#[test]
fn calls_over_another_broker_are_sent_while_a_thread_waits() {
    let (old, mut new) = (scene(Dispatch::Thread), scene(Dispatch::Thread));
    drop(new.take_caller());
    let (_old_provider, slow, jobs) = deferring(&old);
    let sent = slow.with_timeout(10 * PATIENCE).send(b"slow").unwrap();
    let waiting = thread::spawn(move || sent.wait().map(|result| result.to_vec()));
    let (request, responder) = jobs.recv_timeout(PATIENCE).unwrap();
    // Let it wait, so that the answers are left to it.
    thread::sleep(Duration::from_millis(50));
    let caller = old.caller();
    caller.rejoin(new.broker.connect().unwrap()).unwrap();
    let (give, jobs) = mpsc::channel();
    let give = Mutex::new(give);
    let later = move |_: Context<'_>, request: &[u8], responder| {
        let job = (request.to_vec(), responder);
        give.lock().unwrap().send(job).unwrap();
    };
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let provided = dynamic::provide_later(&new.provider, "Bytes.New", &signature, later).unwrap();
    let gate = dynamic::open(caller, "Bytes.New", &signature).unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    let gate = gate.with_timeout(10 * PATIENCE);
    // More than have slots at once.
    let sent: Vec<_> = (0..100).map(|_| gate.send(b"").unwrap()).collect();
    thread::sleep(Duration::from_millis(50));
    let (answered, answering) = echo(jobs);
    await_that("all are answered", || {
        answered.load(Ordering::SeqCst) == 100
    });
    responder.reply(&request).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), b"slow");
    drop((sent, gate, old, new, provided));
    answering.join().unwrap();
}

/// Closing ends the wait of a thread that takes the answers.
#[test]
fn closing_ends_such_a_wait() {
    let mut scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let sent = gate.with_timeout(10 * PATIENCE).send(b"never").unwrap();
    let waiting = thread::spawn(move || sent.wait().map(|result| result.to_vec()));
    let _held = jobs.recv_timeout(PATIENCE).unwrap();
    thread::sleep(Duration::from_millis(20));
    drop(scene.take_caller());
    assert!(waiting.join().unwrap().is_err());
}

/// Who takes the answers changes all the time; where somebody is forgotten, a call is over at its deadline.
#[test]
fn threads_and_tasks_wait_in_any_mix() {
    let scene = scene(Dispatch::Thread);
    let (provider, gate, jobs) = deferring(&scene);
    let (_, answering) = echo(jobs);
    let gate = gate.with_timeout(PATIENCE);
    thread::scope(|scope| {
        for thread in 0..3_u32 {
            let gate = &gate;
            scope.spawn(move || {
                for n in 0..300 {
                    match (n + thread) % 5 {
                        0 => drop(gate.send(b"dropped").unwrap()),
                        1 => {
                            let sent = gate.send(b"task").unwrap();
                            assert_eq!(*block_on(sent).unwrap(), *b"task");
                        }
                        2 => {
                            let sent: Vec<_> = (0..20).map(|_| gate.send(b"x").unwrap()).collect();
                            for sent in sent.into_iter().rev() {
                                assert_eq!(*sent.wait().unwrap(), *b"x");
                            }
                        }
                        _ => ask(gate, n),
                    }
                }
            });
        }
    });
    drop((gate, scene, provider));
    answering.join().unwrap();
}
