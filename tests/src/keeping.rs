//! Slices that show whether they are whole, the files of persistent shares, and the role `share-keeper NAME TAG…`,
//! which makes persistent shares of such slices, publishes versions, and is killed meanwhile.
//!
//! It prints `TAG VERSION` when a version was confirmed: from then on, nobody may find an older one.

use std::fs;
use std::path::PathBuf;

use callgate_client::{Plugin, Result};

/// Words at the beginning: the sum of all, and the number. The others follow from the number.
const HEAD: usize = 2;
/// The step between words that are computed from tag and number. Few are computed, so that a large slice spends most
/// of its time in being stored.
const STEP: usize = 16;
/// The most words of a slice that the role makes: 2 MiB.
const MOST: u64 = 1 << 18;

/// Fills a slice with words that follow from tag and number.
///
/// # Panics
///
/// If it has fewer than two words.
pub fn fill(tag: &str, number: u64, words: &mut [u64]) {
    let (head, rest) = words.split_at_mut(HEAD);
    for (at, word) in (number..).zip(rest.iter_mut().step_by(STEP)) {
        *word = mix(number, at);
    }
    head.copy_from_slice(&[sum(tag, number, rest), number]);
}

/// The number of a slice that was filled this way.
///
/// # Panics
///
/// If one of its words is wrong.
#[track_caller]
pub fn check(tag: &str, words: &[u64]) -> u64 {
    let (head, rest) = words.split_at(HEAD);
    let found = sum(tag, head[1], rest);
    assert_eq!(found, head[0], "{tag}: number {} is not whole", head[1]);
    head[1]
}

fn sum(tag: &str, number: u64, rest: &[u64]) -> u64 {
    let tag = tag.bytes().fold(number, |sum, byte| mix(sum, byte.into()));
    rest.iter()
        .step_by(STEP)
        .fold(tag, |sum, word| mix(sum, *word))
}

fn mix(sum: u64, word: u64) -> u64 {
    let mixed = (sum ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed.rotate_left(29)
}

/// The files of a bus in `/dev/shm`, which are removed when this is dropped.
#[derive(Debug)]
pub struct Files {
    prefix: String,
}

impl Files {
    /// The files of the broker in this process, if it stores anything.
    #[must_use]
    pub fn find(broker: u32) -> Option<Files> {
        let lock = files().find(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            let is_lock = name.is_some_and(|name| name.matches('.').count() == 1);
            let owner = fs::read_to_string(path).unwrap_or_default();
            is_lock && owner.starts_with(&format!("{broker} "))
        });
        let prefix = lock?.to_str()?.to_owned();
        Some(Files { prefix })
    }

    /// The files of shares, including those that are being written.
    #[must_use]
    pub fn shares(&self) -> Vec<PathBuf> {
        let prefix = format!("{}.", self.prefix);
        let is_ours = |path: &PathBuf| path.to_str().is_some_and(|path| path.starts_with(&prefix));
        files().filter(is_ours).collect()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for path in self.shares().iter().chain([&PathBuf::from(&self.prefix)]) {
            let _ = fs::remove_file(path);
        }
    }
}

fn files() -> impl Iterator<Item = PathBuf> {
    let all = fs::read_dir("/dev/shm").into_iter().flatten().flatten();
    let all = all.map(|entry| entry.path());
    all.filter(|path| {
        path.to_str()
            .is_some_and(|path| path.starts_with("/dev/shm/callgate."))
    })
}

/// Plays the role if it is this one; returns whether it is.
pub fn play(role: &str, name: &str, tags: &[String]) -> bool {
    let is_mine = role == "share-keeper";
    if is_mine && let Err(error) = keep(name, tags) {
        // The broker may be killed before a plugin has connected.
        println!("{error}");
    }
    is_mine
}

fn keep(name: &str, tags: &[String]) -> Result<()> {
    let plugin = Plugin::connect(name)?;
    let shares = plugin.shares().persistent();
    let first = u64::from(std::process::id()) << 32;
    println!("ready");
    for number in first.. {
        // Each has another length, so that a piece of another slice would be noticed.
        let count = HEAD + (mix(1, number) % MOST) as usize;
        for tag in tags {
            let fill = |words: &mut [u64]| fill(tag, number, words);
            let made = match number == first {
                true => shares.create_with(tag, count, fill),
                false => shares.publish_with(tag, count, fill),
            };
            // The broker may have been killed before this plugin.
            if let Ok(share) = made {
                check(tag, &share);
                println!("{tag} {}", share.version());
            }
        }
    }
    Ok(())
}
