//! The slots of a link, and the calls and callers that wait for them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate::BusLimits;
use callgate_client::dynamic::{self, Gate};
use callgate_client::{Code, Context, Dispatch, Plugin, WaitPolicy, signature_of};

use crate::scene::{
    GATE, Job, PATIENCE, await_that, deferring, deferring_at, poll, scene, scene_with, waker,
};

/// The number of calls of one gate that a link allows to be under way at once.
const OF_A_GATE: usize = 32;

/// Answers each call with its own bytes, until the gate is gone.
fn answer_all(jobs: Receiver<Job>) -> JoinHandle<()> {
    thread::spawn(move || {
        while let Ok((request, responder)) = jobs.recv() {
            // The caller may be gone.
            let _ = responder.reply(&request);
        }
    })
}

/// Makes calls that time out before they are answered; returns their jobs.
fn give_up(gate: &Gate, calls: usize, jobs: &Receiver<Job>) -> Vec<Job> {
    let short = gate.with_timeout(Duration::from_millis(30));
    thread::scope(|scope| {
        for _ in 0..calls {
            scope.spawn(|| {
                let error = short.call(b"given up").unwrap_err();
                assert_eq!(error.code(), Code::Timeout, "{error}");
            });
        }
    });
    let coming = || jobs.recv_timeout(PATIENCE).unwrap();
    (0..calls).map(|_| coming()).collect()
}

/// After calls were sent over a link, a late answer still ends a caller's wait for a slot: the thread that looks
/// after sent calls also watches a link that has no sent calls at the moment.
#[test]
fn a_late_answer_ends_a_caller_s_wait_for_a_slot_where_calls_were_sent_before() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let sent = gate.send(b"first").unwrap();
    jobs.recv_timeout(PATIENCE).unwrap().1.reply(b"").unwrap();
    sent.wait().unwrap();
    let late = give_up(&gate, OF_A_GATE, &jobs);
    let patient = gate.with_timeout(2 * PATIENCE);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| patient.call(b"patient"));
        thread::sleep(Duration::from_millis(50));
        for (_, responder) in late {
            responder.reply(b"late").unwrap();
        }
        let (request, responder) = jobs.recv_timeout(PATIENCE).expect("it has a slot");
        responder.reply(&request).unwrap();
        assert_eq!(*waiting.join().unwrap().unwrap(), *b"patient");
    });
}

/// The same if the first call is sent while a caller already waits.
#[test]
fn a_late_answer_ends_a_caller_s_wait_for_a_slot_also_where_calls_are_sent_meanwhile() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let (_other_provider, other, other_jobs) = deferring_at(&scene, "Bytes.Other");
    let _answering = answer_all(other_jobs);
    let late = give_up(&gate, OF_A_GATE, &jobs);
    let patient = gate.with_timeout(2 * PATIENCE);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| patient.call(b"patient"));
        thread::sleep(Duration::from_millis(50));
        assert_eq!(*other.send(b"sent").unwrap().wait().unwrap(), *b"sent");
        thread::sleep(Duration::from_millis(50));
        for (_, responder) in late {
            responder.reply(b"late").unwrap();
        }
        let (request, responder) = jobs.recv_timeout(PATIENCE).expect("it has a slot");
        responder.reply(&request).unwrap();
        assert_eq!(*waiting.join().unwrap().unwrap(), *b"patient");
    });
}

/// Calls that wait for a gate whose slots are all taken do not delay the calls of other gates behind them.
/// behind them.
#[test]
fn a_gate_that_hangs_keeps_no_other_gate_s_calls_waiting() {
    let scene = scene(Dispatch::Thread);
    let (_provider, hanging, jobs) = deferring(&scene);
    let (_other_provider, other, other_jobs) = deferring_at(&scene, "Bytes.Other");
    let _answering = answer_all(other_jobs);
    let hung: Vec<_> = (0..100).map(|_| hanging.send(b"hangs").unwrap()).collect();
    let sent: Vec<_> = (0..100_u8).map(|n| other.send(&[n]).unwrap()).collect();
    for (n, sent) in (0..).zip(sent) {
        assert_eq!(*sent.wait().unwrap(), [n]);
    }
    drop(hung);
    drop(jobs);
}

