//! Using a share that the plugin holds neither allocates nor makes a system call.

use callgate::Broker;
use callgate_client::{Plugin, Share, Shares, Versions};

use crate::{allocations, alone, more_system_calls};

const FEW: u64 = 2_000;
const MORE: u64 = 10_000;
const TAG: &str = "Hot.Table";

/// A share that one plugin has made and another one holds.
struct Scene {
    shares: Shares,
    versions: Versions<[u32]>,
    held: Share<[u32]>,
    _made: Share<[u32]>,
    _plugins: [Plugin; 2],
    _broker: Broker,
}

impl Scene {
    fn new() -> Scene {
        let broker = Broker::builder().without_socket().start();
        let broker = broker.expect("a broker");
        let [maker, reader] = ["Maker", "Reader"].map(|name| {
            let connection = broker.connect().expect("a connection");
            let plugin = Plugin::builder(name).descriptor(connection).connect();
            plugin.expect("a plugin on this bus")
        });
        let made = maker.shares().publish(TAG, &[1, 2, 3][..]);
        let made = made.expect("a share");
        let shares = reader.shares();
        let versions: Versions<[u32]> = shares.versions(TAG).expect("its versions");
        let held = versions.latest().expect("the newest").expect("is there");
        Scene {
            shares,
            versions,
            held,
            _made: made,
            _plugins: [maker, reader],
            _broker: broker,
        }
    }

    fn use_it(&self, times: u64) {
        let mut sum = 0;
        for _ in 0..times {
            let found: Share<[u32]> = self.shares.get(TAG).expect("it is held");
            let newest = self.versions.latest().expect("the same");
            let copy = self.held.clone();
            sum += found[0] + newest.map_or(0, |newest| newest[1]) + copy[2];
        }
        assert_eq!(u64::from(sum), 6 * times);
    }
}

#[test]
fn using_a_share_that_is_held_allocates_nothing() {
    let _alone = alone();
    let scene = Scene::new();
    let made = allocations(|| scene.use_it(FEW));
    assert_eq!(made, 0, "in {FEW} uses");
}

/// This is run under `strace` by the test below.
#[test]
#[ignore = "does nothing but use a share"]
fn two_thousand_uses() {
    Scene::new().use_it(FEW);
}

/// The same with more uses.
#[test]
#[ignore = "does nothing but use a share"]
fn twelve_thousand_uses() {
    Scene::new().use_it(FEW + MORE);
}

#[test]
fn using_a_share_that_is_held_asks_the_kernel_for_nothing() {
    let tests = ["shares::two_thousand_uses", "shares::twelve_thousand_uses"];
    // The system calls at a program's start and end vary.
    let enough = 20;
    if let Some(more) = more_system_calls(tests, enough) {
        assert!(more < enough, "{more} system calls for {MORE} more uses");
    }
}
