//! Over processes.

use std::time::Instant;

use callgate::Policy;
use callgate_tests::PATIENCE;
use callgate_tests::visible::MODES;
use nix::sys::signal::Signal;

use crate::stage::{Stage, rounds};

/// `provide` returns before an open subscriber had heard of it: up to 764 of 1,000 calls that were made then
/// found nobody. A wait right after a withdrawal was told that the gate was ready.
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

/// Calls were served after `set_policy` had taken the right to them, and refused after it had given it.
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

/// A gate went from one plugin to another, and calls found nobody, or the one before; and the other could
/// not provide it yet.
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

/// A provider was killed and started again, and calls found nobody. Excepted is a call that its caller
/// published before it had heard of the death: that one may have run.
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

/// A provider that is stopped acknowledges nothing: whoever changes a policy waits no longer than for any
/// other step, and is told its name.
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
