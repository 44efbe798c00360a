//! The stages of extents, and their charges.

use super::*;
use callgate_layout::payload::HEADROOM;

mod stages;

/// The length of an extent that is charged as so many MiB.
fn extent_len(mib: u32) -> u32 {
    (mib << 20) + HEADROOM
}
const WRITER: LinkEnd = LinkEnd { link: 1, side: 0 };
const READER: LinkEnd = LinkEnd { link: 1, side: 1 };

/// A world with a link from A to B.
fn linked() -> World {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.obedient();
    world
}

/// An extent that A writes, with this number.
fn own(number: u8) -> MemoryId {
    extent_of(WRITER, number)
}

/// The record by which its writer says that it has allocated an extent.
fn written(number: u8) -> MemoryToBroker {
    mapped(own(number), Role::Writer)
}

/// The effect by which an extent is made.
fn made(number: u8, mib: u32) -> Effect {
    let (to, memory, len) = (A, own(number), extent_len(mib));
    Effect::Make { to, memory, len }
}

impl World {
    fn want(&mut self, number: u8, mib: u32) -> Vec<Effect> {
        let (memory, len) = (own(number), extent_len(mib));
        self.ok(A, MemoryToBroker::Want { memory, len });
        self.effects()
    }

    /// Takes an extent through all stages until it can be used.
    fn make(&mut self, number: u8, mib: u32) {
        let memory = own(number);
        assert_eq!(self.want(number, mib), [made(number, mib)]);
        self.ok(A, written(number));
        assert_eq!(self.effects(), [Effect::Seal(A, memory.into())]);
        self.bus.memory_sealed(memory.into(), self.now);
        assert_eq!(self.effects(), [Effect::HandOver(B, memory)]);
        self.ok(B, mapped(memory, Role::Reader));
        let ready = MemoryToPlugin::Ready { memory }.into();
        let effects = [Effect::Read(B, memory), Effect::Send(A, ready)];
        assert_eq!(self.effects(), effects);
    }

    /// Returns an extent. Gives the serial number under which it stays charged.
    fn give_back(&mut self, number: u8) -> u64 {
        let memory = own(number);
        self.ok(A, MemoryToBroker::Return { memory });
        serial(&self.effects())
    }

    /// Lets more time pass than a plugin may take for any acknowledgement.
    fn wait_long(&mut self) {
        self.now += STEP * 100;
        self.bus.expire(self.now);
    }

    pub(super) fn used(&self) -> (u32, u32) {
        let plugin = self.bus.members.get(&A).map_or(0, |a| a.extents.used());
        (plugin, self.bus.charges.used())
    }
}

fn serial(effects: &[Effect]) -> u64 {
    let serial = effects.iter().find_map(|effect| match effect {
        Effect::LetGo { serial, .. } => *serial,
        _ => None,
    });
    serial.unwrap_or_else(|| panic!("{effects:?}"))
}

fn refused(effects: &[Effect]) -> Option<&Failure> {
    effects.iter().find_map(|effect| match effect {
        Effect::Send(A, ToPlugin::Memory(MemoryToPlugin::Refused { failure, .. })) => Some(failure),
        _ => None,
    })
}

/// When the charge ended with the return, a plugin could have any amount of memory.
#[test]
fn a_returned_extent_is_charged_until_it_is_free() {
    let mut world = linked();
    world.make(0, 2);
    assert_eq!(world.used(), (2, 2));
    let serial = world.give_back(0);
    assert_eq!(world.used(), (2, 2));
    world.bus.extents_freed(&[serial], world.now);
    assert_eq!(world.used(), (0, 0));
    world.bus.extents_freed(&[serial, 77], world.now);
    assert_eq!(world.used(), (0, 0), "but once");
}

/// An honest plugin at its limit was refused when its peer needed a moment to unmap what was returned.
#[test]
fn who_asks_while_it_is_being_freed_waits() {
    let mut world = linked();
    world.make(0, 8);
    let effects = world.want(1, 1);
    let failure = refused(&effects).expect("nothing was returned");
    assert!(!failure.message.contains("returned"), "{failure:?}");
    let serial = world.give_back(0);
    assert_eq!(world.want(0, 4), [], "it waits");
    assert_eq!(world.bus.extent_bytes(1), 0);
    world.bus.extents_freed(&[serial], world.now);
    assert_eq!(world.effects(), [made(0, 4)]);
    assert_eq!(world.used(), (4, 4));
    assert!(world.bus.waiting.is_empty());
}

