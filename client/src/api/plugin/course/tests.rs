use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

impl<T: Clone> Course<T> {
    /// All memberships.
    fn all(&self) -> Vec<T> {
        let older = self.older.iter().map(|older| older.membership.clone());
        older.chain([self.current.clone()]).collect()
    }
}

/// A membership whose answers the test sets.
#[derive(Clone, Debug)]
struct Fake(Rc<Facts>);

#[derive(Debug)]
struct Facts {
    number: usize,
    links: Cell<bool>,
    heard: Cell<bool>,
    let_go: Cell<bool>,
    idle: Cell<bool>,
}

impl Used for Fake {
    fn has_links(&self) -> bool {
        self.0.links.get()
    }

    fn is_heard(&self) -> bool {
        self.0.heard.get()
    }

    fn is_let_go(&self) -> bool {
        self.0.let_go.get()
    }

    fn is_idle(&self) -> bool {
        self.0.idle.get()
    }
}

/// A membership in which everything is used.
fn busy(number: usize) -> Fake {
    let fake = fake(number);
    fake.0.heard.set(true);
    fake
}

fn fake(number: usize) -> Fake {
    Fake(Rc::new(Facts {
        number,
        links: Cell::new(true),
        heard: Cell::new(false),
        let_go: Cell::new(false),
        idle: Cell::new(true),
    }))
}

