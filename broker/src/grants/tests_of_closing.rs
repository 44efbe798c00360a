//! Tests of names that are closed, and of names under a prefix.

use super::indexes::RESTING;
use super::tests::{ONE, known, names, numbered};
use super::*;

fn granted_index(grants: &mut Grants, number: u32) -> Option<u16> {
    let due = Instant::now();
    let sent = grants.want(names(&numbered(number)), ONE, due).ok()?;
    let index = sent.unwrap().index;
    assert_eq!(grants.installed(index, due), Ok(Some(numbered(number))));
    Some(index)
}

/// An index was given away again before its provider had acknowledged that it refuses it; or never, so that the 65,537th name on a link
/// failed for good.
#[test]
fn an_index_is_free_when_the_provider_has_said_so() {
    let mut grants = known(Instant::now());
    for number in 0..65_536 {
        assert_eq!(granted_index(&mut grants, number), Some(number as u16));
    }
    assert_eq!(granted_index(&mut grants, 70_000), None);
    grants.close("5");
    assert_eq!(grants.take_revoked(), [5]);
    assert_eq!(granted_index(&mut grants, 70_000), None, "not refused yet");
    // One `Revoke` at a time; what is closed meanwhile goes into the next one.
    for closed in ["9", "7"] {
        grants.close(closed);
    }
    assert!(grants.take_revoked().is_empty());
    grants.refused(&[5]);
    assert_eq!(grants.take_revoked(), [7, 9]);
    assert_eq!(granted_index(&mut grants, 70_000), Some(5));
    assert_eq!(granted_index(&mut grants, 70_001), None);
    grants.refused(&[9, 7]);
    assert_eq!(granted_index(&mut grants, 70_001), Some(9), "freed first");
    assert_eq!(granted_index(&mut grants, 70_002), Some(7));
    assert!(grants.take_revoked().is_empty());
}

/// Names under a prefix are opened and closed all the time.
#[test]
fn nothing_is_left_of_names_that_were_closed() {
    let mut grants = known(Instant::now());
    let mut revokes = 0;
    for number in 0..200_000 {
        let index = granted_index(&mut grants, number);
        // An index rests as long as it can without the provider's tables growing.
        assert_eq!(index, Some((number as usize % RESTING) as u16));
        grants.close(&number.to_string());
        let revoked = grants.take_revoked();
        revokes += revoked.len();
        grants.refused(&revoked);
        assert!(grants.grants.is_empty() && grants.current.is_empty());
    }
    assert_eq!(revokes, 200_000);
    assert!(grants.due.is_empty() && grants.closed.is_empty() && grants.revoking == 0);
}

/// The peer opens a name again while its index is being revoked.
#[test]
fn a_name_that_is_opened_again_gets_another_index() {
    let due = Instant::now();
    let mut grants = known(due);
    assert_eq!(granted_index(&mut grants, 1), Some(0));
    grants.close("1");
    assert_eq!(grants.take_revoked(), [0]);
    assert_eq!(granted_index(&mut grants, 1), Some(1));
    grants.close("1");
    assert!(grants.take_revoked().is_empty(), "one at a time");
    assert_eq!(granted_index(&mut grants, 1), Some(2));
    grants.refused(&[0]);
    assert_eq!(grants.take_revoked(), [1]);
    assert_eq!(grants.index_of("1"), Some(2));
    grants.refused(&[1]);
    assert_eq!(grants.grants.len(), 1);
}

/// A name can be closed before its grant is sent, before the grant is acknowledged, and while its gate is gone.
#[test]
fn a_name_can_be_closed_at_any_time() {
    let due = Instant::now();
    let one = numbered(1);
    // The provider does not know its peer yet.
    let mut grants = Grants::default();
    assert_eq!(grants.want(names(&one), ONE, due), Ok(None));
    grants.close("1");
    assert!(grants.take_revoked().is_empty() && grants.grants.is_empty());
    assert_eq!(grants.peer_known(due), []);
    // The grant was sent twice, and is not acknowledged.
    grants.want(names(&one), ONE, due).unwrap().unwrap();
    grants.withdraw("1");
    grants.want(names(&one), ONE, due).unwrap().unwrap();
    grants.close("1");
    assert_eq!(grants.take_revoked(), [1]);
    assert_eq!(grants.installed(1, due), Ok(None));
    grants.refused(&[1]);
    assert!(
        grants.grants.contains_key(&1),
        "an acknowledgement is missing"
    );
    assert_eq!(grants.installed(1, due), Ok(None));
    assert!(grants.grants.is_empty() && grants.is_settled());
    // The gate is withdrawn and then closed, and the other way round.
    assert_eq!(granted_index(&mut grants, 1), Some(2));
    grants.withdraw("1");
    grants.close("1");
    grants.withdraw("1");
    grants.close("1");
    assert_eq!(grants.take_revoked(), [2]);
    grants.refused(&[2]);
    grants.refused(&[2]);
    assert!(grants.grants.is_empty() && grants.revoking == 0);
}