/// A peer that keeps what was returned must neither make others wait for ever nor take more than half.
#[test]
fn what_is_kept_ends_in_a_refusal_and_leaves_half() {
    let mut world = linked();
    world.make(0, 4);
    world.give_back(0);
    assert_eq!(world.want(1, 2), []);
    world.now += STEP;
    world.bus.expire(world.now);
    let effects = world.effects();
    let failure = refused(&effects).unwrap();
    assert_eq!(failure.code, Code::Overloaded as u16);
    assert!(failure.message.contains("4 MiB"), "{failure:?}");
    assert!(world.bus.extents.is_empty() && world.bus.waiting.is_empty());
    assert_eq!(world.bus.next_deadline(), None);
}

/// If an extent could be acknowledged before it was charged, it would skip its checks.
#[test]
fn nothing_can_be_done_with_an_extent_that_waits() {
    for number in [0, 1] {
        let mut world = linked();
        world.make(0, 8);
        world.give_back(0);
        world.want(1, 4);
        let (memory, role) = (own(number), Role::Writer);
        let failure = Failure::new(Code::System, "no");
        for record in [
            written(number),
            MemoryToBroker::Return { memory },
            MemoryToBroker::Failed {
                memory,
                role,
                failure,
            },
        ] {
            assert_eq!(world.code_of(A, record), Some(Code::Protocol));
        }
    }
}

/// A link that ends takes what waits with it; what was made stays charged.
#[test]
fn the_end_of_a_link_lets_go_of_its_extents() {
    let mut world = linked();
    world.make(0, 2);
    world.make(1, 4);
    world.give_back(1);
    world.want(2, 4);
    let why = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(B, &why, world.now);
    let effects = world.effects();
    let first = serial(&effects);
    assert!(effects.contains(&Effect::LetGo {
        memory: own(0).into(),
        users: [A, B],
        serial: Some(first),
    }));
    assert!(world.bus.extents.is_empty() && world.bus.waiting.is_empty());
    assert_eq!(world.used(), (6, 6), "the writer may still have both");
    world.bus.extents_freed(&[1, 2], world.now);
    assert_eq!(world.used(), (0, 0));
}

/// When a plugin has ended, its memory is not charged to its next incarnation, only to the bus.
#[test]
fn a_dead_writers_charge_goes_with_it() {
    let mut world = linked();
    world.make(0, 8);
    let identity = world.bus.member(A).unwrap().identity.clone();
    let why = Failure::new(Code::ProviderGone, "killed");
    world.bus.remove(A, &why, world.now);
    let serial = serial(&world.effects());
    world
        .bus
        .admit(A, identity, (1, SeenClock::default()), world.now);
    assert_eq!(world.used(), (0, 8));
    world.bus.extents_freed(&[serial], world.now);
    assert_eq!(world.used(), (0, 0));
}

/// A plugin that cannot allocate an extent says so, and keeps its session.
#[test]
fn a_failed_allocation_is_no_offence() {
    let mut world = linked();
    world.want(0, 8);
    let failed = MemoryToBroker::Failed {
        memory: own(0),
        role: Role::Writer,
        failure: Failure::new(Code::Overloaded, "no"),
    };
    world.ok(A, failed.clone());
    let serial = serial(&world.effects());
    world.bus.extents_freed(&[serial], world.now);
    assert_eq!(world.used(), (0, 0));
    assert_eq!(world.bus.next_deadline(), None);
    assert_eq!(world.code_of(A, failed), Some(Code::Protocol), "but once");
}

/// If only each plugin had a limit, the bus would have none.
#[test]
fn the_bus_is_charged_in_what_the_kernel_gives() {
    let mut world = linked();
    world.bus.limit_extents(5, 2, 8);
    world.make(0, 1);
    assert_eq!(world.used(), (2, 2), "a huge page");
    let effects = world.want(1, 4);
    let failure = refused(&effects).unwrap();
    assert!(failure.message.contains("5 MiB that all"), "{failure:?}");
    assert_eq!(world.used(), (2, 2));
}

