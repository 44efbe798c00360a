//! Versions that are published faster than they are used, to readers that check every byte.

use std::time::{Duration, Instant};

use callgate_tests::proc::{Holdings, eventually};
use callgate_tests::random::Random;
use callgate_tests::{Bus, Process, proc, programs};

use crate::scene::{expect_no_shares, listed};

const TAG: &str = "Versions.Newest";
const READERS: usize = 8;
const PER_SECOND: u64 = 1_000;
const LEN: usize = 4096;
/// What a process may hold beyond its state at rest, while short versions come and go.
#[derive(Clone, Copy)]
struct UnderWay {
    descriptors: usize,
    shared: usize,
}

/// The memory file of the next version and its descriptors for readers, while the one before is still the newest. And
/// for each reader a version that waits in its queue, if its socket is full.
const OF_BROKER: UnderWay = UnderWay {
    descriptors: 2 + READERS,
    shared: 0,
};
/// The page and the version that have just arrived, while the one before is still mapped.
const OF_PLUGIN: UnderWay = UnderWay {
    descriptors: 2,
    shared: 1,
};

struct Scene {
    bus: Bus,
    writer: Process,
    readers: Vec<Process>,
    /// A plugin in this process, which reads listings.
    onlooker: callgate_client::Plugin,
}

impl Scene {
    fn start(readers: usize) -> Scene {
        let bus = Bus::start_open(programs!());
        let start = |nth| reader(&bus, &format!("reader-{nth}"));
        let readers = (0..readers).map(start).collect();
        let writer = writer(&bus);
        let onlooker = bus.plugin("onlooker");
        Scene {
            bus,
            writer,
            readers,
            onlooker,
        }
    }

    fn broker(&self) -> u32 {
        self.bus.broker.as_ref().expect("it was started").id()
    }

    /// Broker, writer and readers, with what each may hold in addition.
    fn processes(&self) -> Vec<(u32, UnderWay)> {
        let plugins = [self.writer.id()].into_iter();
        let plugins = plugins.chain(self.readers.iter().map(Process::id));
        let broker = (self.broker(), OF_BROKER);
        [broker]
            .into_iter()
            .chain(plugins.map(|plugin| (plugin, OF_PLUGIN)))
            .collect()
    }

    /// Waits until every reader has the newest version.
    fn expect_all_have(&mut self, version: u64) {
        for reader in &mut self.readers {
            await_seen(reader, version);
        }
    }
}

fn file(bus: &Bus) -> String {
    let path = bus.directory().join("newest");
    path.to_str().expect("a text").to_owned()
}

fn reader(bus: &Bus, name: &str) -> Process {
    bus.peer("share-reader", name, &[TAG, &file(bus)])
}

fn writer(bus: &Bus) -> Process {
    bus.peer("share-writer", "writer", &[TAG, &file(bus)])
}

/// How many versions a reader was given, and the number of the last one.
fn seen(reader: &mut Process) -> (u64, u64) {
    let line = reader.ask("seen");
    let numbers = line
        .split_once(' ')
        .and_then(|(count, last)| Some((count.parse().ok()?, last.parse().ok()?)));
    numbers.unwrap_or_else(|| panic!("{line}"))
}

fn await_seen(reader: &mut Process, version: u64) -> u64 {
    eventually("it is given the newest version", || match seen(reader) {
        (count, last) if last == version => Ok(count),
        other => Err(format!("{other:?} instead of {version}")),
    })
}

fn ask(process: &mut Process, line: &str) -> u64 {
    process.ask(line).parse().expect("a number")
}

/// Checks that a process holds no more than before plus what is under way.
fn expect_flat((pid, more): (u32, UnderWay), before: &Holdings) {
    let now = Holdings::of(pid);
    let is_flat = now.descriptors <= before.descriptors + more.descriptors
        && now.shared <= before.shared + more.shared;
    assert!(
        is_flat,
        "process {pid}: {before:?} before, now {now:?}: {:#?}",
        proc::names_of_descriptors(pid)
    );
}

/// If the environment asks for it, checks that enough versions were published each second.
fn expect_rate(published: u64, time: Duration) {
    let wanted = PER_SECOND as f64 * time.as_secs_f64();
    if std::env::var_os("CALLGATE_RATE").is_some() {
        // The writer sleeps between two versions, and does not make up for a delay at the end.
        assert!(published as f64 >= 0.99 * wanted, "{published} of {wanted}");
    }
}

fn published_to_readers(time: Duration) {
    let mut scene = Scene::start(READERS);
    ask(&mut scene.writer, &format!("one {LEN}"));
    scene.expect_all_have(1);
    let processes = scene.processes();
    let before: Vec<Holdings> = processes
        .iter()
        .map(|(pid, _)| Holdings::at_rest(*pid))
        .collect();
    scene.writer.ask(&format!("run {PER_SECOND} {LEN}"));
    let begun = Instant::now();
    // After a tenth of the time, the allocators have what they take once.
    std::thread::sleep(time / 10);
    let private: Vec<u64> = processes
        .iter()
        .map(|(pid, _)| proc::private_memory(*pid))
        .collect();
    while begun.elapsed() < time {
        std::thread::sleep(Duration::from_millis(20));
        processes
            .iter()
            .zip(&before)
            .for_each(|(process, before)| expect_flat(*process, before));
    }
    let ran = begun.elapsed();
    let published = ask(&mut scene.writer, "stop");
    for ((pid, _), private) in processes.iter().zip(&private) {
        let grown = proc::private_memory(*pid).saturating_sub(*private);
        assert!(grown < 4 << 20, "process {pid} has {grown} bytes more");
    }
    scene.expect_all_have(published);
    let given: Vec<u64> = scene
        .readers
        .iter_mut()
        .map(|reader| seen(reader).0)
        .collect();
    println!("{published} versions in {ran:?}, given to readers: {given:?}");
    expect_rate(published, ran);
    assert!(given.iter().all(|given| *given > 10), "{given:?}");
    for ((pid, _), before) in processes.iter().zip(&before) {
        before.expect_again("with one version, as before,", *pid);
    }
}

