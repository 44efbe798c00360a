//! Shares over real sockets: memory that is made once, sealed for good, and read by many.

mod hostile;
mod memory;
mod returned;

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use callgate_layout::control::{Failure, Form, MAX_SHORT, ShareFit, ShareToBroker, ShareToPlugin};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::{Code, Encoding};

use crate::support::shares::{bytes_of, fetch, publish_short, want, wanted, watch};
use crate::support::{bus, code_of, eventually};

const LEN: u64 = 10_000;

/// From end to end: one plugin makes the share, all that waited get the same memory, and nobody can change it.
#[test]
fn a_share_is_made_once_and_read_by_all_that_waited() {
    let bus = bus();
    let (mut maker, mut reader, mut late) = (
        bus.plugin("maker"),
        bus.plugin("reader"),
        bus.plugin("late"),
    );
    late.send(want(3, "Osc.Table", false));
    assert_eq!(code_of(&late.refused()), Code::NotReady);
    maker.send(want(1, "Osc.Table", true));
    let making = maker.create();
    reader.send(want(2, "Osc.Table", true));
    assert!(reader.is_quiet(), "one makes it, the others wait");
    maker.send(ShareToBroker::Make { making, len: LEN });
    let memory = maker.memory_to_write();
    assert_eq!(
        (memory.making, memory.request, memory.len),
        (making, 0, LEN)
    );
    assert_eq!(
        memfd::allocated(memory.file.as_fd()).unwrap(),
        0,
        "its maker allocates it"
    );
    memory.fill(5);
    let file = File::from(memory.file.try_clone().unwrap());
    for len in [0, LEN + 1] {
        assert_eq!(
            file.set_len(len).unwrap_err().kind(),
            ErrorKind::PermissionDenied
        );
    }
    maker.send(ShareToBroker::Written { making });
    let (made, read) = (maker.have(), reader.have());
    late.send(want(4, "Osc.Table", false));
    for had in [&made, &read, &late.have()] {
        assert_eq!(had.share, made.share);
        assert_eq!(had.version, made.version);
        assert_eq!((had.version.len, had.version.name.number), (LEN, 1));
        assert_eq!(
            (&*had.version.maker, had.fit.clone()),
            ("maker", ShareFit::Same)
        );
        assert_eq!(had.page.number(), 1);
        let memory = had.memory.as_ref().unwrap();
        assert_eq!(bytes_of(memory), [5; LEN as usize]);
        assert!(memfd::is_sealed_for_good(memory.as_fd()));
        assert!(Mapping::writable(memory.try_clone().unwrap(), LEN as usize).is_err());
        let page = had.page_file.try_clone().unwrap();
        assert!(Mapping::writable(page.try_clone().unwrap(), 8).is_err());
        assert!(
            File::from(page).write_at(&[9], 0).is_err(),
            "the page is the broker's"
        );
    }
    // A descriptor that was for writing cannot write any more.
    assert!(file.write_at(&[6], 0).is_err());
}

/// The bytes of a short version are in the record that publishes it. The memory that readers are sent cannot be changed either, and the
/// broker's own descriptors of it go with the share.
#[test]
fn a_short_version_is_sealed_by_the_broker() {
    let bus = bus();
    let (mut maker, mut reader) = (bus.plugin("maker"), bus.plugin("reader"));
    maker.send(publish_short(1, "t", b"a"));
    let made = maker.have();
    reader.send(want(1, "t", false));
    let read = reader.have();
    for had in [&made, &read] {
        let memory = had.memory.as_ref().unwrap();
        assert_eq!(bytes_of(memory), *b"a");
        assert!(memfd::is_sealed_for_good(memory.as_fd()));
        let file = File::from(memory.try_clone().unwrap());
        assert!(file.write_at(b"b", 0).is_err());
    }
    let longest = [5; MAX_SHORT];
    maker.send(publish_short(2, "t", &longest));
    let newer = maker.have();
    assert_eq!((newer.request, newer.version.name.number), (2, 2));
    assert_eq!(read.page.number(), 2);
    reader.send(fetch(3, read.share, Encoding::Archive));
    let (version, memory) = reader.version();
    assert_eq!(version, newer.version);
    assert_eq!(bytes_of(&memory), longest);
    maker.send(publish_short(3, "t", &[5; MAX_SHORT + 1]));
    assert_eq!(code_of(&maker.refused()), Code::InvalidArgument);
}

