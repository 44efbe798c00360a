//! Cells: which plugin writes and which ones read, in which memory, and what each of them can do wrong.

use callgate_layout::cells::cell_len;
use callgate_layout::control::{CellToBroker, CellToPlugin, SessionToPlugin};

use super::*;

mod wrong;

const C: PluginId = PluginId(3);
const TAG: &str = "Rack.Level";
const LEN: u32 = cell_len(16);

fn open(request: u32, writes: bool) -> CellToBroker {
    CellToBroker::Open {
        request,
        tag: TAG.into(),
        fingerprint: 7,
        signature: "([f32; 4])".into(),
        len: 16,
        writes,
        waits: true,
    }
}

fn written(request: u32) -> CellToBroker {
    CellToBroker::Written { request }
}

fn close(request: u32) -> CellToBroker {
    CellToBroker::Close { request }
}

/// An effect as a short text.
fn short(effect: Effect) -> Option<(PluginId, String)> {
    let refusal = |failure: Option<Failure>| {
        let code = failure.and_then(|failure| Code::from_u16(failure.code));
        code.map_or_else(|| "done".to_owned(), |code| code.to_string())
    };
    Some(match effect {
        Effect::MakeCell {
            to, memory, last, ..
        } => (
            to,
            last.map_or_else(
                || format!("write {memory}"),
                |last| format!("write {memory} after {last}"),
            ),
        ),
        Effect::ReadCell {
            to, memory, record, ..
        } => {
            let CellToPlugin::Read {
                request,
                len,
                writer,
            } = record
            else {
                panic!("{record:?}");
            };
            assert_eq!(len, LEN);
            (to, format!("{request} reads {memory} of {writer}"))
        }
        Effect::DropCell {
            memory,
            writer,
            users,
        } => {
            let user = users.first().copied().unwrap_or(PluginId(0));
            let unmapped = writer.map_or("", |_| ", unmapped");
            (user, format!("drop {memory}{unmapped}"))
        }
        Effect::Seal(to, AnyMemory::Cell(memory)) => (to, format!("seal {memory}")),
        Effect::Send(to, ToPlugin::Cell(CellToPlugin::Sealed { request })) => {
            (to, format!("{request} sealed"))
        }
        Effect::Send(to, ToPlugin::Cell(CellToPlugin::Left { request })) => {
            (to, format!("{request} left"))
        }
        Effect::Send(to, ToPlugin::Cell(CellToPlugin::Closed { request, failure })) => {
            (to, format!("{request} closed: {}", refusal(Some(failure))))
        }
        Effect::Send(to, ToPlugin::Session(SessionToPlugin::Answer { request, failure })) => {
            (to, format!("{request}: {}", refusal(failure)))
        }
        Effect::End(to, failure) => (to, format!("ends: {}", refusal(Some(failure)))),
        _ => return None,
    })
}

impl World {
    fn cells() -> World {
        World::of(["a", "b", "c"], 8, FROM_ONE)
    }

    /// A world in which a plugin writes a cell, in memory 0.
    fn written() -> World {
        let mut world = World::cells();
        world.ok(A, open(1, true));
        world.ok(A, written(1));
        world.seal_cell(0);
        world.effects();
        world
    }

    fn seal_cell(&mut self, memory: u64) {
        let now = self.now;
        self.bus.memory_sealed(AnyMemory::Cell(memory), now);
    }

    #[track_caller]
    fn wants<const N: usize>(&mut self, expected: [(PluginId, &str); N]) {
        let wanted = self.effects().into_iter().filter_map(short);
        let wanted: Vec<(PluginId, String)> = wanted.collect();
        let expected = expected.map(|(to, text)| (to, text.to_owned()));
        assert_eq!(wanted, expected);
    }

    /// How many shares and cells are charged to a plugin.
    fn charged(&self, plugin: PluginId) -> u32 {
        let member = self.bus.member(plugin);
        member.map_or(0, |member| member.shares.used())
    }
}

/// If readers got the memory before it is sealed, another process could still write to it.
#[test]
fn a_cell_is_read_when_it_is_sealed() {
    let mut world = World::cells();
    world.ok(B, open(5, false));
    world.wants([]);
    world.ok(A, open(1, true));
    world.wants([(A, "write 0")]);
    world.ok(A, written(1));
    world.wants([(A, "seal 0")]);
    world.ok(C, open(6, false));
    world.wants([]);
    world.seal_cell(0);
    world.wants([
        (A, "1 sealed"),
        (B, "5 reads 0 of a"),
        (C, "6 reads 0 of a"),
    ]);
    assert_eq!(world.bus.next_deadline(), None);
    world.ok(B, open(7, false));
    world.wants([(B, "7 reads 0 of a")]);
    assert_eq!(world.charged(B), 2);
    assert_eq!((world.charged(A), world.charged(C)), (1, 1));
}

