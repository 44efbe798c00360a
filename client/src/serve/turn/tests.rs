use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::*;
use crate::base::backoff::WaitPolicy;

const ONE: u64 = 1 << 63 | 1;
const TWO: u64 = 1 << 63 | 2;

fn patient(backoff: &Backoff) -> Patience<'_> {
    Patience {
        deadline: u64::MAX >> 1,
        cancel: None,
        backoff,
    }
}

#[test]
fn a_chain_comes_back_in_and_another_does_not() {
    let turn_lock = TurnLock::default();
    let outer = turn_lock.visit(ONE).unwrap();
    let inner = turn_lock.begin(ONE).unwrap();
    assert!(turn_lock.visit(TWO).is_none());
    assert!(turn_lock.begin(TWO).is_none());
    turn_lock.end(inner);
    assert!(turn_lock.visit(TWO).is_none());
    turn_lock.end(outer);
    let other = turn_lock.visit(TWO).unwrap();
    turn_lock.end(other);
}

/// A thread that had reserved the next turn got a turn because its chain lent one. The reservation stayed, and no
/// other chain had a turn ever again.
#[test]
fn a_reservation_ends_with_the_wait() {
    let (turn_lock, backoff) = (TurnLock::default(), Backoff::new(WaitPolicy::Park));
    let outer = turn_lock.visit(ONE).unwrap();
    thread::scope(|scope| {
        let inner = scope.spawn(|| {
            let turn = turn_lock.visit_until((ONE, false), &mut patient(&backoff));
            turn_lock.end(turn.unwrap());
        });
        while !turn_lock.is_wanted() {
            thread::yield_now();
        }
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(1));
            turn_lock.tell();
        }
        let lent = turn_lock.begin_lending(ONE).unwrap();
        inner.join().unwrap();
        assert!(turn_lock.end_lending(lent));
    });
    turn_lock.end(outer);
    assert_eq!(turn_lock.holder(), None);
    turn_lock.end(turn_lock.visit(TWO).unwrap());
}

fn is_asleep(thread: &Path) -> bool {
    let stat = fs::read_to_string(thread.join("stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.starts_with(" S")
}

/// A thread that waited for a turn looked for it again and again, and occupied a processor.
#[test]
fn who_waits_for_a_turn_sleeps() {
    let (turn_lock, backoff) = (TurnLock::default(), Backoff::new(WaitPolicy::Park));
    let turn = turn_lock.visit(ONE).unwrap();
    let (told, telling) = mpsc::channel();
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            told.send(fs::read_link("/proc/thread-self").unwrap())
                .unwrap();
            let turn = turn_lock.visit_until((TWO, false), &mut patient(&backoff));
            turn_lock.end(turn.unwrap());
        });
        let thread = Path::new("/proc").join(telling.recv().unwrap());
        let until = Instant::now() + Duration::from_secs(20);
        let mut looks = 0;
        while looks < 5 && Instant::now() < until {
            thread::sleep(Duration::from_millis(2));
            let sleeps = turn_lock.is_wanted() && is_asleep(&thread);
            looks = if sleeps { looks + 1 } else { 0 };
        }
        turn_lock.end(turn);
        waits.join().unwrap();
        assert_eq!(looks, 5, "it is never asleep for long");
    });
}

/// Handlers ran on two threads at once.
#[test]
fn turns_exclude_each_other() {
    let (turn_lock, backoff) = (TurnLock::default(), Backoff::new(WaitPolicy::Adaptive));
    let inside = AtomicU32::new(0);
    let visit = |chain: u64| {
        for _ in 0..2_000 {
            let turn = turn_lock
                .visit(chain)
                .or_else(|| turn_lock.visit_until((chain, false), &mut patient(&backoff)));
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            inside.fetch_sub(1, Ordering::SeqCst);
            turn_lock.end(turn.unwrap());
        }
    };
    thread::scope(|scope| {
        for thread in 1..4 {
            let visit = &visit;
            scope.spawn(move || visit(1 << 63 | thread));
        }
    });
    assert_eq!(turn_lock.holder(), None);
}
