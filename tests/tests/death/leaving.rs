//! Plugins that end in order while others still call them.

use std::thread;
use std::time::{Duration, Instant};

use callgate_client::Code;
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, programs};

/// When a provider ends in order, each of its callers gets an answer or an error.
#[test]
fn a_provider_that_leaves_answers_everybody() {
    let bus = Bus::start(programs!());
    let mut provider = bus.peer("provider", "P", &[]);
    let caller = bus.plugin("Caller");
    let hang = open::<(u64,), ()>(&caller, "P.Hang");
    let add = open::<(u64, u64), u64>(&caller, "P.Add");
    let start = Instant::now();
    thread::scope(|scope| {
        let handled = scope.spawn(|| hang.invoke((600,)));
        assert_eq!(provider.expect_line(), "hanging");
        let waiting: Vec<_> = (0..70)
            .map(|_| scope.spawn(|| add.invoke((1, 2))))
            .collect();
        thread::sleep(Duration::from_millis(100));
        provider.close_input();
        assert!(provider.wait().success());
        // Calls that have begun are finished; those that have not are refused.
        handled.join().unwrap().expect("the handler had begun");
        for call in waiting {
            let error = call.join().unwrap().expect_err("the provider was leaving");
            let known = [Code::ProviderGone, Code::NotReady];
            assert!(known.contains(&error.code()), "{error}");
            let never_sent = error.message().contains("not run") || error.code() == Code::NotReady;
            assert!(!(never_sent && error.may_have_run()), "{error}");
        }
    });
    assert!(start.elapsed() < PATIENCE, "somebody waited for a deadline");
    await_that("its gates are gone", || {
        !add.has_function() && !hang.has_function()
    });

    let _again = bus.peer("provider", "P", &[]);
    add.wait_ready(PATIENCE).unwrap();
    assert_eq!(add.invoke((1, 2)).unwrap(), 3);
}

/// Providers come and go under load, and each call gets an answer or an error.
#[test]
fn providers_may_come_and_go_under_load() {
    let bus = Bus::start(programs!());
    let mut callers: Vec<_> = ["A", "B"]
        .iter()
        .map(|name| bus.peer("caller", name, &["P"]))
        .collect();
    for n in 0..6 {
        let mut provider = bus.peer("provider", "P", &[]);
        for caller in &mut callers {
            // The caller answers only while it makes calls, and ends when one of them goes wrong.
            caller.say("how many?");
            caller.expect_line();
        }
        if n % 2 == 0 {
            provider.close_input();
            assert!(provider.wait().success());
        }
    }
}