/// A plugin that stood still lost its session; later, calls of the writer failed although they had time left. Now the extent stays charged,
/// and is there when the plugin goes on.
#[test]
fn who_stands_still_is_waited_for() {
    let mut world = linked();
    world.want(0, 2);
    world.wait_long();
    assert_eq!((world.effects(), world.used()), (vec![], (2, 2)));
    world.ok(A, written(0));
    world.effects();
    world.bus.memory_sealed(own(0).into(), world.now);
    world.effects();
    world.wait_long();
    assert_eq!((world.effects(), world.used()), (vec![], (2, 2)));
    assert_eq!(world.bus.next_deadline(), None, "nobody is late");
    let memory = own(0);
    world.ok(B, mapped(memory, Role::Reader));
    let ready = MemoryToPlugin::Ready { memory }.into();
    let effects = [Effect::Read(B, memory), Effect::Send(A, ready)];
    assert_eq!(world.effects(), effects);
    assert_eq!(world.used(), (2, 2));
}

/// A writer that keeps the kernel from sealing its extent harms only itself.
#[test]
fn who_never_lets_it_be_sealed_loses_its_session() {
    let mut world = linked();
    world.want(0, 1);
    world.ok(A, written(0));
    world.effects();
    world.now += STEP * 5;
    world.bus.expire(world.now);
    let effects = world.effects();
    let [Effect::End(A, failure)] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    assert!(failure.message.contains("be sealed"), "{failure:?}");
}

/// Dozens of plugins that allocated at the same time left no processor to the broker.
#[test]
fn few_allocate_at_a_time() {
    let mut world = linked();
    world.bus.limit_extents(100, 1, 1);
    let made = |number| made(number, 1);
    assert_eq!(world.want(0, 1), [made(0)]);
    assert_eq!(world.want(1, 1), []);
    assert_eq!(world.want(2, 1), []);
    world.ok(A, written(0));
    assert!(world.effects().contains(&made(1)));
    // The second writer hangs; the third need not wait for it.
    world.now += Duration::from_millis(100);
    world.bus.expire(world.now);
    assert_eq!(world.effects(), [made(2)]);
    assert_eq!(world.used(), (3, 3));
    // Nor does it wait for others that begin all the time.
    assert_eq!(world.want(3, 1), []);
    world.bus.allocating[0].1 += STEP * 9;
    world.now += STEP;
    world.bus.expire(world.now);
    assert!(world.effects().contains(&made(3)));
    assert!(world.bus.waiting.is_empty());
}

/// A caller that publishes before its link is up makes the provider ask for memory for the answer. If that ended the provider's session,
/// any plugin could end any other's.
#[test]
fn an_extent_for_a_link_that_is_not_up_is_only_refused() {
    let mut world = World::new(8);
    world.provide(B, "g");
    world.open(A, 5, "g");
    world.effects();
    let want = MemoryToBroker::Want {
        memory: extent_of(READER, 0),
        len: callgate_layout::payload::MIN_EXTENT_LEN,
    };
    world.ok(B, want);
    let effects = world.effects();
    let refused = |effect: &Effect| matches!(effect, Effect::Send(B, ToPlugin::Memory(MemoryToPlugin::Refused { failure, .. })) if failure.code == Code::NotReady as u16);
    assert!(effects.iter().any(refused), "{effects:?}");
    assert!(world.bus.extents.is_empty());
}

/// Limited, because all that wait are looked through whenever memory comes free.
#[test]
fn only_so_many_extents_wait() {
    let mut world = linked();
    world.bus.limit_extents(100, 1, 1);
    assert_eq!(world.want(0, 1), [made(0, 1)]);
    let elsewhere = LinkEnd { link: 99, side: 0 };
    let others = (0..=255).map(|number| extent_of(elsewhere, number));
    world.bus.waiting = others.take(255).collect();
    assert_eq!(world.want(1, 1), [], "it is the last one that waits");
    assert_eq!(world.bus.waiting.len(), 256);
    // This one does not wait for its turn.
    assert_eq!(world.want(2, 1), [made(2, 1)]);
    assert_eq!(world.bus.waiting.len(), 256);
}