#[test]
fn versions_that_come_a_thousand_a_second_are_read_whole_and_new() {
    published_to_readers(Duration::from_secs(2));
}

#[test]
#[ignore = "a minute"]
fn for_a_minute_versions_are_read_whole_and_new() {
    published_to_readers(Duration::from_secs(60));
}

/// The bytes of shared memory of the whole system. Other programs change them, too.
fn shared_memory() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").expect("it can be read");
    let line = text.lines().find_map(|line| line.strip_prefix("Shmem:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok())
        .expect("a number")
        * 1024
}

/// The superseded versions that a plugin still has, as the broker lists them.
fn superseded(onlooker: &callgate_client::Plugin, user: &str) -> Vec<u64> {
    let shares = listed(onlooker);
    let others = shares.iter().flat_map(|share| share["others"].as_array());
    let has = |version: &&serde_json::Value| {
        let users = version["users"].as_array();
        users.is_some_and(|users| users.iter().any(|name| name == user))
    };
    let of_user = others.flatten().filter(has);
    of_user
        .map(|version| version["version"].as_u64().expect("a number"))
        .collect()
}

/// Versions of so many bytes are published while a reader is stopped. The memory of the system would show any version
/// that were kept for it. The reader asks for a version when it wants one, so none waits in its socket.
fn a_reader_is_stopped(time: Duration) {
    const LARGE: u64 = 8 << 20;
    let mut scene = Scene::start(2);
    let first = ask(&mut scene.writer, &format!("one {LARGE}"));
    scene.expect_all_have(first);
    scene.readers[0].stop();
    let before = shared_memory();
    let begun = Instant::now();
    let mut published = first;
    while begun.elapsed() < time || published < first + 20 {
        published = ask(&mut scene.writer, &format!("one {LARGE}"));
    }
    println!("{published} versions of {LARGE} bytes beside a stopped reader");
    assert_eq!(superseded(&scene.onlooker, "reader-0"), [first]);
    await_seen(&mut scene.readers[1], published);
    // The stopped reader holds the first version, the newest exists, and other tests have their own.
    let most = 4 * LARGE + (64 << 20);
    eventually("memory is flat", || {
        match shared_memory().saturating_sub(before) {
            more if more <= most => Ok(()),
            more => Err(format!("{more} bytes more after {published} versions")),
        }
    });
    scene.readers[0].signal(nix::sys::signal::Signal::SIGCONT);
    scene.expect_all_have(published);
}

#[test]
fn a_reader_that_stands_still_keeps_what_it_has_and_no_more() {
    a_reader_is_stopped(Duration::from_secs(1));
}

#[test]
#[ignore = "ten seconds"]
fn a_reader_that_stands_still_for_long_keeps_no_more() {
    a_reader_is_stopped(Duration::from_secs(10));
}

/// One writer after the other: some end by themselves, some are killed while they publish.
fn writers_come_and_go(count: u64) {
    let mut scene = Scene::start(1);
    let mut random = Random::new("writers");
    ask(&mut scene.writer, &format!("one {LEN}"));
    scene.expect_all_have(1);
    let kept = [scene.broker(), scene.readers[0].id()];
    let before = kept.map(Holdings::at_rest);
    for round in 0..count {
        scene.writer.ask(&format!("run {PER_SECOND} {LEN}"));
        random.pause(20);
        if round.is_multiple_of(2) {
            ask(&mut scene.writer, "stop");
            scene.writer.close_input();
            assert!(scene.writer.wait().success());
        } else {
            scene.writer.end();
        }
        eventually("the name of the last writer is free", || {
            match scene.bus.builder("writer").connect() {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            }
        });
        scene.writer = writer(&scene.bus);
    }
    // A writer continues after the number of the last one, because the reader keeps the share in use.
    let newest = ask(&mut scene.writer, &format!("one {LEN}"));
    assert!(newest > count / 2, "{newest}");
    scene.expect_all_have(newest);
    for (pid, before) in kept.iter().zip(before) {
        before.expect_again("who was there all the time", *pid);
    }
    let Scene {
        bus,
        writer,
        readers,
        onlooker,
    } = scene;
    drop((writer, readers, onlooker));
    expect_no_shares(&bus);
}

#[test]
fn writers_that_come_and_go_leave_nothing() {
    writers_come_and_go(20);
}

#[test]
#[ignore = "a thousand processes: some minutes"]
fn a_thousand_writers_leave_nothing() {
    writers_come_and_go(1_000);
}
