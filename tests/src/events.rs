//! Roles of `callgate-peer`: a plugin that sends numbered events, one that counts what it hears of them, and one that sends and hears
//! on any topics.

pub mod forked;
mod listener;
mod notes;
mod sender;
mod talker;
mod tally;

use std::io::BufRead;

pub use tally::{Heard, Tally};

/// The topic that all of them mean.
pub const TOPIC: &str = "Numbers.Next";

/// What an event says: the sender's process, the number of the event, and bytes that make it longer.
pub type Numbered = (u32, u64, Vec<u8>);

/// Whether this is one of the roles; plays it if so.
///
/// # Panics
///
/// Where the plugin cannot connect, send or subscribe.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    match role {
        "numbers-sender" => sender::run(name, more).expect("sending"),
        "numbers-listener" => listener::run(name, more).expect("subscribing"),
        "forked-events" => forked::run(name).expect("sending and subscribing"),
        "talker" => talker::run(name, &more[0]).expect("connecting"),
        _ => return false,
    }
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
