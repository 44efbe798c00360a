//! Persistent shares: after everything was stopped or killed, they are found whole, or not at all.

mod kills;

use std::fs;
use std::process::Command;

use callgate::Broker;
use callgate_client::{Code, Plugin, Share, Shares};
use callgate_tests::cgroup::Cgroup;
use callgate_tests::keeping::{Files, check, fill};
use callgate_tests::{Bus, PATIENCE, programs};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const TAG: &str = "Keep.Table";
/// 8 MiB of words.
const COUNT: usize = 1 << 20;

/// The files of a bus that stores shares.
fn files_of(bus: &Bus) -> Files {
    let broker = bus.broker.as_ref().expect("it runs");
    Files::find(broker.id()).expect("a broker that keeps something has a lock")
}

/// A persistent slice of 8 MiB; returns whether it had to be made.
fn table(plugin: &Plugin, tag: &str) -> (Share<[u64]>, bool) {
    let mut is_made = false;
    let shares = patient(plugin).persistent();
    let share = shares.create_with(tag, COUNT, |words: &mut [u64]| {
        is_made = true;
        fill(tag, 7, words);
    });
    (share.expect("the share"), is_made)
}

fn patient(plugin: &Plugin) -> Shares {
    plugin.shares().timeout(PATIENCE)
}

fn listed(plugin: &Plugin) -> Vec<Value> {
    let list = plugin.list().expect("the broker lists");
    list["shares"].as_array().expect("a list").clone()
}

/// A persistent share is found again after a restart, and need not be computed again.
#[test]
fn a_persistent_share_is_found_again_after_everything_was_stopped() {
    let mut bus = Bus::start(programs!());
    let maker = bus.mortal_plugin("Maker");
    let (share, is_made) = table(&maker, TAG);
    let files = files_of(&bus);
    assert!(is_made);
    let version = share.version();
    drop((share, maker));
    for _ in 0..2 {
        bus.restart_broker();
        let reader = bus.mortal_plugin("Reader");
        let unused = json!({
            "tag": TAG, "owner": "Maker", "bytes": 8 * COUNT, "version": version, "persistent": true,
            "form": "slice", "signature": "(Vec<u64>)", "users": [],
        });
        assert_eq!(listed(&reader), [unused]);
        let (share, is_made) = table(&reader, TAG);
        assert!(!is_made);
        assert_eq!((share.version(), share.maker()), (version, "Maker"));
        assert_eq!(check(TAG, &share), 7);
        assert_eq!(listed(&reader)[0]["users"], json!(["Reader"]));
    }
    assert_eq!(files.shares().len(), 1);
    // The same after a broker that ended in order.
    let broker = bus.broker.as_mut().expect("it runs");
    broker.signal(Signal::SIGTERM);
    broker.wait();
    bus.restart_broker();
    let reader = bus.mortal_plugin("Reader");
    assert!(!table(&reader, TAG).1);
}

/// If a persistent share has another type, the error says what can be done about that.
#[test]
fn a_persistent_share_of_another_type_says_what_can_be_done() {
    let mut bus = Bus::start(programs!());
    let maker = bus.mortal_plugin("Maker");
    let keeping = patient(&maker).persistent();
    let share = keeping.get_or_create(TAG, || "a text".to_owned());
    drop((share.expect("made"), keeping, maker));
    bus.restart_broker();
    let reader = bus.mortal_plugin("Reader");
    let error = patient(&reader)
        .get::<Vec<u32>>(TAG)
        .expect_err("another type");
    assert_eq!(error.code(), Code::ShareTypeMismatch);
    assert!(error.to_string().contains("Shares::remove"), "{error}");
}

/// A share that is not persistent does not become so by another plugin's use, nor the reverse.
#[test]
fn only_what_was_made_to_stay_stays() {
    let mut bus = Bus::start(programs!());
    let maker = bus.mortal_plugin("Maker");
    let _table = table(&maker, TAG);
    let _files = files_of(&bus);
    let passing = patient(&maker).get_or_create("Keep.Passing", || 7_u64);
    assert_eq!(*passing.expect("the share"), 7);
    bus.restart_broker();
    let reader = bus.mortal_plugin("Reader");
    drop(maker);
    let error = patient(&reader).get::<u64>("Keep.Passing").unwrap_err();
    assert_eq!(error.code(), Code::NotReady, "{error}");
    assert_eq!(check(TAG, &patient(&reader).get::<[u64]>(TAG).unwrap()), 7);
}

