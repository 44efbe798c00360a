//! Persistent shares over real sockets: what is in the file before any plugin has the share, and which plugins are given the file itself.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use callgate::Broker;
use callgate_layout::Code;
use callgate_layout::control::{SessionToPlugin, ShareToBroker, ToPlugin};
use callgate_layout::sys::memfd;

use crate::support::shares::{Had, bytes_of, making, want};
use crate::support::{Bus, Peer, bus, code_of};

const TAG: &str = "Keep.Table";
const LEN: u64 = 10_000;

/// A wish for the persistent share; perhaps with the offer to make it, perhaps with the file itself.
fn persistent(request: u32, makes: bool, in_place: bool) -> ShareToBroker {
    let mut want = want(request, TAG, makes);
    if let ShareToBroker::Want { make, trusts, .. } = &mut want {
        *trusts = in_place;
        if let Some(make) = make {
            make.persistent = true;
        }
    }
    want
}

/// The same for another tag.
fn of_tag(mut want: ShareToBroker, name: &str) -> ShareToBroker {
    if let ShareToBroker::Want { tag, .. } = &mut want {
        *tag = name.into();
    }
    want
}

/// Makes the share, and lets it go.
fn make(peer: &mut Peer, byte: u8) -> Had {
    make_tag(peer, TAG, byte)
}

fn make_tag(peer: &mut Peer, tag: &str, byte: u8) -> Had {
    peer.send(of_tag(persistent(1, true, false), tag));
    let making = peer.create();
    peer.send(ShareToBroker::Make { making, len: LEN });
    peer.writes(byte);
    let had = peer.have();
    peer.send(ShareToBroker::Relinquish { share: had.share });
    had
}

