//! A caller whose JSON is invalid, or that breaks the rules in other ways.

use callgate_layout::blocks::{self, Blocks, Region};
use callgate_layout::envelope::{Call, CallKind, Cell, Place, Reply};
use callgate_layout::ring::RingWriter;
use callgate_layout::{Code, Encoding, clock, flags, slot};
use callgate_tests::proc;
use callgate_tests::random::Random;
use callgate_tests::raw::{Link, Raw};
use callgate_tests::types::{Summary, Track};

use crate::scene::Scene;

/// JSON that the provider's gate accepts.
const GOOD: &str = r#"[{"title":"x","gain":1,"samples":[1,2]}]"#;

/// A peer that writes its JSON itself.
struct Villain {
    link: Link,
    ring: RingWriter,
    blocks: Blocks,
    calls: u32,
    raw: Raw,
}

impl Villain {
    /// A villain that is linked to the provider, and the index of the provider's `Sum`.
    fn new(scene: &Scene) -> (Villain, u16) {
        let mut raw = Raw::join(&scene.bus, "villain");
        let (link, index) = raw.link_to::<(Track,), Summary>("S.Sum");
        let villain = Villain {
            ring: RingWriter::new(link.geometry),
            blocks: Blocks::new(Region::outbox(link.geometry)),
            calls: 0,
            link,
            raw,
        };
        (villain, index)
    }

    /// Calls a gate and returns the answer: its text, or the code of an error.
    fn call(&mut self, gate: u16, text: &[u8]) -> Result<Vec<u8>, Code> {
        let (outbox, geometry) = (&self.link.outbox, self.link.geometry);
        let mut cell = Cell::default();
        let mut run = None;
        let place = match cell.inline_mut().get_mut(..text.len()) {
            Some(inline) => {
                inline.copy_from_slice(text);
                Place::Inline
            }
            None => {
                let taken = self.blocks.allocate(text.len()).expect("room");
                blocks::write(outbox, Region::outbox(geometry), taken, text);
                run = Some(taken);
                Place::Blocks {
                    block: taken.first(),
                }
            }
        };
        let call = Call {
            gate,
            slot: 0,
            kind: CallKind::Function,
            encoding: Encoding::Json,
            place,
            length: text.len() as u32,
            deadline: clock::to_tick(clock::now() + 20_000_000_000),
            chain: None,
        };
        self.calls += 1;
        self.ring.publish(outbox, &call, &mut cell);
        self.link.peer().bell.ring();
        let answer = self.answer();
        if let Some(run) = run {
            self.blocks.free(run);
        }
        answer
    }

    fn answer(&self) -> Result<Vec<u8>, Code> {
        let (inbox, geometry) = (&self.link.peer().inbox, self.link.geometry);
        proc::eventually("an answer", || {
            let state = slot::state(inbox, geometry, 0);
            match state == self.calls {
                true => Ok(()),
                false => Err(format!("state {state} of call {}", self.calls)),
            }
        });
        let mut cell = Cell::default();
        let reply = slot::read(inbox, geometry, 0, &mut cell).expect("an honest reply");
        let bytes = self.payload(&reply, &cell);
        flags::release(&self.link.outbox, geometry, 0, self.calls);
        match reply.ok {
            true => Ok(bytes),
            // The first field of the record for errors, which is at the end of the archive.
            false => {
                let number = bytes.last_chunk::<28>().expect("a record");
                let code = u16::from_le_bytes([number[0], number[1]]);
                Err(Code::from_u16(code).expect("a code that is known"))
            }
        }
    }

    fn payload(&self, reply: &Reply, cell: &Cell) -> Vec<u8> {
        let length = reply.length as usize;
        match reply.place {
            Place::Inline => cell.inline()[..length].to_vec(),
            Place::Blocks { block } => {
                let mut bytes = vec![0; length];
                let region = Region::outbox(self.link.geometry);
                blocks::read(&self.link.peer().inbox, region, block, &mut bytes);
                bytes
            }
            Place::Extent(_) => panic!("such answers are short"),
        }
    }

