//! Slices that tell whether they are whole, and the role `share-keeper NAME TAG…`, which makes persistent shares of them,
//! publishes versions, and is killed meanwhile.
//!
//! It says `TAG VERSION` when it has been told that a version is there: from then on, none before it may be found.

use callgate_client::{Plugin, Result};

/// Words before those that follow from the number: the sum of all, and the number.
const HEAD: usize = 2;
/// From one word that follows from tag and number to the next: of a large slice, most of the time is to go into keeping it.
const STEP: usize = 16;
/// The most words of a slice that the role makes: 2 MiB.
const MOST: u64 = 1 << 18;

/// Fills a slice with words that follow from tag and number.
///
/// # Panics
///
/// Where it has fewer than two words.
pub fn fill(tag: &str, number: u64, words: &mut [u64]) {
    let (head, rest) = words.split_at_mut(HEAD);
    for (at, word) in (number..).zip(rest.iter_mut().step_by(STEP)) {
        *word = mix(number, at);
    }
    head.copy_from_slice(&[sum(tag, number, rest), number]);
}

/// The number of a slice that was filled so.
///
/// # Panics
///
/// Where a word of it is another one.
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

/// Whether this is the role; plays it if so.
///
/// # Panics
///
/// Where the plugin cannot connect.
pub fn play(role: &str, name: &str, tags: &[String]) -> bool {
    let is_mine = role == "share-keeper";
    if is_mine {
        keep(name, tags).expect("the bus");
    }
    is_mine
}

fn keep(name: &str, tags: &[String]) -> Result<()> {
    let plugin = Plugin::connect(name)?;
    let shares = plugin.shares().persistent();
    let first = u64::from(std::process::id()) << 32;
    println!("ready");
    for number in first.. {
        // A length of its own for each, so that a piece of another one shows.
        let count = HEAD + (mix(1, number) % MOST) as usize;
        for tag in tags {
            let fill = |words: &mut [u64]| fill(tag, number, words);
            let made = match number == first {
                true => shares.create_with(tag, count, fill),
                false => shares.publish_with(tag, count, fill),
            };
            // The broker may have been killed before this plugin is.
            if let Ok(share) = made {
                check(tag, &share);
                println!("{tag} {}", share.version());
            }
        }
    }
    Ok(())
}
