//! A program without standard streams. It is a broker and two plugins, prints all the time, and writes into a file
//! what the descriptors 0 to 2 have become.

use std::fmt::Write;

use callgate::Broker;
use callgate_client::Plugin;

use crate::PATIENCE;

/// Runs this program to its end.
pub fn run(report: &str) {
    let mut text = String::new();
    close_streams();
    let socket = std::env::var_os("CALLGATE_SOCKET").expect("a socket");
    let broker = Broker::builder().socket(socket).start().expect("a broker");
    let plugin = |name: &str| Plugin::builder(name).direct_calls(false).connect();
    let (caller, provider) = (plugin("C").expect("the bus"), plugin("P").expect("the bus"));
    print_a_lot();
    tell_streams(&mut text);
    close_streams();
    let _add = provider
        .provide("P.Add", |a: u64, b: u64| a + b)
        .expect("providing");
    let add = caller
        .subscriber::<(u64, u64), u64>("P.Add")
        .expect("opening");
    add.wait_ready(PATIENCE).expect("the gate");
    let child = broker.connect().expect("a connection");
    print_a_lot();
    tell_streams(&mut text);
    drop(child);
    let sum = add
        .with_timeout(PATIENCE)
        .invoke((20, 22))
        .expect("calling");
    writeln!(text, "{sum}").expect("a text");
    std::fs::write(report, text).expect("a report");
}

fn close_streams() {
    for stream in 0..3 {
        nix::unistd::close(stream).expect("it is open");
    }
}

fn print_a_lot() {
    for line in 0..100 {
        println!("a line that nobody reads: {line}");
        eprintln!("a line that nobody reads: {line}");
    }
}

fn tell_streams(text: &mut String) {
    for stream in 0..3 {
        let link = std::fs::read_link(format!("/proc/self/fd/{stream}"));
        let link = link.map_or_else(|_| "closed".into(), |link| link.display().to_string());
        writeln!(text, "{link}").expect("a text");
    }
}
