//! Helpers for several tests: processes that hold shares, and the broker's listings.

use callgate_client::{Plugin, Shares};
use callgate_tests::proc::eventually;
use callgate_tests::{Bus, PATIENCE, Process};
use serde_json::Value;

/// The shares of a listing that have users.
pub(crate) fn listed(plugin: &Plugin) -> Vec<Value> {
    let list = plugin.list().expect("the broker lists");
    let shares = list["shares"].as_array().expect("a list");
    shares.clone()
}

/// The users of a share, as the broker lists them.
pub(crate) fn users(onlooker: &Plugin, tag: &str) -> Vec<String> {
    let shares = listed(onlooker);
    let share = shares.iter().find(|share| share["tag"] == tag);
    let users = share
        .and_then(|share| share["users"].as_array())
        .into_iter()
        .flatten();
    users
        .map(|user| user.as_str().expect("a name").to_owned())
        .collect()
}

/// Waits until the broker lists no share.
#[track_caller]
pub(crate) fn expect_no_shares(bus: &Bus) {
    let plugin = bus.plugin("onlooker");
    eventually("no share is left", || {
        let shares = listed(&plugin);
        match shares.is_empty() {
            true => Ok(()),
            false => Err(format!("{shares:?}")),
        }
    });
}

/// A process that obeys lines about shares.
pub(crate) fn holder(bus: &Bus, name: &str) -> Process {
    bus.peer("share-holder", name, &[])
}

/// The shares of a plugin, with a long timeout.
pub(crate) fn patient(plugin: &Plugin) -> Shares {
    plugin.shares().timeout(PATIENCE)
}
