//! Calls that their callers have given up before they were answered.

use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use callgate_client::{Code, Plugin};
use callgate_tests::restart::Told;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, programs};

const HASTY: Duration = Duration::from_millis(100);

fn drains(looker: &Plugin, name: &str) -> bool {
    let listing = looker.list().expect("the listing");
    let mut plugins = listing["plugins"].as_array().expect("plugins").iter();
    let found = plugins.find(|plugin| plugin["name"] == name);
    found.is_none_or(|plugin| plugin["draining"] == true)
}

/// A call that was given up does not keep its caller's old links in use while its handler runs.
#[test]
fn a_call_that_was_given_up_keeps_no_old_link_of_its_caller() {
    let mut bus = Bus::start(programs!());
    let provider = bus.builder("Provider").direct_calls(false);
    let provider = provider.connect().unwrap();
    let caller = bus.plugin("Caller");
    let (go_on, waits) = channel::<()>();
    let waits = Mutex::new(waits);
    let hang = move || {
        let _ = waits.lock().unwrap().recv();
    };
    provider.provide("Provider.Hang", hang).unwrap().keep();
    let hang = open::<(), ()>(&caller, "Provider.Hang").with_timeout(HASTY);
    assert_eq!(code(hang.invoke(())), Code::Timeout);
    let told = [&provider, &caller].map(Told::by);
    bus.restart_broker();
    for told in &told {
        told.lost();
        told.back();
    }
    let looker = bus.plugin("Looker");
    await_that("the caller has no old links any more", || {
        !drains(&looker, "Caller")
    });
    // The provider has taken the call, and still has to answer it.
    assert!(drains(&looker, "Provider"));
    drop(go_on);
    await_that("the provider has answered", || !drains(&looker, "Provider"));
}