/// A reader that was sent the old memory and reads that record late must still end up with the new writer's memory.
#[test]
fn the_next_writer_begins_with_the_last_value() {
    let mut world = World::written();
    world.ok(B, open(5, false));
    world.wants([(B, "5 reads 0 of a")]);
    world.ok(A, close(1));
    world.wants([(B, "5 left")]);
    world.ok(C, open(6, false));
    world.wants([(C, "6 reads 0 of a"), (C, "6 left")]);
    world.ok(C, open(2, true));
    world.wants([(C, "write 1 after 0")]);
    world.ok(B, open(8, false));
    world.wants([(B, "8 reads 0 of a"), (B, "8 left")]);
    world.ok(C, written(2));
    world.wants([(C, "seal 1")]);
    world.seal_cell(1);
    world.wants([
        (B, "drop 0"),
        (C, "2 sealed"),
        (B, "5 reads 1 of c"),
        (B, "8 reads 1 of c"),
        (C, "6 reads 1 of c"),
    ]);
}

/// A cell that no plugin has open must leave nothing behind.
#[test]
fn a_cell_is_there_as_long_as_somebody_has_it_open() {
    let mut world = World::written();
    world.ok(B, open(5, false));
    world.effects();
    world.ok(A, close(1));
    world.wants([(B, "5 left")]);
    assert_eq!(world.charged(A), 0);
    world.ok(B, close(5));
    world.wants([(B, "drop 0")]);
    assert!(world.bus.cells().all().next().is_none());
    assert_eq!(world.charged(B), 0);
    // The cell may have another type now, too.
    let mut other = open(9, true);
    if let CellToBroker::Open { fingerprint, .. } = &mut other {
        *fingerprint = 8;
    }
    world.ok(B, other);
    world.wants([(B, "write 1")]);
}

/// The last value stays when the cell's writer is killed, at whatever step of its set-up.
#[test]
fn a_writer_may_die_at_each_step() {
    for steps in 0..3 {
        let mut world = World::written();
        world.ok(B, open(5, false));
        world.ok(A, close(1));
        world.effects();
        world.ok(C, open(2, true));
        if steps > 0 {
            world.ok(C, written(2));
        }
        if steps > 1 {
            world.seal_cell(1);
        }
        world.effects();
        let now = world.now;
        world
            .bus
            .remove(C, &Failure::new(Code::ProviderGone, "killed"), now);
        match steps {
            0 => world.wants([(C, "drop 1, unmapped")]),
            1 => world.wants([(C, "drop 1")]),
            _ => world.wants([(B, "5 left")]),
        }
        // The seal of its memory comes too late, and has no effect.
        world.seal_cell(1);
        world.wants([]);
        assert_eq!(world.bus.next_deadline(), None);
        world.ok(A, open(3, true));
        let last = if steps > 1 { 1 } else { 0 };
        world.wants([(A, format!("write 2 after {last}").as_str())]);
    }
}

/// A writer that keeps the kernel from sealing its memory would keep all plugins from the cell.
#[test]
fn a_writer_that_keeps_the_kernel_from_sealing_is_sent_away() {
    let mut world = World::cells();
    world.ok(A, open(1, true));
    world.ok(A, written(1));
    world.effects();
    let due = world.bus.next_deadline().expect("it is awaited");
    assert_eq!(due, world.now + 5 * STEP);
    world.bus.expire(due);
    world.wants([(A, "ends: TIMEOUT")]);
}

/// If there is no memory or no descriptor for a cell, its writer is told so, and another plugin may try.
#[test]
fn what_cannot_be_made_is_refused() {
    let mut world = World::cells();
    world.ok(B, open(5, false));
    world.ok(A, open(1, true));
    world.effects();
    let (memory, now) = (AnyMemory::Cell(0), world.now);
    let failure = Failure::new(Code::System, "no memory");
    world.bus.memory_not_made(A, memory, failure.clone(), now);
    world.wants([(A, "drop 0, unmapped"), (A, "1: SYSTEM")]);
    assert_eq!((world.charged(A), world.bus.next_deadline()), (0, None));
    assert_eq!(world.code_of(A, written(1)), Some(Code::Protocol));
    world.ok(A, open(2, true));
    world.ok(A, written(2));
    world.effects();
    world
        .bus
        .memory_given_up(A, AnyMemory::Cell(1), failure, now);
    world.wants([(A, "drop 1"), (A, "2 closed: SYSTEM")]);
}

/// A plugin that opens cells without end would use up the broker's memory and descriptors.
#[test]
fn a_plugin_has_so_many_cells() {
    let mut world = World::cells();
    // The limit of shares in these tests.
    for request in 1..=8 {
        world.ok(A, open(request, false));
    }
    world.wants([]);
    world.ok(A, open(5000, false));
    world.wants([(A, "5000: OVERLOADED")]);
    world.ok(A, close(7));
    world.ok(A, open(5001, false));
    world.wants([]);
}
