//! A plugin that breaks the rules of the control socket, or tries to use memory that is not its own, while others
//! call each other.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use callgate_layout::control::{
    GateToBroker, GateToPlugin, LinkEnd, LinkToBroker, MAX_RECORD, Pulse, SessionToBroker,
    ToBroker, ToPlugin, VERSION, header,
};
use callgate_layout::pages::{DOORBELL_LEN, STATUS_LEN};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::{fdpass, memfd};
use callgate_layout::{Code, Geometry};
use callgate_tests::raw::{Raw, copy, hello, outbox_mapped, peer_mapped};

use crate::scene::Scene;

/// The session of `raw` ends with this code and a text that says why. The others do not notice it.
fn expect_end(scene: &mut Scene, raw: &mut Raw, expected: Code, word: &str) {
    let (code, message) = raw.ended();
    assert_eq!(code, expected, "{message}");
    assert!(message.contains(word), "{message}");
    scene.is_well();
}

/// A plugin that never acknowledges its outbox loses that link. It does not delay the provider's other links, and the
/// memory is given back.
#[test]
fn who_never_acknowledges_its_outbox_loses_the_link_alone() {
    let mut scene = Scene::new();
    // It plays a caller, towards an honest provider.
    let mut caller = Raw::join(&scene.bus, "caller");
    caller.open::<(u64, u64), u64>("anvil.Add");
    let outbox = caller.new_outbox();
    // It plays a provider, towards an honest caller, which is told that nobody provides the gate.
    let mut provider = Raw::join(&scene.bus, "provider");
    provider.provide::<(u64, u64), u64>("provider.Add");
    let timeout = Duration::from_secs(2);
    scene.ask("provider.Add", timeout);
    let other = provider.new_outbox();
    for (raw, link) in [(&mut caller, &outbox), (&mut provider, &other)] {
        let (code, message) = raw.gone(link.end);
        assert_eq!(code, Code::Timeout, "{message}");
        assert!(message.contains("map its outbox"), "{message}");
    }
    let line = scene.honest.expect_line();
    assert_eq!(Scene::outcome(&line, timeout), "TIMEOUT");
    scene.is_well();
    scene.end();
}

/// A plugin that seals its outbox against sealing loses its session: it could keep a second writer of the outbox.
#[test]
fn who_seals_its_outbox_first_loses_its_session_alone() {
    let mut scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "villain");
    raw.open::<(u64, u64), u64>("anvil.Add");
    let outbox = raw.new_outbox();
    memfd::seal_seals(outbox.outbox_fd.as_fd()).expect("it can still be sealed");
    raw.send(outbox_mapped(outbox.end));
    expect_end(&mut scene, &mut raw, Code::Protocol, "sealed its outbox");
    scene.end();
}

/// An acknowledgement that is repeated, or that names a link of others, ends the session. It does not put a half-made
/// link into use or end one that is in use.
#[test]
fn what_was_not_awaited_is_not_acknowledged() {
    let mut scene = Scene::new();
    type Spoil = fn(LinkEnd) -> ToBroker;
    // The side of the honest two's link that is named, if it is not an end of the villain's own.
    let wrong: [(&str, Spoil, Option<u8>); 9] = [
        ("a datagram", |_| SessionToBroker::Took.into(), None),
        (
            "its own outbox again",
            |end| outbox_mapped(end).into(),
            None,
        ),
        (
            "its peer's outbox again",
            |end| peer_mapped(end).into(),
            None,
        ),
        (
            "a grant that it was not given",
            |end| LinkToBroker::GrantInstalled { end, index: 0 }.into(),
            None,
        ),
        (
            "its peer's side",
            |end| outbox_mapped(end.other()).into(),
            None,
        ),
        (
            "the first side of others",
            |end| outbox_mapped(end).into(),
            Some(0),
        ),
        (
            "the second side of others",
            |end| peer_mapped(end).into(),
            Some(1),
        ),
        (
            "a grant of others",
            |end| LinkToBroker::GrantInstalled { end, index: 0 }.into(),
            Some(1),
        ),
        ("a third side", |end| outbox_mapped(end).into(), Some(2)),
    ];
    let mut theirs = None;
    for (number, (what, spoil, side)) in wrong.into_iter().enumerate() {
        let mut raw = Raw::join(&scene.bus, &format!("villain-{number}"));
        let (link, _) = raw.link_to::<(u64, u64), u64>("anvil.Add");
        // The number of the first villain's link follows that of the honest two.
        let link_of_two = *theirs.get_or_insert(link.end.link - 1);
        let end = side.map(|side| LinkEnd {
            link: link_of_two,
            side,
        });
        raw.send(spoil(end.unwrap_or(link.end)));
        let (code, message) = raw.ended();
        assert_eq!(code, Code::Protocol, "{what}: {message}");
        if let Some(0 | 1) = side {
            assert!(message.contains("not its own"), "{what}: {message}");
        }
        scene.is_well();
    }
    // A plugin cannot give up a link of others either.
    let mut raw = Raw::join(&scene.bus, "villain");
    let failure = callgate_layout::control::Failure::new(Code::Protocol, "they are no good");
    let link = theirs.expect("the link of the honest two");
    raw.send(LinkToBroker::Failed {
        end: LinkEnd { link, side: 0 },
        failure,
    });
    expect_end(&mut scene, &mut raw, Code::Protocol, "not its own");
    scene.end();
}

