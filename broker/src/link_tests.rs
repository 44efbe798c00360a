//! Tests of the link's state machine.

use callgate_layout::control::{LinkEnd, LinkToPlugin, ToPlugin};

use super::*;

const STEP: Duration = Duration::from_secs(2);
const SHAPES: Prints = [Some(1), None];

fn gate(name: &str) -> Arc<str> {
    name.into()
}

fn grant(side: u8, index: u16, name: &str) -> Step {
    let gate = gate(name);
    let granted = Granted {
        index,
        gate,
        prints: SHAPES,
    };
    Step::Grant(side, granted)
}

impl Link {
    /// A side has mapped the outbox that it writes.
    fn outbox_mapped(&mut self, side: u8) -> Result<Vec<Step>, OutOfOrder> {
        self.mapped(side, Role::Writer, Instant::now())
    }

    /// A side has mapped the outbox that its peer writes.
    fn peer_mapped(&mut self, side: u8, now: Instant) -> Result<Vec<Step>, OutOfOrder> {
        self.mapped(1 - side, Role::Reader, now)
    }
}

fn new_link(now: Instant) -> Link {
    let (link, steps) = Link::new([PluginId(1), PluginId(2)], STEP, Vec::new(), now);
    assert_eq!(steps, [Step::Make(1), Step::Make(0)]);
    link
}

fn seal_both(link: &mut Link, now: Instant) -> Vec<Step> {
    assert_eq!(link.outbox_mapped(0), Ok(vec![]));
    assert_eq!(link.outboxes[0], Stage::Sealing);
    assert_eq!(link.sealed(0, now), []);
    assert_eq!(link.outbox_mapped(1), Ok(vec![]));
    assert_eq!(link.outboxes[1], Stage::Sealing);
    link.sealed(1, now)
}

fn up(now: Instant) -> Link {
    let mut link = new_link(now);
    assert_eq!(
        link.want(1, (&gate("g"), &gate("g")), SHAPES, now),
        Some(vec![])
    );
    let steps = seal_both(&mut link, now);
    assert_eq!(steps, [Step::Peer(1), grant(1, 0, "g")]);
    assert_eq!(link.peer_mapped(1, now), Ok(vec![]));
    let steps = vec![Step::Peer(0), Step::Callable(1, gate("g"))];
    assert_eq!(link.grant_installed(1, 0, now), Ok(steps));
    assert_eq!(link.callable(1, "g"), None);
    assert_eq!(link.peer_mapped(0, now), Ok(vec![Step::Up]));
    link
}

/// A caller that is told before the grant is installed would be refused on its first call.
#[test]
fn the_caller_is_told_last() {
    let now = Instant::now();
    let mut link = up(now);
    assert_eq!(link.callable(1, "g"), Some(0));
    assert_eq!(link.due(), None, "nothing is awaited");
    link.withdraw(1, "g");
    assert_eq!(link.callable(1, "g"), None);
}

/// The provider may send its two acknowledgements in any order.
#[test]
fn the_grant_may_be_installed_before_the_peer_is_mapped() {
    let now = Instant::now();
    let mut link = new_link(now);
    link.want(1, (&gate("g"), &gate("g")), SHAPES, now).unwrap();
    seal_both(&mut link, now);
    let callable = vec![Step::Callable(1, gate("g"))];
    assert_eq!(link.grant_installed(1, 0, now), Ok(callable));
    assert_eq!(link.peer_mapped(1, now), Ok(vec![Step::Peer(0)]));
}

/// Two plugins that open each other's gates at once share one link.
#[test]
fn gates_of_the_opener_are_granted_once_it_knows_its_peer() {
    let now = Instant::now();
    let mut link = new_link(now);
    link.want(1, (&gate("g"), &gate("g")), SHAPES, now).unwrap();
    assert_eq!(
        link.want(0, (&gate("back"), &gate("back")), SHAPES, now),
        Some(vec![])
    );
    seal_both(&mut link, now);
    link.peer_mapped(1, now).unwrap();
    let steps = link.grant_installed(1, 0, now).unwrap();
    assert_eq!(steps[..2], [Step::Peer(0), grant(0, 0, "back")]);
    assert_eq!(link.peer_mapped(0, now), Ok(vec![Step::Up]));
    assert_eq!(link.callable(0, "back"), None);
    let callable = vec![Step::Callable(0, gate("back"))];
    assert_eq!(link.grant_installed(0, 0, now), Ok(callable));
    assert_eq!(link.callable(0, "back"), Some(0));
    let later = link.want(0, (&gate("later"), &gate("later")), SHAPES, now);
    assert_eq!(later, Some(vec![grant(0, 1, "later")]));
}