/// A right is taken back while indexes wait to be revoked: those that the right is about are revoked at once.
#[test]
fn what_waits_to_be_revoked_is_forbidden_at_once() {
    let mut grants = known(Instant::now());
    for number in 0..4 {
        granted_index(&mut grants, number);
        grants.close(&number.to_string());
    }
    assert_eq!(grants.take_revoked(), [0]);
    grants.revoke(|gate, _| gate == "2");
    assert_eq!(grants.take_revoked(), [2]);
    grants.refused(&[0]);
    assert!(grants.take_revoked().is_empty(), "another one is out");
    grants.refused(&[2]);
    assert_eq!(grants.take_revoked(), [1, 3]);
    grants.refused(&[1, 3]);
    assert!(grants.grants.is_empty());
}

/// A provider that denies a name keeps nothing under its index, so nothing has to be revoked.
#[test]
fn an_index_under_which_there_is_nothing_is_free() {
    let due = Instant::now();
    let mut grants = known(due);
    let one = numbered(1);
    grants.want(names(&one), ONE, due).unwrap().unwrap();
    assert_eq!(grants.not_provided(0, due), Ok(Some(one.clone())));
    assert!(grants.grants.is_empty() && grants.is_settled());
    assert_eq!(grants.not_provided(0, due), Err(()));
    // If two grants are out, the last answer counts.
    grants.want(names(&one), ONE, due).unwrap().unwrap();
    grants.withdraw("1");
    grants.want(names(&one), ONE, due).unwrap().unwrap();
    assert_eq!(grants.not_provided(1, due), Ok(None));
    assert_eq!(grants.installed(1, due), Ok(Some(one.clone())));
    // The denial comes when the name is closed already.
    grants.withdraw("1");
    grants.want(names(&one), ONE, due).unwrap().unwrap();
    grants.close("1");
    assert_eq!(grants.take_revoked(), [1]);
    assert_eq!(grants.not_provided(1, due), Ok(None));
    grants.refused(&[1]);
    assert!(grants.grants.is_empty() && grants.revoking == 0);
}

/// The names that a prefix provided go with it; names under it that something else provides stay.
#[test]
fn a_prefix_that_is_gone_takes_its_names_along() {
    let due = Instant::now();
    let mut grants = known(due);
    let [prefix, longer] = ["a.", "a.b."].map(Arc::<str>::from);
    let gates = ["a.x", "a.b.x", "a.y", "b"].map(Arc::<str>::from);
    let by = [&prefix, &longer, &gates[2], &gates[3]];
    for (gate, by) in gates.iter().zip(by) {
        let sent = grants.want((gate, by), ONE, due).unwrap().unwrap();
        assert_eq!(grants.installed(sent.index, due), Ok(Some(gate.clone())));
    }
    let callable = |grants: &Grants| gates.clone().map(|gate| grants.index_of(&gate));
    grants.withdraw("a.");
    assert_eq!(callable(&grants), [None, Some(1), Some(2), Some(3)]);
    grants.withdraw("a.y");
    assert_eq!(callable(&grants), [None, Some(1), None, Some(3)]);
    // A gate provides the name now. The index stays as long as the types do.
    let sent = grants.want((&gates[0], &gates[0]), ONE, due).unwrap();
    assert_eq!(sent.unwrap().index, 0);
    grants.revoke(|_, by| by == "a.b.");
    assert_eq!(grants.take_revoked(), [1]);
}