/// Three gates that all have more calls than slots get slots in turn.
#[test]
fn gates_that_wait_for_slots_take_turns() {
    let scene = scene(Dispatch::Thread);
    let names = ["Bytes.A", "Bytes.B", "Bytes.C"];
    let gates = names.map(|name| deferring_at(&scene, name));
    let sent = gates.each_ref().map(|(_, gate, _)| {
        let sent = (0..200_u8).map(|n| gate.send(&[n]).unwrap());
        sent.collect::<Vec<_>>()
    });
    // Each answer of the first two gates frees one slot, and the third gate gets some of these.
    let [(_, _, first), (_, _, second), (_, _, third)] = &gates;
    let mut answered = 0;
    let until = Instant::now() + PATIENCE;
    let third_s = loop {
        assert!(Instant::now() < until, "the third gate has no turn");
        let due = [first, second]
            .into_iter()
            .filter_map(|jobs| jobs.recv_timeout(Duration::from_millis(20)).ok());
        for (request, responder) in due.collect::<Vec<_>>() {
            responder.reply(&request).unwrap();
            answered += 1;
        }
        if let Ok(job) = third.try_recv() {
            break job;
        }
    };
    assert!(answered < 200, "{answered} others came first");
    third_s.1.reply(&third_s.0).unwrap();
    drop(sent);
}

/// Waiting for space uses no processor time. If a call finds a slot but no space, giving the slot back must not wake
/// the very thread that waits.
#[test]
fn waiting_for_space_uses_no_processor() {
    let limits = BusLimits {
        extent_mib: 4,
        schema_mib: 1,
        share_mib: 8,
        shares: 8,
        ..BusLimits::default()
    };
    let scene = scene_with(Dispatch::Thread, WaitPolicy::Park, limits);
    let (_provider, gate, jobs) = deferring(&scene);
    let thread = thread_of(&gate, &jobs);
    let large = vec![7; 1_500_000];
    let sent: Vec<_> = (0..8).map(|_| gate.send(&large).unwrap()).collect();
    let first = jobs.recv_timeout(PATIENCE).unwrap();
    thread::sleep(Duration::from_millis(100));
    let before = ticks(&thread);
    thread::sleep(Duration::from_millis(400));
    let used = ticks(&thread) - before;
    assert!(used < 10, "the thread has used {used} ticks of 10 ms");
    first.1.reply(b"").unwrap();
    let answering = thread::spawn(move || {
        while let Ok((_, responder)) = jobs.recv() {
            let _ = responder.reply(b"");
        }
    });
    for sent in sent {
        sent.wait().unwrap();
    }
    drop(scene);
    drop(_provider);
    answering.join().unwrap();
}

/// The thread that looks after a plugin's calls, found as the one that wakes up: its directory in `/proc`.
fn thread_of(gate: &Gate, jobs: &Receiver<Job>) -> PathBuf {
    let (told, telling) = mpsc::channel();
    let waker = waker(move || {
        let thread = fs::read_link("/proc/thread-self").unwrap();
        told.send(thread).unwrap();
    });
    let mut sent = gate.send(b"who").unwrap();
    assert!(poll(&mut sent, &waker).is_pending());
    jobs.recv_timeout(PATIENCE).unwrap().1.reply(b"").unwrap();
    let thread = telling.recv_timeout(PATIENCE).unwrap();
    sent.wait().unwrap();
    Path::new("/proc").join(thread)
}