/// A gate that is withdrawn while its link is set up must not leave the link half set up.
#[test]
fn a_withdrawn_gate_does_not_stop_the_link() {
    let now = Instant::now();
    let mut link = new_link(now);
    link.want(1, (&gate("g"), &gate("g")), SHAPES, now).unwrap();
    seal_both(&mut link, now);
    link.withdraw(1, "g");
    assert_eq!(link.peer_mapped(1, now), Ok(vec![]));
    assert_eq!(link.grant_installed(1, 0, now), Ok(vec![Step::Peer(0)]));
    assert_eq!(link.peer_mapped(0, now), Ok(vec![Step::Up]));
    assert_eq!(link.callable(1, "g"), None);
    let again = link.want(1, (&gate("g"), &gate("g")), SHAPES, now);
    assert_eq!(again, Some(vec![grant(1, 0, "g")]));
}

/// A plugin that acknowledges what it was not asked for must not pass for having done a step.
#[test]
fn acknowledgements_out_of_order_are_refused() {
    let now = Instant::now();
    let mut link = new_link(now);
    assert_eq!(link.peer_mapped(0, now), Err(OutOfOrder));
    assert_eq!(link.peer_mapped(1, now), Err(OutOfOrder));
    assert_eq!(link.grant_installed(1, 0, now), Err(OutOfOrder));
    assert!(link.outbox_mapped(0).is_ok());
    assert_eq!(link.outbox_mapped(0), Err(OutOfOrder));
    let mut link = up(now);
    for side in 0..2 {
        assert_eq!(link.outbox_mapped(side), Err(OutOfOrder));
        assert_eq!(link.peer_mapped(side, now), Err(OutOfOrder));
        assert_eq!(link.grant_installed(side, 0, now), Err(OutOfOrder));
    }
}

/// The failure must name the side that is late; the other one did nothing wrong.
#[test]
fn the_late_side_is_at_fault() {
    let now = Instant::now();
    let late = now + STEP;
    let mut link = new_link(now);
    assert_eq!(link.due(), Some(late));
    assert_eq!(link.overdue(now), []);
    link.outbox_mapped(0).unwrap();
    assert_eq!(link.overdue(late), [(1, "map its outbox")]);
    link.sealed(0, now);
    link.want(1, (&gate("g"), &gate("g")), SHAPES, now).unwrap();
    link.outbox_mapped(1).unwrap();
    link.sealed(1, now);
    let both = [(1, "map its peer's outbox"), (1, "install a grant")];
    assert_eq!(link.overdue(late), both);
    link.peer_mapped(1, now).unwrap();
    assert_eq!(link.overdue(late), [(1, "install a grant")]);
    link.grant_installed(1, 0, now).unwrap();
    assert_eq!(link.overdue(late), [(0, "map its peer's outbox")]);
}

/// A plugin that calls its own gate has both ends; its gates are on side 1.
#[test]
fn a_link_to_oneself_has_two_sides() {
    let one = PluginId(1);
    let (link, _) = Link::new([one, one], STEP, Vec::new(), Instant::now());
    assert_eq!(link.side_of_provider(one), 1);
    assert_eq!(link.plugin(0), link.plugin(1));
}

/// If a stage's deadline outlived the stage, it would pass when nobody is late, and the deadline of a later grant would be forgotten.
#[test]
fn a_provider_that_mapped_its_peer_owes_only_its_grants() {
    let now = Instant::now();
    let later = now + STEP / 2;
    let mut link = new_link(now);
    link.want(1, (&gate("g"), &gate("g")), SHAPES, now).unwrap();
    seal_both(&mut link, now);
    link.want(1, (&gate("h"), &gate("h")), SHAPES, later)
        .unwrap();
    link.grant_installed(1, 0, now).unwrap();
    link.peer_mapped(1, now).unwrap();
    assert_eq!(link.due(), Some(later + STEP));
    assert_eq!(link.overdue(later + STEP), [(1, "install a grant")]);
}

