use std::cell::Cell;

use super::*;

/// A plugin whose broker reads its socket, or does not read, or has ended.
#[derive(Default)]
struct Plugin {
    waits: ReportedWaits,
    sent: Mutex<Vec<WaitToBroker>>,
    refuses: Mutex<Option<Code>>,
}

impl Plugin {
    fn refuse(&self, code: Option<Code>) {
        *self.refuses.lock() = code;
    }

    /// The records that were sent since the last call: each one's name, and the number of the wait.
    fn sent(&self) -> Vec<(&'static str, u64)> {
        let sent = std::mem::take(&mut *self.sent.lock());
        let name = |record| match record {
            WaitToBroker::Waiting { wait, .. } => ("Waiting", wait),
            WaitToBroker::Over { wait } => ("Over", wait),
            WaitToBroker::Confirmed { wait, .. } => ("Confirmed", wait),
        };
        sent.into_iter().map(name).collect()
    }
}

impl Reporter for Plugin {
    fn bus(&self) -> u64 {
        1
    }

    fn waits(&self) -> &ReportedWaits {
        &self.waits
    }

    fn tell(&self, record: WaitToBroker) -> Result<()> {
        if let Some(code) = *self.refuses.lock() {
            return Err(Error::new(code, "not now"));
        }
        self.sent.lock().push(record);
        Ok(())
    }
}

fn about() -> Option<About> {
    Some(About {
        chain: 1,
        callee: 2,
        gate: "B.C".to_owned(),
        needs: Needs::Turn,
        holds: Vec::new(),
        serves: Vec::new(),
        standstill: Standstill::default(),
    })
}

/// Makes a wait last, from this time on.
fn last(wait: &mut Wait<'_>, from: u64) {
    assert_eq!(wait.until(from), from + LASTING);
    wait.tell(from + LASTING - 1, || panic!("it has not lasted yet"));
    wait.tell(from + LASTING, about);
}

#[test]
fn a_wait_is_told_of_once_and_when_it_is_over() {
    let plugin = Plugin::default();
    drop(Wait::new(&plugin));
    assert_eq!(plugin.sent(), []);
    let mut wait = Wait::new(&plugin);
    last(&mut wait, 1_000);
    wait.tell(u64::MAX, || panic!("it was told of"));
    assert_eq!(wait.until(1_000), u64::MAX);
    drop(wait);
    assert_eq!(plugin.sent(), [("Waiting", 1), ("Over", 1)]);
}

/// Running something on top of a wait ends the wait; if the thread waits on after that, it is another wait.
#[test]
fn a_number_stands_for_one_wait() {
    let plugin = Plugin::default();
    let mut wait = Wait::new(&plugin);
    for (from, number) in [(0, 1), (LASTING * 2, 2)] {
        last(&mut wait, from);
        assert_eq!(plugin.sent(), [("Waiting", number)]);
        wait.over();
        assert_eq!(plugin.sent(), [("Over", number)]);
    }
    assert!(!plugin.waits.put(2, Word::Confirm(1)), "it is over");
}

#[test]
fn who_keeps_nothing_from_others_is_told_of_never() {
    let plugin = Plugin::default();
    let mut wait = Wait::new(&plugin);
    let asked = Cell::new(0);
    let nothing = || {
        asked.set(asked.get() + 1);
        None
    };
    let _ = wait.until(0);
    wait.tell(LASTING, nothing);
    assert_eq!((wait.until(LASTING), asked.get()), (u64::MAX, 1));
    drop(wait);
    assert_eq!(plugin.sent(), []);
}

/// The thread must not wait for a broker that does not read, and must not lose an end for which others wait.
#[test]
fn an_end_that_could_not_be_sent_goes_before_the_next_wait() {
    let plugin = Plugin::default();
    let mut first = Wait::new(&plugin);
    last(&mut first, 0);
    plugin.refuse(Some(Code::Overloaded));
    drop(first);
    let mut second = Wait::new(&plugin);
    last(&mut second, 0);
    assert_eq!(plugin.sent(), [("Waiting", 1)]);
    plugin.refuse(None);
    // It tries again after a while.
    assert_eq!(second.until(0), 2 * LASTING);
    second.tell(2 * LASTING, about);
    assert_eq!(plugin.sent(), [("Over", 1), ("Waiting", 2)]);
}

#[test]
fn where_there_is_no_broker_nobody_is_told() {
    let plugin = Plugin::default();
    let mut before = Wait::new(&plugin);
    last(&mut before, 0);
    plugin.refuse(Some(Code::BrokerGone));
    let mut after = Wait::new(&plugin);
    last(&mut after, 0);
    assert_eq!(
        after.until(LASTING),
        u64::MAX,
        "it would wake up for nothing"
    );
    drop((before, after));
    plugin.refuse(None);
    assert_eq!(plugin.sent(), [("Waiting", 1)]);
}

#[test]
fn a_question_is_answered_after_a_look() {
    let plugin = Plugin::default();
    let mut wait = Wait::new(&plugin);
    last(&mut wait, 0);
    assert!(!wait.is_asked() && wait.heard().is_none());
    assert!(plugin.waits.put(1, Word::Confirm(7)));
    assert!(wait.is_asked());
    assert!(matches!(wait.heard(), Some(Word::Confirm(7))));
    assert!(!wait.is_asked() && wait.heard().is_none());
    wait.confirm(7);
    assert_eq!(plugin.sent(), [("Waiting", 1), ("Confirmed", 1)]);
    // An answer that cannot be sent counts as none, and the wait as another one.
    plugin.refuse(Some(Code::Overloaded));
    wait.confirm(8);
    plugin.refuse(None);
    last(&mut wait, 0);
    assert_eq!(plugin.sent(), [("Over", 1), ("Waiting", 2)]);
}

/// A question that came right after the verdict replaced the verdict.
#[test]
fn who_waits_in_vain_is_asked_nothing_more() {
    let plugin = Plugin::default();
    let mut wait = Wait::new(&plugin);
    last(&mut wait, 0);
    let error = Error::new(Code::Deadlock, "A waits for B");
    assert!(plugin.waits.put(1, Word::Deadlock(error)));
    assert!(plugin.waits.put(1, Word::Confirm(1)));
    assert!(matches!(wait.heard(), Some(Word::Deadlock(_))));
}
