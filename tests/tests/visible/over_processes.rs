//! Between processes.

use std::time::Instant;

use callgate::Policy;
use callgate_tests::PATIENCE;
use callgate_tests::visible::MODES;
use nix::sys::signal::Signal;

use crate::stage::{Stage, rounds};

/// After `provide` has returned, calls of an open subscriber find the gate. After a withdrawal, waits do not find it
/// ready.
#[test]
fn what_is_provided_is_called_and_what_is_withdrawn_is_not() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mut provider = stage.provider("Provider", mode);
        let (mut misses, rounds) = (0, rounds(60));
        for round in 0..rounds {
            assert_eq!(provider.ask(&format!("provide {round}")), "provided");
            misses += stage.misses(&round.to_string(), "provided");
            assert_eq!(provider.ask("drop"), "dropped");
            misses += stage.misses("NOT_READY", "withdrawn");
        }
        assert_eq!(misses, 0, "of {rounds} rounds ({mode})");
    }
}

/// After `set_policy` has taken a right back, calls are refused; after it has given a right, they are served.
#[test]
fn what_is_revoked_is_refused_and_what_is_granted_is_called() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mut provider = stage.provider("Provider", mode);
        assert_eq!(provider.ask("provide 7"), "provided");
        let (mut misses, rounds) = (0, rounds(60));
        for _ in 0..rounds {
            stage.set_policy(Some(Policy::new().provide("*")));
            misses += stage.misses("PERMISSION_DENIED", "revoked");
            stage.set_policy(None);
            misses += stage.misses("7", "granted");
        }
        assert_eq!(misses, 0, "of {rounds} rounds ({mode})");
    }
}

/// After a gate has gone from one plugin to another, calls reach the new provider. It can provide the gate as soon as
/// the old one has dropped it.
#[test]
fn who_provides_in_anothers_place_is_called() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mut providers = [
            stage.provider("First", mode),
            stage.provider("Second", mode),
        ];
        let (mut misses, rounds) = (0, rounds(60));
        for round in 0..rounds {
            let [now, next] = &mut providers;
            assert_eq!(next.ask("drop"), "dropped");
            assert_eq!(now.ask(&format!("provide {round}")), "provided");
            misses += stage.misses(&round.to_string(), "replaced");
            providers.swap(0, 1);
        }
        assert_eq!(misses, 0, "of {rounds} rounds ({mode})");
    }
}

/// After a killed provider was started again, calls reach it. One exception: a call that its caller published before
/// it learned of the death may have run.
#[test]
fn who_was_started_again_is_called() {
    for mode in MODES {
        let mut stage = Stage::new();
        let mut provider = stage.provider("Provider", mode);
        let (mut misses, mut excepted, rounds) = (0, 0, rounds(30));
        for round in 0..rounds {
            assert_eq!(provider.ask(&format!("provide {round}")), "provided");
            let expected = round.to_string();
            let unheard = stage.call().into_iter();
            let unheard = unheard.filter(|(way, came)| match came == &expected {
                true => false,
                false if came == "PROVIDER_GONE?" => true,
                false => {
                    println!("restarted: {way}: {came} in place of {expected}");
                    misses += 1;
                    false
                }
            });
            excepted += unheard.count();
            misses += stage.misses(&expected, "restarted");
            provider.kill();
            provider = stage.provider("Provider", mode);
        }
        assert_eq!(misses, 0, "of {rounds} rounds ({mode})");
        println!("{excepted} calls went to the dead ({mode})");
    }
}

/// A stopped provider acknowledges nothing: a change of policy waits for it only as long as for any other step, and
/// returns its name.
#[test]
fn a_provider_that_is_stopped_is_named_by_who_revokes() {
    let mut stage = Stage::new();
    let mut provider = stage.provider("Provider", "thread");
    assert_eq!(provider.ask("provide 7"), "provided");
    assert_eq!(stage.misses("7", "before"), 0);
    provider.stop();
    let begun = Instant::now();
    let missing = stage.broker.set_policy("Caller*", Some(Policy::new()));
    assert_eq!(missing.expect("the broker runs"), ["Provider"]);
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(stage.misses("PERMISSION_DENIED", "revoked"), 0);
    provider.signal(Signal::SIGCONT);
    assert_eq!(provider.ask("drop"), "dropped");
    assert_eq!(provider.ask("provide 8"), "provided");
    stage.set_policy(None);
    assert_eq!(stage.misses("8", "granted"), 0);
}
