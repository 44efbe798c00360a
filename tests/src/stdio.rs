//! Roles of `callgate-peer` for tests of the runtime with real processes: well-behaved and hostile plugins on pipes,
//! a host with a broker and a runtime, and a crowd of plugins without a runtime.

mod crowd;
mod host;
mod hostile;
mod pipes;

use std::io::BufRead;

/// Plays a role if it is one of these; returns whether it is.
pub fn play(role: &str, name: &str, more: &[String]) -> bool {
    match role {
        "stdio-plugin" => hostile::run(name),
        "stdio-host" => host::run(name, more),
        "stdio-crowd" => crowd::run(name, more),
        _ => return false,
    }
    true
}

/// Answers each line of the input with one.
fn answer(mut obey: impl FnMut(&[&str]) -> String) {
    println!("ready");
    for line in std::io::stdin().lock().lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        println!("{}", obey(&words));
    }
}
