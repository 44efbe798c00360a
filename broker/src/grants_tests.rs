//! Tests of the grants of one side.

use super::*;

const ONE: Shapes = [Some((1, 1)), None];
const OTHER: Shapes = [Some((1, 2)), None];

fn gate() -> Arc<str> {
    "Rack.Filter".into()
}

fn known(due: Instant) -> Grants {
    let mut grants = Grants::default();
    assert_eq!(grants.peer_known(due), []);
    grants
}

fn granted(index: u16, shapes: Shapes) -> Result<Option<Granted>, ()> {
    let gate = gate();
    Ok(Some(Granted {
        index,
        gate,
        shapes,
    }))
}

/// A grant for a peer that the provider does not know yet could not be installed.
#[test]
fn a_grant_waits_for_the_peer() {
    let due = Instant::now();
    let mut grants = Grants::default();
    assert_eq!(grants.want(&gate(), ONE, due), Ok(None));
    assert_eq!(grants.peer_known(due).len(), 1);
    assert!(!grants.is_settled() && grants.due() == Some(due));
    assert_eq!(grants.index_of("Rack.Filter"), None);
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.index_of("Rack.Filter"), Some(0));
    assert!(grants.is_settled() && grants.due().is_none());
    assert_eq!(grants.want(&gate(), ONE, due), Ok(None));
}

/// An acknowledgement of the first grant must not pass for one of the second.
#[test]
fn a_gate_that_comes_back_is_granted_again_under_its_index() {
    let due = Instant::now();
    let mut grants = known(due);
    assert_eq!(grants.want(&gate(), ONE, due), granted(0, ONE));
    grants.withdraw("Rack.Filter");
    assert_eq!(grants.want(&gate(), ONE, due), granted(0, ONE));
    assert_eq!(grants.installed(0, due), Ok(None));
    assert_eq!(grants.index_of("Rack.Filter"), None);
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.installed(0, due), Err(()));
    assert_eq!(grants.installed(7, due), Err(()));
}

/// A call for the old shape that is still in the ring would be read as one for the new.
#[test]
fn another_shape_gets_another_index() {
    let due = Instant::now();
    let mut grants = known(due);
    assert_eq!(grants.want(&gate(), ONE, due), granted(0, ONE));
    grants.withdraw("Rack.Filter");
    assert_eq!(grants.want(&gate(), OTHER, due), granted(1, OTHER));
    assert_eq!(grants.installed(1, due), Ok(Some(gate())));
    assert!(
        !grants.is_settled(),
        "the first is still to be acknowledged"
    );
    assert_eq!(grants.installed(0, due), Ok(None));
    assert!(grants.is_settled());
    assert_eq!(grants.installed(0, due), Err(()), "and then forgotten");
    let more = [OTHER[0], Some((3, 3))];
    assert_eq!(
        grants.want(&gate(), more, due),
        granted(1, more),
        "a face came"
    );
}

/// A pair that provides and withdraws for ever must not fill the broker's memory.
#[test]
fn withdrawn_gates_are_forgotten_in_time() {
    let due = Instant::now();
    let mut grants = known(due);
    for number in 0..5000u32 {
        let gate: Arc<str> = number.to_string().into();
        let sent = grants.want(&gate, ONE, due).unwrap().unwrap();
        assert_eq!(grants.installed(sent.index, due), Ok(Some(gate.clone())));
        grants.withdraw(&gate);
    }
    assert!(grants.grants.len() <= TIDY_AT && grants.current.len() <= TIDY_AT);
    // What is forgotten here has to be refused there, or it would serve again.
    let revoked = grants.take_revoked();
    assert_eq!(revoked.len() + grants.grants.len(), 5000);
    assert!(
        revoked
            .iter()
            .all(|index| !grants.grants.contains_key(index))
    );
}

/// The provider serves under a grant what it provided when the grant came: a face that is added
/// must not be called before it was granted again.
#[test]
fn a_gate_that_gets_its_other_face_is_granted_again() {
    const BOTH: Shapes = [Some((1, 1)), Some((1, 1))];
    let due = Instant::now();
    let mut grants = known(due);
    assert_eq!(grants.want(&gate(), ONE, due), granted(0, ONE));
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.want(&gate(), BOTH, due), granted(0, BOTH));
    assert_eq!(grants.index_of("Rack.Filter"), None);
    assert_eq!(grants.installed(0, due), Ok(Some(gate())));
    assert_eq!(grants.index_of("Rack.Filter"), Some(0));
    for shapes in [ONE, BOTH] {
        assert_eq!(grants.want(&gate(), shapes, due), Ok(None), "no news");
    }
}