/// A removed share stays with its users, who keep the memory, and nobody finds it again.
#[test]
fn a_removed_share_stays_with_its_users_and_nobody_finds_it_again() {
    let mut bus = Bus::start(programs!());
    let (maker, reader) = (bus.mortal_plugin("Maker"), bus.mortal_plugin("Reader"));
    let (share, _) = table(&maker, TAG);
    let files = files_of(&bus);
    let read = patient(&reader).get::<[u64]>(TAG).unwrap();
    reader.shares().remove(TAG).unwrap();
    assert!(files.shares().is_empty());
    let again = reader.shares().remove(TAG).unwrap_err();
    assert_eq!(again.code(), Code::NotReady, "{again}");
    assert_eq!((check(TAG, &share), check(TAG, &read)), (7, 7));
    drop((share, read, maker, reader));
    bus.restart_broker();
    let reader = bus.mortal_plugin("Reader");
    let error = patient(&reader).get::<[u64]>(TAG).unwrap_err();
    assert_eq!(error.code(), Code::NotReady, "{error}");
    assert!(table(&reader, TAG).1);
}

/// Damage by another process is noticed before anybody reads the file: it is removed, and the share is made again.
#[test]
fn a_damaged_file_is_removed_and_the_share_made_anew() {
    let mut bus = Bus::start(programs!());
    let maker = bus.mortal_plugin("Maker");
    drop(table(&maker, TAG));
    let files = files_of(&bus);
    drop(maker);
    let path = files.shares().remove(0);
    let bytes = fs::read(&path).expect("the file");
    let damages: [fn(&mut Vec<u8>); 3] = [
        |bytes| bytes[4 << 20] ^= 1,
        |bytes| bytes.truncate(5 << 20),
        |bytes| *bytes.last_mut().expect("a byte") ^= 1,
    ];
    for damage in damages {
        bus.kill_broker();
        let mut damaged = bytes.clone();
        damage(&mut damaged);
        fs::write(&path, damaged).expect("the file");
        bus.start_broker();
        let reader = bus.mortal_plugin("Reader");
        let error = patient(&reader).get::<[u64]>(TAG).unwrap_err();
        assert_eq!(error.code(), Code::NotReady, "{error}");
        assert!(!path.exists());
        let (share, is_made) = table(&reader, TAG);
        assert!(is_made && check(TAG, &share) == 7);
    }
    let log = fs::read_to_string(bus.log()).expect("the log");
    assert_eq!(log.matches(TAG).count(), 3, "{log}");
}

/// The version that is found later is the last one that was published.
#[test]
fn the_last_version_is_the_one_that_is_found() {
    let mut bus = Bus::start(programs!());
    let maker = bus.mortal_plugin("Maker");
    let publisher = patient(&maker)
        .persistent()
        .publisher::<[u64]>(TAG)
        .unwrap();
    for number in 1..=20 {
        let newest = publisher.publish_with(1000, |words| fill(TAG, number, words));
        assert_eq!(newest.unwrap().version(), number);
    }
    let files = files_of(&bus);
    assert_eq!(files.shares().len(), 1);
    drop((publisher, maker));
    bus.restart_broker();
    let maker = bus.mortal_plugin("Other");
    let share = patient(&maker).get::<[u64]>(TAG).unwrap();
    assert_eq!((share.version(), check(TAG, &share)), (20, 20));
    // The numbers of versions continue.
    let shares = patient(&maker).persistent();
    let newest = shares.publish_with(TAG, 10, |words| fill(TAG, 21, words));
    assert_eq!(newest.unwrap().version(), 21);
}

fn embedded(name: Option<&str>) -> (Broker, Plugin) {
    let mut builder = Broker::builder().without_socket();
    if let Some(name) = name {
        builder = builder.persistent_name(name);
    }
    let broker = builder.start().expect("a broker");
    let plugin = Plugin::builder("Host").descriptor(broker.connect().expect("a connection"));
    let plugin = plugin.outlives_broker(false).connect().expect("the bus");
    (broker, plugin)
}

