//! Roles of `callgate-peer` that make, read and publish shares whose contents show whether they are whole.

mod content;
pub mod forked;
mod holder;
mod published;
mod storm;

use std::io::BufRead;

pub use content::{ArchivedContent, Content, check_words, fill_words};

/// Plays a role if it is one of these; returns whether it is. If a role finds a fault, its process ends with 101.
///
/// # Panics
///
/// If the plugin cannot connect.
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

/// The number at this position of a line.
fn number(words: &[&str], at: usize) -> u64 {
    let number = words.get(at).and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("a number in {words:?}"))
}