fn numbers(memberships: &[Fake]) -> Vec<usize> {
    memberships.iter().map(|fake| fake.0.number).collect()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn links_of_an_old_broker_are_used_for_five_seconds_and_then_answered() {
    let now = Instant::now();
    let before = fake(0);
    let mut course = Course::new(before.clone());
    let closed = course.join(fake(1), now);
    assert!(closed.is_none());
    let due = course.look(now, false);
    assert_eq!((due.close.len(), due.next), (0, Some(now + DRAINING)));
    let due = course.look(now + DRAINING, false);
    assert_eq!(numbers(&due.close), [0]);
    let due = course.look(now + DRAINING, false);
    assert!(due.close.is_empty() && due.over.is_empty() && due.next.is_none());
    before.0.let_go.set(true);
    before.0.idle.set(false);
    let due = course.look(now + DRAINING, false);
    assert_eq!(
        (due.over.len(), due.next),
        (0, Some(now + DRAINING + LINGERING))
    );
    before.0.idle.set(true);
    assert_eq!(numbers(&course.look(now + DRAINING, false).over), [0]);
    assert_eq!(numbers(&course.all()), [1]);
}

/// The links of the first broker were closed while the second one, which had ended as well, had made none in
/// their place.
#[test]
fn without_a_broker_nothing_is_closed() {
    let now = Instant::now();
    let mut course = Course::new(fake(0));
    course.join(fake(1), now);
    let due = course.look(now + 60 * SECOND, true);
    assert!(due.close.is_empty() && due.next.is_none());
    // The second one has made links: of three memberships the oldest closes.
    let closed = course.join(fake(2), now + 60 * SECOND);
    assert_eq!(closed.map(|fake| fake.0.number), Some(0));
}

#[test]
fn a_membership_without_links_costs_no_other_its_own() {
    let now = Instant::now();
    let mut course = Course::new(fake(0));
    let empty = fake(1);
    empty.0.links.set(false);
    course.join(empty, now);
    let closed = course.join(fake(2), now);
    assert!(closed.is_none());
    let due = course.look(now, false);
    assert_eq!(numbers(&due.close), [1]);
}

/// A source went on only at the new broker, so listeners that had not come there yet missed what it sent.
#[test]
fn a_membership_without_links_is_used_while_somebody_listens() {
    let now = Instant::now();
    let before = fake(0);
    before.0.links.set(false);
    before.0.heard.set(true);
    let mut course = Course::new(before.clone());
    course.join(fake(1), now);
    let due = course.look(now, false);
    assert_eq!((due.close.len(), due.next), (0, Some(now + LINGERING)));
    before.0.heard.set(false);
    assert_eq!(numbers(&course.look(now + LINGERING, false).close), [0]);
}

#[test]
fn who_listens_to_an_old_broker_does_so_for_five_seconds() {
    let now = Instant::now();
    let before = fake(0);
    before.0.links.set(false);
    before.0.heard.set(true);
    let mut course = Course::new(before);
    course.join(fake(1), now);
    let late = now + DRAINING - LINGERING / 2;
    let due = course.look(late, false);
    assert_eq!((due.close.len(), due.next), (0, Some(now + DRAINING)));
    assert_eq!(numbers(&course.look(now + DRAINING, false).close), [0]);
}

#[derive(Clone, Debug)]
enum Event {
    Join,
    Look(u64, bool),
    LoseLinks(usize),
    LoseListeners(usize),
    LetGo(usize),
    Idle(usize, bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let which = 0_usize..8;
    let event = prop_oneof![
        Just(Event::Join),
        (0_u64..4_000, any::<bool>()).prop_map(|(wait, away)| Event::Look(wait, away)),
        which.clone().prop_map(Event::LoseLinks),
        which.clone().prop_map(Event::LoseListeners),
        which.clone().prop_map(Event::LetGo),
        (which, any::<bool>()).prop_map(|(at, idle)| Event::Idle(at, idle)),
    ];
    prop::collection::vec(event, 0..60)
}

proptest! {
    /// In every order of events: at most two memberships with links are used besides those that close; each is
    /// closed once and before it is over; none is over that was not let go; and in the end none is left.
    #[test]
    fn each_membership_is_closed_once_and_let_go_once(events in events()) {
        let mut now = Instant::now();
        let mut all = vec![busy(0)];
        let mut course = Course::new(all[0].clone());
        let (mut closed, mut over) = (Vec::new(), Vec::new());
        for event in events {
            match event {
                Event::Join => {
                    all.push(busy(all.len()));
                    let joined = all[all.len() - 1].clone();
                    closed.extend(numbers(course.join(joined, now).as_slice()));
                    let is_used = |number: &usize| all[*number].is_used() && !closed.contains(number);
                    let used = numbers(&course.all()).iter().filter(|number| is_used(number)).count();
                    prop_assert!(used <= 2, "{used} are used");
                }
                Event::Look(wait, is_away) => {
                    now += Duration::from_millis(wait);
                    let due = course.look(now, is_away);
                    prop_assert!(due.next.is_none_or(|next| next >= now));
                    closed.extend(numbers(&due.close));
                    for fake in due.over {
                        prop_assert!(fake.0.let_go.get() && fake.0.idle.get());
                        prop_assert!(closed.contains(&fake.0.number));
                        over.push(fake.0.number);
                    }
                }
                Event::LoseLinks(at) => all[at % all.len()].0.links.set(false),
                Event::LoseListeners(at) => all[at % all.len()].0.heard.set(false),
                // A dispatcher lets go only what was closed.
                Event::LetGo(at) if closed.contains(&(at % all.len())) => all[at % all.len()].0.let_go.set(true),
                Event::LetGo(_) => {}
                Event::Idle(at, idle) => all[at % all.len()].0.idle.set(idle),
            }
        }
        for fake in &all {
            fake.0.idle.set(true);
        }
        for _ in 0..3 {
            now += DRAINING;
            let due = course.look(now, false);
            closed.extend(numbers(&due.close));
            over.extend(numbers(&due.over));
            closed.iter().for_each(|number| all[*number].0.let_go.set(true));
        }
        let older: Vec<usize> = (0..all.len() - 1).collect();
        closed.sort_unstable();
        over.sort_unstable();
        prop_assert_eq!(&closed, &older);
        prop_assert_eq!(&over, &older);
        prop_assert_eq!(numbers(&course.all()), [all.len() - 1]);
    }
}