/// The path of a file, if it has one.
fn path(file: &OwnedFd) -> PathBuf {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

/// The value, which is at the beginning of the file or memory.
fn value(had: &Had) -> Vec<u8> {
    let file = File::from(had.memory.as_ref().unwrap().try_clone().unwrap());
    let mut bytes = vec![0; had.version.len as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Removes the share. Returns the code of a refusal.
fn remove(peer: &mut Peer) -> Option<Code> {
    remove_tag(peer, TAG)
}

fn remove_tag(peer: &mut Peer, tag: &str) -> Option<Code> {
    let tag = tag.into();
    peer.send(ShareToBroker::Remove { request: 99, tag });
    match peer.record() {
        ToPlugin::Session(SessionToPlugin::Answer { failure, .. }) => failure.as_ref().map(code_of),
        other => panic!("no answer: {other:?}"),
    }
}

/// A new broker in the place of one that has ended.
fn restarted(bus: Bus) -> Bus {
    let Bus {
        broker,
        socket,
        directory,
    } = bus;
    broker.stop();
    let broker = Broker::builder().socket(&socket).start().unwrap();
    Bus {
        broker,
        socket,
        directory,
    }
}

/// From end to end: the version is in the file when its maker has it, and the next broker finds it under the same name.
#[test]
fn a_persistent_share_is_found_by_the_next_broker() {
    let bus = bus();
    let made = make(&mut bus.plugin("maker"), 5);
    let bus = restarted(bus);
    let mut reader = bus.plugin("reader");
    reader.send(persistent(1, true, false));
    let found = reader.have();
    assert_eq!(found.version.name, made.version.name);
    assert_eq!((found.version.len, &*found.version.maker), (LEN, "maker"));
    assert!(!found.version.in_place);
    let memory = found.memory.as_ref().unwrap();
    assert!(memfd::is_sealed_for_good(memory.as_fd()));
    assert_eq!(bytes_of(memory), [5; LEN as usize]);
    assert_eq!(found.page.number(), 1);
    assert_eq!(remove(&mut reader), None);
    assert_eq!(remove(&mut reader), Some(Code::NotReady));
    assert_eq!(found.page.number(), 0, "nobody finds it any more");
}

/// A plugin that does not trust the others must not read what they can change; one that does gets the file without a copy.
#[test]
fn only_who_trusts_its_peers_is_given_the_file_itself() {
    let bus = bus();
    let name = make(&mut bus.plugin("maker"), 6).version.name;
    // In any order, each plugin gets what it asks for.
    for turns in [[true, false, true], [false, true, false]] {
        let mut users = Vec::new();
        for (turn, trusts) in turns.into_iter().enumerate() {
            let mut user = bus.plugin(&format!("user-{turn}"));
            user.send(persistent(1, false, trusts));
            let had = user.have();
            let memory = had.memory.as_ref().unwrap();
            let is_file = path(memory).starts_with("/dev/shm/");
            assert_eq!(had.version.in_place, is_file);
            assert!(trusts || !is_file, "turn {turn} of {turns:?}");
            assert_eq!(memfd::is_sealed_for_good(memory.as_fd()), !is_file);
            let first_of_all = turn == 0;
            assert!(!first_of_all || is_file == trusts);
            let writes = File::from(memory.try_clone().unwrap()).write_at(b"x", 0);
            assert!(writes.is_err());
            assert_eq!(had.version.name, name);
            assert_eq!(value(&had), [6; LEN as usize]);
            users.push((user, had));
        }
        for (user, had) in &mut users {
            user.send(ShareToBroker::Relinquish { share: had.share });
        }
    }
    assert_eq!(remove(&mut bus.plugin("remover")), None);
}

/// A new version of a persistent share that nobody uses gets the number after the one in the file: readers that have
/// seen that one would take a lower number for an old version.
#[test]
fn a_version_of_a_share_that_nobody_uses_follows_the_one_in_the_file() {
    let bus = bus();
    let first = make(&mut bus.plugin("maker"), 1).version.name;
    let bus = restarted(bus);
    let mut other = bus.plugin("other");
    let mut make = making(7);
    make.persistent = true;
    let (tag, len, request) = (TAG.into(), LEN, 4);
    other.send(ShareToBroker::Publish {
        request,
        tag,
        make,
        len,
    });
    other.writes(2);
    let second = other.have();
    assert_eq!(second.version.name.incarnation, first.incarnation);
    assert_eq!(second.version.name.number, first.number + 1);
    assert_eq!(second.page.number(), 2);
    // A version of another type is refused, whichever plugin used the share when.
    other.send(ShareToBroker::Relinquish {
        share: second.share,
    });
    let mut make = making(8);
    make.persistent = true;
    let tag = TAG.into();
    other.send(ShareToBroker::Publish {
        request,
        tag,
        make,
        len,
    });
    other.writes(3);
    let (_, failure) = other.dropped();
    assert_eq!(code_of(&failure), Code::ShareTypeMismatch, "{failure:?}");
    assert_eq!(remove(&mut other), None);
}

/// A plugin that may not make the share cannot remove it for the others.
#[test]
fn who_must_not_make_a_share_cannot_remove_it() {
    let policy = callgate::Policy::new().read_shares("*");
    let bus = crate::support::bus_with(|builder| builder.plugin("reader", policy));
    make(&mut bus.plugin("maker"), 5);
    assert_eq!(
        remove(&mut bus.plugin("reader")),
        Some(Code::PermissionDenied)
    );
    let mut other = bus.plugin("other");
    other.send(persistent(1, false, false));
    assert_eq!(value(&other.have()), [5; LEN as usize]);
    assert_eq!(remove(&mut other), None);
}

/// Storing a version does not wait until all requested files have been copied: any plugin that may read can have
/// files loaded at will.
#[test]
fn what_is_kept_does_not_wait_for_all_that_is_loaded() {
    let bus = bus();
    let tags: Vec<String> = (0..3).map(|n| format!("Keep.{n}")).collect();
    let mut maker = bus.plugin("maker");
    for tag in &tags {
        make_tag(&mut maker, tag, 1);
    }
    let mut reader = bus.plugin("reader");
    reader.send(of_tag(persistent(1, false, true), &tags[0]));
    let file = reader.have();
    let path = path(file.memory.as_ref().unwrap());
    let share = file.share;
    reader.send(ShareToBroker::Relinquish { share });
    // Another process has the lock, so each task with the files waits for it, and fails after a second.
    let lock_path = path.with_extension("");
    std::fs::remove_file(&lock_path).unwrap();
    let lock = File::create(&lock_path).unwrap();
    lock.lock().unwrap();
    for (request, tag) in (2..).zip(&tags) {
        reader.send(of_tag(persistent(request, false, false), tag));
    }
    let loaded = thread::spawn(move || {
        (0..3).for_each(|_| drop(reader.refused()));
        (Instant::now(), reader)
    });
    let mut make = making(7);
    make.persistent = true;
    maker.send(ShareToBroker::Publish {
        request: 2,
        tag: TAG.into(),
        make,
        len: LEN,
    });
    maker.writes(2);
    assert_eq!(code_of(&maker.dropped().1), Code::System);
    let saved = Instant::now();
    let (loaded, mut reader) = loaded.join().unwrap();
    assert!(saved < loaded, "it waited for all of them");
    drop(lock);
    std::fs::remove_file(&lock_path).unwrap();
    for tag in &tags {
        assert_eq!(remove_tag(&mut reader, tag), None);
    }
}