/// A peer cannot shrink memory, which would end its reader with SIGBUS, keep a second map for writing, or write where
/// it may only read.
#[test]
fn memory_has_one_writer_and_keeps_its_size() {
    let scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "villain");
    raw.open::<(u64, u64), u64>("anvil.Add");
    let len = Geometry::DEFAULT.total_len();
    let outbox = raw.new_outbox();
    refuses_to_change_size(&outbox.outbox_fd, len);
    raw.send(outbox_mapped(outbox.end));
    let (end, own) = (outbox.end, copy(&outbox.outbox_fd));
    raw.links.insert(end, outbox);
    raw.follow(|record| match record {
        ToPlugin::Gate(GateToPlugin::State { state, .. }) => state.route,
        _ => None,
    });
    let link = raw.links.remove(&end).expect("the link");
    let [inbox, status, bell] = &link.peer().descriptors;
    for (what, fd, len) in [
        ("own", &own, len),
        ("peer's", inbox, len),
        ("status", status, STATUS_LEN),
    ] {
        for fd in [copy(fd), reopened(fd)] {
            assert!(
                Mapping::writable(copy(&fd), len).is_err(),
                "{what}: a second writable map"
            );
            assert!(
                Mapping::read_only(copy(&fd), len).is_ok(),
                "{what}: a map to read"
            );
            refuses_to_change_size(&fd, len);
            let file = File::from(fd);
            assert!(
                file.write_at(b"x", 0).is_err(),
                "{what}: written by write(2)"
            );
        }
    }
    refuses_to_change_size(bell, DOORBELL_LEN);
    assert!(
        memfd::seal_writer(bell.as_fd()).is_err(),
        "the doorbell was silenced"
    );
    // A map that was made in time still works, and belongs to its maker.
    callgate_layout::hostile::poke(&link.outbox, len - 8, 7);
    drop((raw, link));
    scene.end();
}

fn refuses_to_change_size(fd: &OwnedFd, len: usize) {
    let file = File::from(copy(fd));
    for other in [0, len - 1, len + 4096] {
        assert!(
            file.set_len(other as u64).is_err(),
            "{len} bytes became {other}"
        );
    }
    assert_eq!(file.metadata().expect("a size").len(), len as u64);
    let hole = nix::fcntl::FallocateFlags::FALLOC_FL_PUNCH_HOLE
        | nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE;
    // A writer can punch holes into its memory. They read as zeros, and no access faults.
    let _ = nix::fcntl::fallocate(fd, hole, 0, 4096);
}

/// The same file, opened again for writing by its path.
fn reopened(fd: &OwnedFd) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let file = OpenOptions::new().read(true).write(true).open(path);
    file.expect("the kernel lets its owner open it").into()
}

