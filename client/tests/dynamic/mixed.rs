//! All kinds of calls at once; none of them is lost.

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use callgate_client::dynamic::{Bytes, Gate, Responder};
use callgate_client::{Code, Dispatch, HandlerError, Result};

use crate::scene::{Job, PATIENCE, await_that, block_on, deferring, scene};

/// The number of slots of a link that one gate may use.
const OF_A_GATE: usize = 32;

/// Random numbers that a seed reproduces.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Lengths for payloads inline, in the payload blocks, and in extents.
fn length(random: &mut Random) -> u64 {
    match random.below(20) {
        0 => 100_000 + random.below(100_000),
        1..6 => 200 + random.below(8_000),
        _ => 1 + random.below(100),
    }
}

fn expect(outcome: Result<Bytes>, request: &[u8], hasty: bool) {
    match outcome {
        Ok(bytes) => assert!(*bytes == *request, "an answer to another call"),
        Err(error) => {
            let is_late = [Code::Timeout, Code::Overloaded].contains(&error.code());
            let is_failed = error.code() == Code::HandlerError;
            assert!(is_failed || hasty && is_late, "{error}");
        }
    }
}

/// The calls of one thread, of every kind.
fn call(gate: &Gate, seed: u64) {
    let mut random = Random(seed);
    let mut under_way = Vec::new();
    for _ in 0..1_500 {
        let request = vec![random.below(256) as u8; length(&mut random) as usize];
        let hasty = gate.with_timeout(Duration::from_micros(200 + random.below(4_000)));
        match random.below(10) {
            0 => expect(gate.call(&request), &request, false),
            1 => expect(hasty.call(&request), &request, true),
            2 => drop(gate.send(&request).unwrap()),
            3 => expect(hasty.send(&request).unwrap().wait(), &request, true),
            4 => expect(block_on(hasty.send(&request).unwrap()), &request, true),
            _ => under_way.push((gate.send(&request).unwrap(), request)),
        }
        while under_way.len() > 40 {
            let at = random.below(under_way.len() as u64) as usize;
            let (sent, request) = under_way.swap_remove(at);
            match random.below(4) {
                0 => drop(sent),
                1 => expect(block_on(sent), &request, false),
                _ => expect(sent.wait(), &request, false),
            }
        }
    }
    for (sent, request) in under_way {
        expect(sent.wait(), &request, false);
    }
}

/// Answers calls, some of them late and some with a failure; keeps those that ask for it unanswered.
fn answer(jobs: &Mutex<Receiver<Job>>, held: &Mutex<Vec<Responder>>, seed: u64) {
    let mut random = Random(seed);
    loop {
        let next = jobs.lock().unwrap().recv();
        let Ok((request, responder)) = next else {
            return;
        };
        if request == b"hold" {
            held.lock().unwrap().push(responder);
            continue;
        }
        match random.below(30) {
            0 => drop(responder),
            1 => responder.fail(HandlerError::new("NO", "no")).unwrap(),
            2 => {
                thread::sleep(Duration::from_millis(2));
                responder.reply(&request).unwrap();
            }
            _ => responder.reply(&request).unwrap(),
        }
    }
}

/// Calls that are sent, dropped, late and waited for, from several threads, and answers, late and failures
/// from several others: each gets its own outcome, and all slots and blocks are free again.
#[test]
fn calls_of_every_kind_from_many_threads_leave_no_slot_taken() {
    for dispatch in [Dispatch::Thread, Dispatch::Pool(3)] {
        let scene = scene(dispatch);
        let (provider, gate, jobs) = deferring(&scene);
        let gate = gate.with_timeout(2 * PATIENCE);
        let (jobs, held) = (Arc::new(Mutex::new(jobs)), Arc::<Mutex<Vec<_>>>::default());
        let answering = [3, 5].map(|seed| {
            let (jobs, held) = (jobs.clone(), held.clone());
            thread::spawn(move || answer(&jobs, &held, seed))
        });
        thread::scope(|scope| {
            for seed in 1..=4 {
                let gate = &gate;
                scope.spawn(move || call(gate, 77 * seed));
            }
        });
        let sent: Vec<_> = (0..OF_A_GATE)
            .map(|_| gate.send(b"hold").unwrap())
            .collect();
        await_that("all slots are free", || {
            held.lock().unwrap().len() == OF_A_GATE
        });
        for responder in held.lock().unwrap().drain(..) {
            responder.reply(&vec![1; 1_500]).unwrap();
        }
        sent.into_iter()
            .for_each(|sent| assert_eq!(sent.wait().unwrap().len(), 1_500));
        drop((provider, scene));
        answering.into_iter().for_each(|one| one.join().unwrap());
    }
}