/// A record that is longer than a datagram cannot be sent, and the provider would go on serving.
#[test]
fn a_great_revocation_goes_in_several_records() {
    let now = Instant::now();
    let mut link = up(now);
    for number in 1..40_000_u32 {
        let name = gate(&number.to_string());
        assert!(link.want(1, (&name, &name), SHAPES, now).is_some());
    }
    let steps = link.revoke(1, |_, _| true);
    let mut all: Vec<u16> = Vec::new();
    for step in &steps {
        let Step::Revoke(1, Cause::Policy, indexes) = step else {
            panic!("{step:?}");
        };
        let record = ToPlugin::from(LinkToPlugin::Revoke {
            number: u64::MAX,
            end: LinkEnd { link: 1, side: 1 },
            indexes: indexes.clone(),
        });
        assert!(record.encode().is_ok(), "{}", indexes.len());
        all.extend(indexes);
    }
    assert_eq!(steps.len(), 3, "no more than it takes");
    assert!(all.into_iter().eq(0..40_000), "each once");
    assert_eq!(link.revoke(1, |_, _| true), [], "said once");
}

/// What is for one side must not be sent to the other.
#[test]
fn each_side_is_the_plugin_that_it_was_made_for() {
    let now = Instant::now();
    let (link, _) = Link::new([PluginId(1), PluginId(2)], STEP, Vec::new(), now);
    assert_eq!((link.plugin(0), link.plugin(1)), (PluginId(1), PluginId(2)));
    assert_eq!(link.side_of_provider(PluginId(1)), 0);
    assert_eq!(link.side_of_provider(PluginId(2)), 1);
    assert!(!link.is_up());
    let mut link = up(now);
    assert!(link.is_up());
    assert_eq!(link.callable(0, "g"), None);
    link.withdraw(0, "g");
    assert_eq!(link.callable(1, "g"), Some(0));
    assert_eq!(link.revoke(0, |_, _| true), []);
    assert_eq!(link.revoke(1, |gate, _| gate == "other"), []);
    let revoked = link.revoke(1, |gate, _| gate == "g");
    assert_eq!(revoked, [Step::Revoke(1, Cause::Policy, vec![0])]);
    assert_eq!(link.callable(1, "g"), None);
}

/// A grant that is not installed in time is no longer waited for, but its late acknowledgement counts.
#[test]
fn a_late_grant_is_given_up_and_taken_all_the_same() {
    let now = Instant::now();
    let mut link = up(now);
    let steps = link.want(0, (&gate("back"), &gate("back")), SHAPES, now);
    assert_eq!(steps, Some(vec![grant(0, 0, "back")]));
    let (due, early) = (now + STEP, now + STEP / 2);
    assert_eq!(link.due(), Some(due));
    assert!(link.give_up_grants(0, early).is_empty());
    assert!(link.give_up_grants(1, due).is_empty(), "it owes nothing");
    assert_eq!(link.overdue(due), [(0, "install a grant")]);
    assert_eq!(link.give_up_grants(0, due), [gate("back")]);
    assert_eq!((link.due(), link.overdue(due)), (None, vec![]));
    assert_eq!(link.callable(0, "back"), None);
    let callable = vec![Step::Callable(0, gate("back"))];
    assert_eq!(link.grant_installed(0, 0, due), Ok(callable));
    assert_eq!(link.callable(0, "back"), Some(0));
}

/// The second of two grants of one index has a whole step's time, from the acknowledgement of the first one on.
#[test]
fn a_second_grant_has_a_step_of_its_own() {
    let now = Instant::now();
    let (later, much_later) = (now + STEP / 4, now + STEP / 2);
    let mut link = up(now);
    link.withdraw(1, "g");
    link.want(1, (&gate("g"), &gate("g")), SHAPES, now).unwrap();
    link.withdraw(1, "g");
    link.want(1, (&gate("g"), &gate("g")), SHAPES, later)
        .unwrap();
    assert_eq!(link.due(), Some(now + STEP));
    assert_eq!(link.grant_installed(1, 0, much_later), Ok(vec![]));
    assert_eq!(link.due(), Some(much_later + STEP));
}
