//! Tests of the grants of one side.

use super::indexes::RESTING;
use super::*;

use callgate_layout::control::{LinkEnd, LinkToPlugin};

pub(super) const ONE: Prints = [Some(1), None];
const OTHER: Prints = [Some(2), None];

fn gate() -> Arc<str> {
    "Rack.Filter".into()
}

/// The names of a gate that is provided by itself, not under a prefix.
pub(super) fn names(gate: &Arc<str>) -> (&Arc<str>, &Arc<str>) {
    (gate, gate)
}

pub(super) fn known(due: Instant) -> Grants {
    let mut grants = Grants::default();
    assert_eq!(grants.peer_known(due), []);
    grants
}

fn granted(index: u16, prints: Prints) -> Result<Option<Granted>, ()> {
    let gate = gate();
    Ok(Some(Granted {
        index,
        gate,
        prints,
    }))
}

/// A provider that does not know its peer yet could not install a grant for it.
#[test]
fn a_grant_waits_for_the_peer() {
    let due = Instant::now();
    let mut grants = Grants::default();
    assert_eq!(grants.want(names(&gate()), ONE, due), Ok(None));
    assert_eq!(grants.peer_known(due).len(), 1);
    assert!(!grants.is_settled() && grants.due() == Some(due));
    assert_eq!(grants.index_of("Rack.Filter"), None);
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.index_of("Rack.Filter"), Some(0));
    assert!(grants.is_settled() && grants.due().is_none());
    assert_eq!(grants.want(names(&gate()), ONE, due), Ok(None));
}

/// An acknowledgement of the first grant must not pass for one of the second.
#[test]
fn a_gate_that_comes_back_is_granted_again_under_its_index() {
    let due = Instant::now();
    let mut grants = known(due);
    assert_eq!(grants.want(names(&gate()), ONE, due), granted(0, ONE));
    grants.withdraw("Rack.Filter");
    assert_eq!(grants.want(names(&gate()), ONE, due), granted(0, ONE));
    assert_eq!(grants.installed(0, due), Ok(None));
    assert_eq!(grants.index_of("Rack.Filter"), None);
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.installed(0, due), Err(()));
    assert_eq!(grants.installed(7, due), Err(()));
}

/// A call for the old shape that is still in the ring would be read as one for the new shape.
#[test]
fn another_shape_gets_another_index() {
    let due = Instant::now();
    let mut grants = known(due);
    assert_eq!(grants.want(names(&gate()), ONE, due), granted(0, ONE));
    grants.withdraw("Rack.Filter");
    assert_eq!(grants.want(names(&gate()), OTHER, due), granted(1, OTHER));
    assert_eq!(grants.installed(1, due), Ok(Some(gate())));
    assert!(
        !grants.is_settled(),
        "the first is still to be acknowledged"
    );
    assert_eq!(grants.installed(0, due), Ok(None));
    assert!(grants.is_settled());
    assert_eq!(grants.installed(0, due), Err(()), "and then forgotten");
    let more = [OTHER[0], Some(3)];
    assert_eq!(
        grants.want(names(&gate()), more, due),
        granted(1, more),
        "a kind came"
    );
}

/// Two plugins, one of which provides and withdraws gates for ever, must not fill the broker's memory.
#[test]
fn withdrawn_gates_are_forgotten_in_time() {
    let due = Instant::now();
    let mut grants = known(due);
    for number in 0..5000u32 {
        let gate: Arc<str> = number.to_string().into();
        let sent = grants.want(names(&gate), ONE, due).unwrap().unwrap();
        assert_eq!(grants.installed(sent.index, due), Ok(Some(gate.clone())));
        grants.withdraw(&gate);
    }
    // What is forgotten here has to be refused there; otherwise it would serve again.
    let revoked = grants.take_revoked();
    grants.refused(&revoked);
    assert!(grants.grants.len() <= TIDY_AT && grants.current.len() <= TIDY_AT);
    assert_eq!(revoked.len() + grants.grants.len(), 5000);
    assert!(
        revoked
            .iter()
            .all(|index| !grants.grants.contains_key(index))
    );
}

/// The provider serves under a grant what it provided when the grant came. A half that is added must not be called before the gate is
/// granted again.
#[test]
fn a_gate_that_gets_its_other_face_is_granted_again() {
    const BOTH: Prints = [Some(1), Some(1)];
    let due = Instant::now();
    let mut grants = known(due);
    assert_eq!(grants.want(names(&gate()), ONE, due), granted(0, ONE));
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.want(names(&gate()), BOTH, due), granted(0, BOTH));
    assert_eq!(grants.index_of("Rack.Filter"), None);
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.index_of("Rack.Filter"), Some(0));
    for prints in [ONE, BOTH] {
        assert_eq!(
            grants.want(names(&gate()), prints, due),
            Ok(None),
            "no news"
        );
    }
}

pub(super) fn numbered(number: u32) -> Arc<str> {
    number.to_string().into()
}