/// Bytes that are no record end the session of their sender. They neither end the broker nor keep it from serving
/// others.
#[test]
fn noise_on_the_control_socket_ends_the_session_of_its_sender() {
    let mut scene = Scene::new();
    let whole = hello("villain").encode().expect("a record");
    let mut newer = whole.to_vec();
    newer[..16].copy_from_slice(&header(VERSION + 1));
    let protocol = Code::Protocol;
    let noise: [(&str, Vec<u8>, Code); 7] = [
        ("garbage", vec![0x5a; 300], protocol),
        ("half a header", whole[..9].to_vec(), protocol),
        ("a header alone", whole[..16].to_vec(), protocol),
        ("half a record", whole[..whole.len() - 5].to_vec(), protocol),
        ("a datagram too long", vec![0; MAX_RECORD + 1], protocol),
        ("another version", newer, Code::VersionMismatch),
        (
            "a name too long",
            hello(&"n".repeat(20_000))
                .encode()
                .expect("a record")
                .to_vec(),
            Code::InvalidArgument,
        ),
    ];
    for (what, bytes, expected) in noise {
        // Once before the hello, and once after it.
        for joined in [false, true] {
            let mut raw = match joined {
                true => Raw::join(&scene.bus, "villain"),
                false => Raw::connect(&scene.bus),
            };
            raw.send_bytes(&bytes).expect("the broker is there");
            let (code, message) = raw.ended();
            // A second hello is wrong whatever it contains.
            let expected = if joined && expected == Code::InvalidArgument {
                protocol
            } else {
                expected
            };
            assert_eq!(code, expected, "{what}: {message}");
            scene.is_well();
        }
    }
    scene.end();
}

/// An answer to a question that nobody asked ends the session. It must not count as the answer to the next question.
#[test]
fn a_pulse_that_was_not_asked_for_ends_the_session() {
    let mut scene = Scene::new();
    for joined in [false, true] {
        let mut raw = match joined {
            true => Raw::join(&scene.bus, "villain"),
            false => Raw::connect(&scene.bus),
        };
        let (request, pulse) = (1, Pulse::default());
        raw.send(SessionToBroker::Pulse { request, pulse });
        expect_end(&mut scene, &mut raw, Code::Protocol, "not asked");
    }
    scene.end();
}

/// A plugin that floods the broker loses its session: with descriptors, which would fill the broker's table, with
/// records, or with answers that it does not read.
#[test]
fn floods_end_the_session_of_their_sender() {
    let mut scene = Scene::new();
    let mut raw = Raw::join(&scene.bus, "smuggler");
    let file = File::open("/dev/null").expect("it is there");
    let record = ToBroker::from(SessionToBroker::List { request: 1 })
        .encode()
        .expect("a record");
    fdpass::send(raw.socket().as_fd(), &record, &[file.as_fd(); 8]).expect("it can be sent");
    expect_end(&mut scene, &mut raw, Code::Protocol, "descriptors");

    let mut raw = Raw::join(&scene.bus, "flood");
    let record = ToBroker::from(GateToBroker::Close { open: 1 })
        .encode()
        .expect("a record");
    let start = Instant::now();
    while raw.send_bytes(&record).is_ok() {
        assert!(
            start.elapsed() < callgate_tests::PATIENCE,
            "the flood goes on"
        );
    }
    expect_end(&mut scene, &mut raw, Code::Overloaded, "requests");

    // One that asks and does not read the answers cannot be told why its session ends.
    let raw = Raw::join(&scene.bus, "deaf");
    let record = ToBroker::from(SessionToBroker::List { request: 1 })
        .encode()
        .expect("a record");
    let start = Instant::now();
    while raw.send_bytes(&record).is_ok() {
        assert!(
            start.elapsed() < callgate_tests::PATIENCE,
            "it is served for ever"
        );
    }
    scene.is_well();
    drop(raw);
    // Many connections that say nothing delay nobody.
    let silent: Vec<Raw> = (0..200).map(|_| Raw::connect(&scene.bus)).collect();
    drop(Raw::join(&scene.bus, "polite"));
    scene.is_well();
    drop(silent);
    scene.end();
}

/// A plugin cannot take the name or the gate of another one.
#[test]
fn nobody_takes_what_is_anothers() {
    let mut scene = Scene::new();
    let mut raw = Raw::connect(&scene.bus);
    raw.send(hello("anvil"));
    expect_end(&mut scene, &mut raw, Code::NameTaken, "anvil");
    let thief = scene.bus.plugin("thief");
    let refused = thief
        .provide("anvil.Add", |a: u64, _b: u64| a)
        .expect_err("it is provided");
    assert_eq!(refused.code(), Code::AlreadyProvided);
    scene.is_well();
    drop(thief);
    scene.end();
}
