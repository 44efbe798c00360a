//! What `callgate ls` shows.

use std::fs::File;
use std::io::Read;

use callgate::listing::{Listing, PluginState, Transport};
use callgate_layout::control::{ToBroker, ToPlugin};
use callgate_layout::envelope::Face;

use crate::support::{bus, link};

/// Programs read this: a key that goes missing breaks them.
#[test]
fn a_listing_names_what_is_there() {
    let bus = bus();
    let (mut caller, mut provider) = (bus.plugin("caller"), bus.plugin("provider"));
    let _linked = link(&mut caller, &mut provider, "g");
    assert_eq!(provider.provide("other", Face::Action, 9), None);
    caller.send(&ToBroker::List { request: 5 });
    let Some((ToPlugin::Listing { request: 5 }, mut fds)) = caller.next() else {
        panic!("no listing");
    };
    let mut file = File::from(fds.pop().unwrap());
    assert!(
        std::io::Write::write(&mut file, b"x").is_err(),
        "it is sealed"
    );
    let mut text = String::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    let listing: Listing = serde_json::from_str(&text).unwrap();
    assert_eq!(listing.broker.pid, std::process::id());
    assert_eq!(listing.broker.socket.as_deref(), bus.broker.socket());
    assert_eq!(listing.broker.generation, 1);
    let names: Vec<&str> = listing.plugins.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(names, ["caller", "provider"]);
    let plugin = &listing.plugins[0];
    assert_eq!(
        (plugin.transport, plugin.state),
        (Transport::InProcess, PluginState::Ready)
    );
    let gate = &listing.gates[0];
    assert_eq!((gate.name.as_str(), gate.owner.as_str()), ("g", "provider"));
    assert_eq!(
        (gate.has_function, gate.has_action, gate.subscribers),
        (true, false, 1)
    );
    assert_eq!(gate.fingerprint, format!("{:032x}", 7));
    assert_eq!(listing.links[0].granted_bytes, 2 * 86016);
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["plugins"][0]["transport"], "in-process");
    assert_eq!(value["gates"][1]["action_signature"], "(u32) -> T9");
    assert_eq!(value["gates"][0].get("action_signature"), None);
    assert_eq!(bus.broker.snapshot().unwrap().gates, listing.gates);
}
