//! What the broker is told when shares are let go, and what a tag finds.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Weak};

use callgate_layout::control::{Form, ShareToBroker, VersionFacts, VersionName};
use callgate_layout::shares::page::{PAGE_LEN, PageReader, PageWriter};
use callgate_layout::shares::sealed::Sealed;
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::sys::memfd;
use callgate_layout::view::{ReadView, WriteView};
use parking_lot::Mutex;

use super::held::Held;
use super::made::What;
use super::table::{Found, Table};
use super::used::{Known, Made, Place, TellsBroker, Used, Version};
use super::watched::Watched;
use crate::link::peer::Caller;
use callgate_layout::Code;

/// The records that a broker was sent.
#[derive(Default)]
struct Broker(Mutex<Vec<ShareToBroker>>);

impl TellsBroker for Broker {
    fn tell(&self, record: ShareToBroker) {
        self.0.lock().push(record);
    }
}

struct Scene {
    table: Arc<Table>,
    broker: Arc<Broker>,
    page: PageWriter,
    reader: PageReader,
}

const TAG: &str = "A.Share";
const INCARNATION: u64 = 77;

impl Scene {
    fn new() -> Scene {
        let (page, reader) = page();
        Scene {
            table: Arc::default(),
            broker: Arc::default(),
            page,
            reader,
        }
    }

    fn place(&self, of: u64) -> Place {
        let broker: Arc<dyn TellsBroker> = self.broker.clone();
        Place {
            of,
            broker: Arc::downgrade(&broker),
            share: 5,
            page: self.reader.clone(),
            incarnation: INCARNATION,
        }
    }

    fn used(&self) -> Arc<Used> {
        let what = Arc::new(What::of::<u32>().unwrap());
        let used = Used::new((&TAG.into(), &what), self.table.finds(), self.place(1));
        self.table.put_used(&used);
        used
    }

    /// A version that the broker has sent: its number is `number`, and `number` + 100 at the broker.
    fn version(&self, used: &Arc<Used>, number: u64) -> Arc<Version> {
        self.page.store(number);
        let bytes = (number as u32).to_le_bytes();
        used.sent(facts(number), 1, sealed(&bytes))
    }

    fn held(&self, version: &Arc<Version>) -> Arc<Held<u32>> {
        self.table.put(Arc::new(Held::of(version).unwrap()))
    }

    fn find(&self) -> Option<Arc<Held<u32>>> {
        self.table.find::<u32>(TAG, false)
    }

    /// The records since the last call.
    fn told(&self) -> Vec<ShareToBroker> {
        std::mem::take(&mut *self.broker.0.lock())
    }
}

fn page() -> (PageWriter, PageReader) {
    let file = memfd::create("test-page", PAGE_LEN).unwrap();
    let map = Mapping::writable(file.try_clone().unwrap(), PAGE_LEN).unwrap();
    let read = Mapping::read_only(file, PAGE_LEN).unwrap();
    let writer = PageWriter::new(WriteView::new(map).unwrap());
    (writer, PageReader::new(ReadView::new(read)))
}

fn name(number: u64) -> VersionName {
    VersionName {
        incarnation: INCARNATION,
        number,
    }
}

fn facts(number: u64) -> VersionFacts {
    VersionFacts {
        version: 100 + number,
        name: name(number),
        len: 4,
        form: Form::Archive,
        maker: "Maker".to_owned(),
        in_place: false,
    }
}

fn file(bytes: &[u8]) -> OwnedFd {
    memfd::sealed("test-version", bytes).unwrap()
}

fn sealed(bytes: &[u8]) -> Sealed {
    Sealed::shared(file(bytes).as_fd(), bytes.len()).unwrap()
}

const RELINQUISH: ShareToBroker = ShareToBroker::Relinquish { share: 5 };

fn done(number: u64) -> ShareToBroker {
    ShareToBroker::Done {
        version: 100 + number,
    }
}

#[test]
fn the_last_guard_lets_version_and_share_go() {
    let scene = Scene::new();
    let used = scene.used();
    let first = scene.version(&used, 1);
    let (a, b) = (scene.held(&first), scene.held(&first));
    assert!(Arc::ptr_eq(&a, &b));
    drop((used, first, a));
    assert_eq!(scene.told(), []);
    assert!(Arc::ptr_eq(&scene.find().unwrap(), &b));
    drop(b);
    // It is the newest version, which ends with the use of the share.
    assert_eq!(scene.told(), [RELINQUISH]);
    assert!(scene.find().is_none());
    assert!(matches!(scene.table.look(TAG), Found::Nothing));
}

#[test]
fn a_superseded_version_is_done_with_its_last_guard() {
    let scene = Scene::new();
    let used = scene.used();
    let old = scene.held(&scene.version(&used, 1));
    scene.page.store(2);
    assert!(scene.find().is_none(), "there is a newer one");
    let new = scene.held(&scene.version(&used, 2));
    assert_eq!(scene.told(), []);
    drop(old);
    assert_eq!(scene.told(), [done(1)]);
    assert!(Arc::ptr_eq(&scene.find().unwrap(), &new));
    drop((new, used));
    assert_eq!(scene.told(), [RELINQUISH]);
}

/// A version that was let go while it was the newest stayed charged to this plugin for ever.
#[test]
fn what_was_let_go_too_early_is_done_with_the_next() {
    let scene = Scene::new();
    let used = scene.used();
    drop(scene.version(&used, 1));
    assert_eq!(scene.told(), []);
    // The same version, sent once more, leaves nothing owed.
    drop(scene.version(&used, 1));
    let second = scene.version(&used, 2);
    assert_eq!(scene.told(), [done(1)]);
    drop(second);
    let again = scene.version(&used, 2);
    drop((again, used));
    assert_eq!(scene.told(), [RELINQUISH]);
}

