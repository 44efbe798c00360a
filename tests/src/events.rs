//! Roles of `callgate-peer`: a plugin that sends numbered events, one that counts the events that it receives, and
//! one that sends and hears on any topics.

pub mod forked;
mod listener;
mod notes;
mod sender;
mod talker;
mod tally;

use std::io::BufRead;

pub use tally::{Heard, Tally};

/// The topic that sender and counter use.
pub const TOPIC: &str = "Numbers.Next";

/// The values of an event: the sender's process, the number of the event, and bytes that make it longer.
pub type Numbered = (u32, u64, Vec<u8>);

/// Plays a role if it is one of these; returns whether it is.
///
/// # Panics
///
/// If the plugin cannot connect, send or subscribe.
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

/// The number at this position of a line.
fn number(words: &[&str], at: usize) -> u64 {
    let number = words.get(at).and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("a number in {words:?}"))
}