/// The number of the newest version is on the page, and plugins that have the version before keep it.
#[test]
fn a_version_is_published_and_fetched() {
    let bus = bus();
    let (mut maker, mut reader, mut other) = (
        bus.plugin("maker"),
        bus.plugin("reader"),
        bus.plugin("other"),
    );
    reader.send(watch(9, "t", None));
    let made = maker.makes("t", (LEN, 1));
    assert_eq!(reader.changed(), Some(made.version.name));
    reader.send(want(1, "t", false));
    let read = reader.have();
    other.send(watch(9, "t", Some(made.version.name)));
    let newer = maker.publishes("t", (2 * LEN, 2));
    assert_eq!((newer.share, newer.request), (made.share, 2));
    assert_eq!(
        newer.version.name.incarnation,
        made.version.name.incarnation
    );
    assert_eq!((newer.version.name.number, newer.version.len), (2, 2 * LEN));
    assert_eq!(
        (read.page.number(), other.changed()),
        (2, Some(newer.version.name))
    );
    reader.send(fetch(3, read.share, Encoding::Archive));
    let (version, memory) = reader.version();
    assert_eq!(version, newer.version);
    assert_eq!(bytes_of(&memory), [2; 2 * LEN as usize]);
    assert_eq!(bytes_of(read.memory.as_ref().unwrap()), [1; LEN as usize]);
    // A version that another plugin publishes after that has the next number.
    let third = other.publishes("t", (LEN, 3));
    assert_eq!((third.share, third.version.name.number), (made.share, 3));
    for peer in [&maker, &reader, &other] {
        peer.send(ShareToBroker::Relinquish { share: made.share });
    }
    eventually("the share is gone", || read.page.number() == 0);
    reader.send(want(5, "t", false));
    assert_eq!(code_of(&reader.refused()), Code::NotReady);
    let again = reader.makes("t", (LEN, 4));
    assert_eq!(again.version.name.number, 1);
    assert_ne!(
        again.version.name.incarnation,
        made.version.name.incarnation
    );
}

/// If a maker gives up or dies, the next plugin in the row makes the share.
#[test]
fn the_next_one_makes_it() {
    let bus = bus();
    let [mut a, mut b, mut c] = ["a", "b", "c"].map(|name| bus.plugin(name));
    let mut making = 0;
    for (plugin, place) in [(&mut a, 1), (&mut b, 2), (&mut c, 3)] {
        plugin.send(want(1, "t", true));
        // Each plugin reads an answer after its wish, so they stand in the row in this order.
        plugin.send(want(2, "absent", false));
        if place == 1 {
            making = plugin.create();
        }
        assert_eq!(code_of(&plugin.refused()), Code::NotReady);
    }
    let failure = Failure::new(Code::HandlerError, "no");
    a.send(ShareToBroker::GaveUp { making, failure });
    let making = b.create();
    b.send(ShareToBroker::Make { making, len: LEN });
    drop(b.memory_to_write());
    drop(b);
    let making = c.create();
    c.send(ShareToBroker::Make { making, len: LEN });
    c.writes(7);
    assert_eq!(c.have().version.maker, "c");
}

/// A version of another type is written as JSON by its maker.
#[test]
fn a_twin_is_made_by_the_maker() {
    let bus = bus();
    let (mut maker, mut reader) = (bus.plugin("maker"), bus.plugin("reader"));
    let made = maker.makes("t", (LEN, 1));
    let mut other = want(1, "t", false);
    if let ShareToBroker::Want { wanted: theirs, .. } = &mut other {
        *theirs = wanted(8);
    }
    reader.send(other);
    let read = reader.have();
    assert!(matches!(read.fit, ShareFit::Differs { .. }) && read.memory.is_none());
    reader.send(fetch(2, read.share, Encoding::Json));
    let making = match maker.share_record().0 {
        ShareToPlugin::Convert { making, version } => {
            assert_eq!(version, made.version.version);
            making
        }
        other => panic!("nothing to convert: {other:?}"),
    };
    maker.send(ShareToBroker::Make { making, len: 4 });
    maker.writes(b'1');
    let (twin, memory) = reader.version();
    assert_eq!((twin.form, twin.len), (Form::Json, 4));
    assert_eq!(twin.name, made.version.name);
    assert_ne!(twin.version, made.version.version);
    assert_eq!(bytes_of(&memory), b"1111");
}