#[test]
fn nobody_is_told_where_no_broker_knows_the_use() {
    let scene = Scene::new();
    let used = scene.used();
    let held = scene.held(&scene.version(&used, 1));
    assert!(used.detach().is_some());
    scene.table.remove(&used);
    assert!(scene.find().is_none());
    assert_eq!(held.shown.to_native(), 1);
    drop((used, held));
    assert_eq!(scene.told(), []);
    // Nor if the broker has ended.
    let mut place = scene.place(1);
    let gone: Weak<Broker> = Weak::new();
    place.broker = gone;
    let what = Arc::new(What::of::<u32>().unwrap());
    drop(Used::new((&TAG.into(), &what), scene.table.finds(), place));
    assert_eq!(scene.told(), []);
}

#[test]
fn the_next_broker_has_numbers_of_its_own() {
    let scene = Scene::new();
    let used = scene.used();
    let held = scene.held(&scene.version(&used, 3));
    let (page, reader) = page();
    page.store(3);
    let mut place = scene.place(2);
    (place.page, place.share) = (reader, 9);
    let mut there = facts(3);
    there.version = 500;
    let known = Some(Known::Is(used.what.as_type()));
    used.attach((place, known), there, None);
    scene.table.moved(&used);
    assert!(Arc::ptr_eq(&scene.find().unwrap(), &held));
    page.store(4);
    drop(held);
    assert_eq!(scene.told(), [ShareToBroker::Done { version: 500 }]);
    drop(used);
    assert_eq!(scene.told(), [ShareToBroker::Relinquish { share: 9 }]);
}

/// A version of another incarnation of the share with the same number was taken for the one that was held.
#[test]
fn another_share_of_the_same_number_is_another_one() {
    let scene = Scene::new();
    let used = scene.used();
    let held = scene.held(&scene.version(&used, 1));
    let (page, reader) = page();
    page.store(1);
    let mut place = scene.place(2);
    (place.page, place.incarnation) = (reader, INCARNATION + 1);
    let mut other = facts(1);
    other.name.incarnation = INCARNATION + 1;
    used.attach((place, None), other, Some(file(&[9, 0, 0, 0])));
    scene.table.moved(&used);
    assert!(scene.find().is_none());
    assert_eq!(used.known(), None);
    assert!(used.newest().is_none());
    let (facts, file) = used.take_parcel(|_| true).unwrap();
    let memory = Sealed::shared(file.as_fd(), 4).unwrap();
    let new = scene.held(&used.sent(facts, 2, memory));
    assert_eq!((held.shown.to_native(), new.shown.to_native()), (1, 9));
    assert!(Arc::ptr_eq(&scene.find().unwrap(), &new));
}

#[test]
fn what_comes_late_does_not_take_the_place_of_a_newer_one() {
    let scene = Scene::new();
    let used = scene.used();
    let old = scene.version(&used, 1);
    let new = scene.held(&scene.version(&used, 2));
    let late = scene.held(&old);
    assert_eq!(late.shown.to_native(), 1);
    assert!(Arc::ptr_eq(&scene.find().unwrap(), &new));
}

#[test]
fn bytes_that_are_no_value_are_their_maker_s_fault() {
    let scene = Scene::new();
    let used = scene.used();
    let version = used.sent(facts(1), 1, sealed(&[1, 2, 3]));
    let error = Held::<u32>::of(&version).err().unwrap();
    assert_eq!(error.code(), Code::Protocol);
    assert!(error.message().contains("`Maker`"), "{error}");
    let text = Held::<String>::of(&version).err().unwrap();
    assert_eq!(text.code(), Code::Protocol);
    let slice = Held::<[u16]>::of(&version).err().unwrap();
    assert_eq!(slice.code(), Code::Protocol);
    assert_eq!(
        Held::<[u8]>::of(&version).ok().unwrap().shown[..],
        [1, 2, 3]
    );
}

/// What a plugin had made was not given to the next broker once it had looked at it itself; or it was, though somebody
/// else had made a newer version.
#[test]
fn what_was_made_is_kept_until_there_is_a_newer_version() {
    let scene = Scene::new();
    let used = scene.used();
    used.set_made(Arc::new(Made {
        facts: facts(1),
        file: file(&[1, 0, 0, 0]),
        persistent: false,
        what: used.what.clone(),
    }));
    let own = scene.held(&scene.version(&used, 1));
    assert!(used.made().is_some_and(|made| made.facts.name == name(1)));
    let _newer = scene.held(&scene.version(&used, 2));
    assert!(used.made().is_none());
    drop(own);
}

/// A watch that had ended asked the broker again after each answer, and its question stayed there.
#[test]
fn a_watch_that_has_ended_asks_no_more() {
    let me = Caller {
        name: "Me".to_owned(),
        display_name: String::new(),
        version: String::new(),
        pid: 1,
        plugin: 1,
    };
    let told = Box::new(|_| ());
    let watched = Watched::new(TAG.into(), (&Arc::default(), &Arc::new(me)), told);
    assert_eq!(watched.ask(1, 10), Some(None));
    assert_eq!(watched.ask(1, 11), None, "it is asked already");
    assert_eq!(watched.ask(2, 12), Some(None), "another broker is not");
    assert!(!watched.is_over());
    assert_eq!(watched.end_asking(), Some((2, 12)));
    assert!(watched.is_over());
    assert_eq!((watched.ask(3, 13), watched.end_asking()), (None, None));
}
