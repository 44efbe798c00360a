//! Roles of `callgate-peer` that make, read and publish shares, whose contents tell whether they are whole.

mod content;
pub mod forked;
mod holder;
mod published;
mod storm;

use std::io::BufRead;

pub use content::{ArchivedContent, Content, check_words, fill_words};

/// Whether this is one of the roles; plays it if so. A fault that one finds ends its process with 101.
///
/// # Panics
///
/// Where the plugin cannot connect.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    let run = match role {
        "share-holder" => holder::run,
        "share-writer" => published::write,
        "share-reader" => published::read,
        "share-storm" => storm::run,
        "share-forked" => forked::run,
        _ => return false,
    };
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        before(panic);
        std::process::exit(101);
    }));
    run(name, more).expect("the bus");
    true
}

/// Answers each line of the input.
fn answer(mut obey: impl FnMut(&[&str]) -> String) {
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        println!("{}", obey(&words));
    }
}

/// A number of a line.
fn number(words: &[&str], at: usize) -> u64 {
    let number = words.get(at).and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("a number in {words:?}"))
}