/// A broker without a socket stores shares under a name that its host has chosen, or not at all: without a name, all
/// hosts of a machine would share the files.
#[test]
fn a_broker_without_socket_keeps_them_under_its_name_or_not_at_all() {
    let (broker, plugin) = embedded(None);
    let error = patient(&plugin).persistent().get_or_create(TAG, || 7_u64);
    let error = error.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument, "{error}");
    assert!(error.message().contains("persistent_name"), "{error}");
    let plain = patient(&plugin).get_or_create(TAG, || 7_u64);
    assert_eq!(*plain.expect("the share"), 7);
    drop((plugin, broker));

    let name = format!("callgate-tests {}", std::process::id());
    let (broker, plugin) = embedded(Some(&name));
    drop(table(&plugin, TAG));
    let _files = Files::find(std::process::id());
    let (second, other) = embedded(Some(&name));
    let error = patient(&other)
        .persistent()
        .get_or_create("Keep.Other", || 7_u64);
    let error = error.unwrap_err();
    let pid = std::process::id().to_string();
    assert!(error.message().contains(&pid), "{error}");
    drop((plugin, broker, other, second));
    let (_broker, plugin) = embedded(Some(&name));
    let (share, is_made) = table(&plugin, TAG);
    assert!(!is_made && check(TAG, &share) == 7);
}

/// If there is too little shared memory, nothing is stored and the maker is told. Otherwise the broker or a reader
/// would be ended by SIGBUS.
#[test]
fn without_room_in_shared_memory_nothing_is_kept_and_the_maker_is_told() {
    let own = ["--user", "--map-root-user", "--mount", "true"];
    let may = Command::new("unshare").args(own).status();
    if !may.is_ok_and(|status| status.success()) {
        return println!("skipped: no mount namespace can be made");
    }
    let script = "exec unshare --user --map-root-user --mount sh -c \
        'mount -t tmpfs -o size=4m tmpfs /dev/shm || exit 1; exec \"$0\" \"$@\"' \"$0\" \"$@\"";
    let bus = Bus::start_after(programs!(), script);
    let maker = bus.plugin("Maker");
    let error = patient(&maker).persistent();
    let error = error.create_with::<u64>(TAG, COUNT, |_| {}).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    for part in [TAG, "/dev/shm", "--shm-size"] {
        assert!(error.message().contains(part), "{error}");
    }
    assert_eq!(listed(&maker), [json!(null); 0]);
    let less = patient(&maker).persistent().get_or_create(TAG, || 7_u64);
    assert_eq!(*less.expect("the share"), 7);
}

/// A broker whose cgroup has no memory left stores nothing. If it exceeded the limit, the kernel would end it, and
/// with it the bus.
#[test]
fn a_broker_whose_cgroup_has_no_room_keeps_nothing_and_lives() {
    let cgroup = match Cgroup::new(48) {
        Ok(cgroup) => cgroup,
        Err(why) => return println!("skipped: no memory cgroup can be made: {why}"),
    };
    let bus = Bus::start(programs!());
    cgroup.take(bus.broker.as_ref().expect("it runs").id());
    let maker = bus.plugin("Maker");
    let shares = patient(&maker).persistent();
    let error = shares
        .create_with::<u64>(TAG, 8 * COUNT, |_| {})
        .unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    let name = cgroup.directory.display().to_string();
    assert!(error.message().contains(&name), "{error}");
    let (share, _) = table(&maker, TAG);
    let _files = files_of(&bus);
    assert_eq!(check(TAG, &share), 7);
}

/// The policy file limits how much the bus may store.
#[test]
fn what_the_bus_may_keep_stands_in_the_policy_file() {
    let script = "printf '{\"plugins\": {}, \"persistent_mib\": 2}' > \"$CALLGATE_SOCKET.json\"
        set -- \"$@\" --policy \"$CALLGATE_SOCKET.json\"";
    let bus = Bus::start_after(programs!(), script);
    let maker = bus.plugin("Maker");
    let shares = patient(&maker).persistent();
    let _share = shares.get_or_create("Keep.Small", || 7_u64).unwrap();
    let _files = files_of(&bus);
    let error = shares.create_with::<u64>(TAG, COUNT, |_| {}).unwrap_err();
    assert_eq!(error.code(), Code::Overloaded, "{error}");
    assert!(
        error.message().contains("2 MiB that the bus may keep"),
        "{error}"
    );
}