/// The clock ticks of processor time that a thread has used.
fn ticks(thread: &Path) -> u64 {
    let stat = fs::read_to_string(thread.join("stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let used = fields.skip(11).take(2);
    used.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Dropping many waiting calls is quick: not all of them are searched for each one.
#[test]
fn dropping_many_calls_that_wait_is_quick() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let mut sent: Vec<_> = (0..40_000_u32)
        .map(|n| gate.send(&n.to_le_bytes()).unwrap())
        .collect();
    // From the middle outwards, so that it is never the first or the last.
    let begun = Instant::now();
    while !sent.is_empty() {
        drop(sent.swap_remove(sent.len() / 2));
    }
    println!("dropped in {:?}", begun.elapsed());
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    drop(jobs);
}

/// Callers that wait on a thread, and sent calls, both get a share of the slots, whichever are more.
#[test]
fn callers_that_wait_are_not_kept_from_slots_by_calls_that_were_sent() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let _answering = answer_all(jobs);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut under_way = std::collections::VecDeque::new();
            while !is_over.load(Ordering::Relaxed) {
                under_way.push_back(gate.send(b"sent").unwrap());
                if under_way.len() > 300 {
                    under_way.pop_front().unwrap().wait().unwrap();
                }
            }
        });
        let begun = Instant::now();
        let mut waits: Vec<_> = (0..100)
            .map(|_| {
                let begun = Instant::now();
                let outcome = gate.with_timeout(PATIENCE).call(b"waited for");
                outcome.map(|_| begun.elapsed())
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        let mut took: Vec<_> = waits.drain(..).map(|one| one.unwrap()).collect();
        took.sort();
        println!(
            "all {:?}, median {:?}, most {:?}",
            begun.elapsed(),
            took[50],
            took[99]
        );
        assert!(took[99] < PATIENCE / 4, "{took:?}");
    });
}

/// Sent calls get slots although more callers wait than there are slots.
#[test]
fn calls_that_were_sent_are_not_kept_from_slots_by_callers_that_wait() {
    let scene = scene(Dispatch::Thread);
    let (_provider, gate, jobs) = deferring(&scene);
    let _answering = answer_all(jobs);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 * OF_A_GATE {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    gate.with_timeout(PATIENCE).call(b"waited for").unwrap();
                }
            });
        }
        let begun = Instant::now();
        let mut took: Vec<_> = (0..100)
            .map(|_| {
                let begun = Instant::now();
                gate.with_timeout(PATIENCE)
                    .send(b"sent")
                    .unwrap()
                    .wait()
                    .map(|_| begun.elapsed())
            })
            .collect();
        is_over.store(true, Ordering::Relaxed);
        let mut took: Vec<_> = took.drain(..).map(|one| one.unwrap()).collect();
        took.sort();
        println!(
            "all {:?}, median {:?}, most {:?}",
            begun.elapsed(),
            took[50],
            took[99]
        );
        assert!(took[99] < PATIENCE / 4, "{took:?}");
    });
}

/// Calls that wait for a slot follow their gate when it moves to another provider, and do not fail.
#[test]
fn calls_that_waited_for_a_slot_follow_their_gate() {
    let scene = scene(Dispatch::Thread);
    let (provided, gate, jobs) = deferring(&scene);
    let gate = gate.with_timeout(2 * PATIENCE);
    let sent: Vec<_> = (0..OF_A_GATE + 8)
        .map(|_| gate.send(b"x").unwrap())
        .collect();
    let held: Vec<_> = (0..OF_A_GATE)
        .map(|_| jobs.recv_timeout(PATIENCE).unwrap())
        .collect();
    drop(provided);
    let builder = Plugin::builder("next").descriptor(scene.broker.connect().unwrap());
    let next = builder.direct_calls(false).connect().unwrap();
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let echo = |_: Context<'_>, request: &[u8]| Ok(request.to_vec());
    let _provided = dynamic::provide(&next, GATE, &signature, echo).unwrap();
    await_that("it has moved", || gate.owner().as_deref() == Some("next"));
    for (request, responder) in held {
        responder.reply(&request).unwrap();
    }
    for sent in sent {
        assert_eq!(*sent.wait().unwrap(), *b"x");
    }
}

/// A provider that never sleeps notices that there is space for a waiting answer, without a further call.
#[test]
fn an_answer_without_space_is_published_where_the_provider_never_sleeps() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(2)] {
        let scene = scene_with(dispatch, WaitPolicy::Spin, BusLimits::default());
        let (_provider, gate, jobs) = deferring_at(&scene, GATE);
        let begun = Instant::now();
        let sent = gate.with_timeout(2 * PATIENCE).send(b"x").unwrap();
        let (_, responder) = jobs.recv_timeout(PATIENCE).unwrap();
        thread::sleep(Duration::from_millis(20));
        responder.reply(&vec![1; 3 << 20]).unwrap();
        assert_eq!(sent.wait().unwrap().len(), 3 << 20);
        assert!(begun.elapsed() < PATIENCE);
        await_that("it is over", || jobs.try_recv().is_err());
    }
}