/// If a side has more gates in use than the number at which it is tidied, none of them may lose its index, and a further one must not cause
/// a search through all of them.
#[test]
fn gates_in_use_are_not_tidied_away() {
    let due = Instant::now();
    let mut grants = known(due);
    let many = 3 * TIDY_AT as u32;
    for number in 0..many {
        let sent = grants
            .want(names(&numbered(number)), ONE, due)
            .unwrap()
            .unwrap();
        // Every other one is not acknowledged yet.
        if number % 2 == 0 {
            assert!(grants.installed(sent.index, due).is_ok());
        }
    }
    assert!(grants.take_revoked().is_empty());
    assert_eq!(grants.grants.len(), many as usize);
    assert_eq!(
        grants.left,
        2 * TIDY_AT,
        "at twice as many as the last time"
    );
    for number in 0..many {
        let index = grants.index_of(&number.to_string());
        let expected = u16::try_from(number).ok().filter(|at| at % 2 == 0);
        assert_eq!(index, expected, "{number}");
    }
    // A withdrawn gate whose acknowledgement is still to come stays.
    grants.withdraw("0");
    grants.withdraw("1");
    grants.tidy();
    assert_eq!(grants.take_revoked(), [0_u16]);
    assert_eq!(grants.installed(1, due), Ok(None));
    grants.tidy();
    assert_eq!(grants.take_revoked(), [1_u16]);
    assert_eq!(grants.left, many as usize - 2);
}

/// Gates that come and go beside many that stay must be forgotten, too.
#[test]
fn withdrawn_gates_are_forgotten_beside_many_in_use() {
    let due = Instant::now();
    let mut grants = known(due);
    let stay = 2 * TIDY_AT as u32;
    for number in 0..10 * stay {
        let gate = numbered(number);
        let sent = grants.want(names(&gate), ONE, due).unwrap().unwrap();
        assert!(grants.installed(sent.index, due).is_ok());
        if number >= stay {
            grants.withdraw(&gate);
        }
        let revoked = grants.take_revoked();
        grants.refused(&revoked);
        assert!(grants.grants.len() <= 2 * stay as usize + 1);
    }
}

/// A gate whose types change for ever must neither fill the broker's memory nor use up all indexes.
#[test]
fn replaced_grants_are_forgotten_in_time() {
    let due = Instant::now();
    let mut grants = known(due);
    let mut revoked = Vec::new();
    for print in 0..5000 {
        let prints = [Some(print), None];
        let sent = grants.want(names(&gate()), prints, due).unwrap().unwrap();
        // At most so many rest, so many are not tidied yet, and one is in use.
        assert!(usize::from(sent.index) <= RESTING + TIDY_AT);
        assert_eq!(grants.installed(sent.index, due), Ok(Some(gate())));
        let more = grants.take_revoked();
        grants.refused(&more);
        revoked.extend(more);
        assert!(grants.grants.len() <= TIDY_AT);
    }
    assert_eq!(revoked.len() + grants.grants.len(), 5000);
    assert!(grants.index_of("Rack.Filter").is_some());
}

/// Two grants of one index are out. The first acknowledgement says nothing about the second one, which has a deadline of its own.
#[test]
fn the_second_of_two_grants_has_a_time_of_its_own() {
    let first = Instant::now();
    let second = first + std::time::Duration::from_secs(1);
    let mut grants = known(first);
    assert_eq!(grants.want(names(&gate()), ONE, first), granted(0, ONE));
    grants.withdraw("Rack.Filter");
    assert_eq!(grants.want(names(&gate()), ONE, second), granted(0, ONE));
    assert_eq!(grants.due(), Some(first));
    assert_eq!(grants.installed(0, second), Ok(None));
    assert!(!grants.is_settled());
    assert_eq!(grants.due(), Some(second));
    assert!(grants.give_up(first).is_empty());
    assert_eq!(grants.give_up(second), [gate()]);
    assert_eq!(grants.installed(0, second), Ok(Some(gate())), "late");
}

/// A grant tells the provider the types with which each half is called.
#[test]
fn a_grant_says_what_may_be_called() {
    let end = LinkEnd { link: 4, side: 1 };
    let granted = Granted {
        index: 9,
        gate: gate(),
        prints: [Some(77), None],
    };
    let expected = LinkToPlugin::Grant {
        end,
        index: 9,
        gate: "Rack.Filter".to_owned(),
        function: Some(77),
        action: None,
    };
    assert_eq!(granted.record(end), expected);
}

/// A half that comes back changed gets a new index, whatever the other half is; one that comes back as it was keeps its index.
#[test]
fn a_half_that_changed_gets_another_index() {
    let (one, other) = (Some(1), Some(2));
    let due = Instant::now();
    for (before, after, index) in [
        ([one, one], [one, one], 0),
        ([one, one], [one, None], 0),
        ([one, one], [None, one], 0),
        ([one, None], [None, one], 0),
        ([one, one], [other, one], 1),
        ([one, one], [one, other], 1),
        ([one, one], [None, other], 1),
    ] {
        let mut grants = known(due);
        assert_eq!(grants.want(names(&gate()), before, due), granted(0, before));
        assert_eq!(grants.installed(0, due), Ok(Some(gate())));
        grants.withdraw("Rack.Filter");
        let sent = grants.want(names(&gate()), after, due).unwrap().unwrap();
        assert_eq!(sent.index, index, "{before:?} {after:?}");
    }
}

/// A plugin waits again for a grant that was given up: the grant has a deadline again, and is not sent again.
#[test]
fn a_grant_that_was_given_up_can_be_waited_for_again() {
    let (first, second) = (Instant::now(), Instant::now() + TWO_SECONDS);
    let mut grants = known(first);
    assert_eq!(grants.want(names(&gate()), ONE, first), granted(0, ONE));
    assert_eq!(grants.give_up(first), [gate()]);
    assert_eq!(grants.due(), None);
    assert_eq!(grants.want(names(&gate()), ONE, second), Ok(None));
    assert_eq!(grants.due(), Some(second));
    assert_eq!(grants.installed(0, second), Ok(Some(gate())));
    assert_eq!(grants.want(names(&gate()), ONE, second), Ok(None));
    assert_eq!(grants.due(), None, "nothing is to be acknowledged");
}

const TWO_SECONDS: std::time::Duration = std::time::Duration::from_secs(2);
