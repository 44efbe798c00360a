//! Roles of `callgate-peer` for tests of the runtime over real processes: plugins on pipes that behave and that do not, a host with
//! a broker and a runtime, and a crowd of plugins without one.

mod crowd;
mod host;
mod hostile;
mod pipes;

use std::io::BufRead;

/// Whether this is one of the roles; plays it if so.
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
