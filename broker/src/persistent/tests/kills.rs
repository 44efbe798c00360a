//! A process that saves versions is killed at any moment.

use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;

use super::*;

const TAGS: [&str; 2] = ["Osc.Table", "Reverb.Ir"];
/// Tells this test, when it runs in a process of its own, in which directory it has to save.
const SAVES_IN: &str = "CALLGATE_TEST_SAVES_IN";
const THIS: &str =
    "persistent::tests::kills::who_is_killed_while_it_saves_leaves_the_last_version_or_none";

/// Bytes whose value and length differ from those of the number before. Making them takes no time, so that most of it is spent on saving.
fn bytes(number: u64) -> Vec<u8> {
    vec![number as u8; (number as usize * 777_777) % (1 << 20) + 1]
}

/// Saves one version after the other, beginning after the last one that is there.
fn save_for_ever(directory: &str) -> ! {
    let store = Store::new(directory, BusName::said("test"), 64 * MIB);
    let first = TAGS.map(|tag| found(&store, tag, Way::Copied).map_or(0, |(of, _)| of.name.number));
    let mut umask = Some(Mode::all());
    for number in first[0].max(first[1]) + 1.. {
        for tag in TAGS {
            save(&store, tag, number, &bytes(number));
            // From the second version on, the umask takes all permissions from new files; the lock exists by then.
            umask.take().map(nix::sys::stat::umask);
        }
    }
    unreachable!("there are more numbers than time")
}

fn saver(directory: &TempDir) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", THIS])
        .env(SAVES_IN, directory.path());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// If a file had its name before it is complete, or if the trailer were written first, a reader would get half a value.
#[test]
fn who_is_killed_while_it_saves_leaves_the_last_version_or_none() {
    if let Ok(directory) = std::env::var(SAVES_IN) {
        save_for_ever(&directory);
    }
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let lock = directory.path().join(BusName::said("test").lock());
    let (mut last, mut left, mut round) = ([0; 2], 0, 0_u64);
    let patience = Instant::now() + Duration::from_secs(60);
    // A busy machine needs more rounds until a process is killed in the middle of saving.
    while round < 40 || (last[0] < 10 || left == 0) && Instant::now() < patience {
        round += 1;
        let mut child = saver(&directory);
        let (begun, pid) = (Instant::now(), format!("{} ", child.id()));
        // The process is at work when it has its lock; then it goes on for a moment that differs each time.
        while !std::fs::read_to_string(&lock).is_ok_and(|who| who.starts_with(&pid)) {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it does not begin"
            );
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_micros(round.wrapping_mul(7_919) % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        left += names(&directory)
            .iter()
            .filter(|name| name.ends_with(".new"))
            .count();
        let store = store(&directory);
        store.sweep().unwrap();
        let names = names(&directory);
        assert!(
            names.iter().all(|name| !name.ends_with(".new")),
            "{names:?}"
        );
        for (tag, last) in TAGS.iter().zip(&mut last) {
            let found = found(&store, tag, Way::Copied);
            let number = found.as_ref().map_or(0, |(facts, _)| facts.name.number);
            assert!(
                number >= *last,
                "round {round}: {tag} is {number} after {last}"
            );
            *last = number;
            if let Some((_, found)) = found {
                assert!(found == bytes(number), "round {round}: {tag}");
            }
        }
    }
    assert!(
        last[0] >= 10 && left > 0,
        "{last:?}, {left} left unfinished"
    );
}