/// A longer prefix came, which denies a name that was open by the shorter one; it was never asked.
#[test]
fn who_provides_a_name_by_another_prefix_is_asked_for_it() {
    let due = Instant::now();
    let (name, short, long): (Arc<str>, Arc<str>, Arc<str>) =
        ("a.b.c".into(), "a.".into(), "a.b.".into());
    let mut grants = known(due);
    for by in [&short, &long] {
        let sent = grants.want((&name, by), ONE, due);
        assert_eq!(sent.unwrap().unwrap().index, 0);
        assert_eq!(grants.installed(0, due), Ok(Some(name.clone())));
        assert_eq!(grants.want((&name, by), ONE, due), Ok(None));
    }
}

/// A closed index is revoked later. Meanwhile it had become free, and belonged to another gate.
#[test]
fn an_index_that_is_another_gate_s_by_now_is_not_taken_back() {
    let due = Instant::now();
    let mut grants = known(due);
    let sent = grants.want(names(&numbered(0)), ONE, due).unwrap();
    let closed = sent.unwrap().index;
    let late = granted_index(&mut grants, 1).unwrap();
    grants.close("1");
    assert_eq!(grants.take_revoked(), [late]);
    grants.close("0");
    assert_eq!(grants.not_provided(closed, due), Ok(None));
    // Until enough other indexes are free for this one to be used again.
    for number in 2..1 + RESTING as u32 {
        let sent = grants.want(names(&numbered(number)), ONE, due).unwrap();
        let index = sent.unwrap().index;
        assert_eq!(grants.not_provided(index, due), Ok(Some(numbered(number))));
    }
    assert_eq!(granted_index(&mut grants, 9999), Some(closed));
    grants.refused(&[late]);
    assert!(grants.take_revoked().is_empty());
    assert_eq!(grants.index_of("9999"), Some(closed));
}

/// A provider denies each name, and never acknowledges that it refuses what was closed before.
#[test]
fn nothing_grows_while_a_provider_does_not_refuse() {
    let due = Instant::now();
    let mut grants = known(due);
    granted_index(&mut grants, 0);
    grants.close("0");
    assert_eq!(grants.take_revoked(), [0]);
    for number in 1..10_000 {
        let sent = grants.want(names(&numbered(number)), ONE, due).unwrap();
        grants.close(&number.to_string());
        assert_eq!(grants.closed.len(), 1);
        let index = sent.unwrap().index;
        assert_eq!(grants.not_provided(index, due), Ok(None));
        assert!(grants.closed.is_empty() && grants.grants.len() == 1);
    }
    assert!(grants.take_revoked().is_empty());
}

/// Closed indexes wait for their turn, also when withdrawn gates are forgotten.
#[test]
fn what_is_closed_is_not_revoked_with_what_was_withdrawn() {
    let due = Instant::now();
    let mut grants = known(due);
    for number in 0..100 {
        granted_index(&mut grants, number);
        grants.close(&number.to_string());
    }
    assert_eq!(grants.take_revoked(), [0]);
    for number in 100..100 + TIDY_AT as u32 {
        granted_index(&mut grants, number);
        grants.withdraw(&number.to_string());
    }
    assert!(grants.take_revoked().is_empty(), "closed ones do not count");
    granted_index(&mut grants, 9999);
    let withdrawn = Vec::from_iter(100..100 + TIDY_AT as u16);
    assert_eq!(grants.take_revoked(), withdrawn);
    grants.refused(&withdrawn);
    assert!(grants.take_revoked().is_empty(), "the first one is out");
    grants.refused(&[0]);
    assert_eq!(grants.take_revoked(), Vec::from_iter(1..100));
}

/// A revocation that is under way and that a change of policy relies on is reported once.
#[test]
fn what_is_being_revoked_and_is_forbidden_then_is_said_once() {
    let mut grants = known(Instant::now());
    for number in 0..2 {
        granted_index(&mut grants, number);
        grants.close(&number.to_string());
    }
    assert_eq!(grants.take_revoked(), [0]);
    assert!(grants.revoke(|_, _| false).is_empty());
    assert_eq!(grants.revoke(|_, _| true), [0_u16]);
    assert_eq!(grants.take_revoked(), [1]);
    assert!(grants.revoke(|_, _| true).is_empty());
    assert!(grants.take_revoked().is_empty());
}