    /// Checks that the provider still serves it.
    fn is_served(&mut self, gate: u16) {
        let sum = self.call(gate, GOOD.as_bytes()).expect("a result");
        assert_eq!(sum, br#"{"title":"x","total":3,"count":2}"#);
    }
}

#[test]
fn json_that_is_none_ends_its_call_and_not_the_link() {
    for mode in ["thread", "pool", "pump"] {
        let scene = Scene::new(mode);
        let (mut villain, gate) = Villain::new(&scene);
        villain.is_served(gate);
        let nested = "[".repeat(40_000);
        let unknown = format!(
            r#"[{{"title":"x","gain":1,"samples":[1],"x":{}}}]"#,
            "[".repeat(5000)
        );
        let wrong: [(&[u8], Code); 17] = [
            (b"", Code::Protocol),
            (b"[", Code::Protocol),
            (b"\xff\xfe", Code::Protocol),
            (b"\0\0\0\0\0\0\0\0", Code::Protocol),
            (nested.as_bytes(), Code::TypeMismatch),
            (unknown.as_bytes(), Code::TypeMismatch),
            (
                br#"[{"title":"\ud800","gain":1,"samples":[]}]"#,
                Code::Protocol,
            ),
            (
                br#"[{"title":"x","gain":1,"samples":[1,2]}]]"#,
                Code::Protocol,
            ),
            (b"[]", Code::LengthMismatch),
            (b"[1,2]", Code::LengthMismatch),
            (b"[null]", Code::ValueNull),
            (b"[7]", Code::TypeMismatch),
            (
                br#"[{"title":"x","gain":1,"samples":[4294967296]}]"#,
                Code::TypeMismatch,
            ),
            (
                br#"[{"title":"x","gain":1e999,"samples":[]}]"#,
                Code::TypeMismatch,
            ),
            (
                br#"[{"title":"x","gain":1,"samples":[-1]}]"#,
                Code::TypeMismatch,
            ),
            (
                br#"[{"title":"x","title":"y","gain":1,"samples":[]}]"#,
                Code::TypeMismatch,
            ),
            (br#"[{"gain":1,"samples":[]}]"#, Code::TypeMismatch),
        ];
        for (text, code) in wrong {
            let shown = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
            assert_eq!(villain.call(gate, text), Err(code), "{shown}");
        }
        villain.is_served(gate);
    }
}

#[test]
fn whatever_bytes_come_the_provider_goes_on() {
    let scene = Scene::new("thread");
    let (mut villain, gate) = Villain::new(&scene);
    let mut random = Random::new("JSON");
    for _ in 0..2_000 {
        let mut text = GOOD.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(text.len());
            match random.below(4) {
                0 => text[at] = random.number() as u8,
                1 => text[at] = br#"[]{},:"0-e.\tfn"#[random.below(15)],
                2 => drop(text.remove(at)),
                _ => text.insert(at, text[at]),
            }
        }
        let known = [
            Code::Protocol,
            Code::TypeMismatch,
            Code::ValueNull,
            Code::LengthMismatch,
        ];
        if let Err(code) = villain.call(gate, &text) {
            assert!(
                known.contains(&code),
                "{code}: {}",
                String::from_utf8_lossy(&text)
            );
        }
    }
    villain.is_served(gate);
}

/// A gate that takes only archives refuses JSON, and its handler does not get it as bytes.
#[test]
fn gates_that_take_archives_alone_refuse_json() {
    let scene = Scene::new("thread");
    let (mut villain, gate) = Villain::new(&scene);
    let later = villain.raw.route_to::<(u32,), u32>("S.Later");
    assert_eq!(villain.call(later.index, b"[7]"), Err(Code::TypeMismatch));
    villain.is_served(gate);
}

/// In JSON, too, an index that was never granted and a half that does not exist are refused.
#[test]
fn json_opens_no_gate_that_an_archive_does_not() {
    let scene = Scene::new("thread");
    let (mut villain, gate) = Villain::new(&scene);
    let other = villain.call(gate + 1, b"[1]");
    assert_eq!(other, Err(Code::PermissionDenied));
    let note = villain.raw.route_to::<(u32,), ()>("S.Note");
    assert_eq!(villain.call(note.index, b"[1]"), Err(Code::NotReady));
    villain.is_served(gate);
}
