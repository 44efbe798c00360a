//! Calls to a plugin's own gates, and calls that handlers make.

use std::sync::Arc;
use std::thread;

use callgate_client::{Code, Context, HandlerError, Result, View};
use callgate_tests::shorthand::{open, pattern};
use callgate_tests::{Bus, programs};

/// A plugin can call its own gates.
#[test]
fn a_plugin_may_call_its_own_gate() {
    let bus = Bus::start(programs!());
    let plugin = Arc::new(bus.plugin("Own"));
    let _double = plugin.provide("Own.Double", |n: u64| n * 2).unwrap();
    let _who = plugin
        .provide("Own.Who", |context: Context<'_>| {
            context.caller().name().to_owned()
        })
        .unwrap();
    let double = open::<(u64,), u64>(&plugin, "Own.Double");
    let who = open::<(), String>(&plugin, "Own.Who");
    thread::spawn(move || {
        for n in 0..100 {
            assert_eq!(double.invoke((n,)).unwrap(), 2 * n);
        }
        assert_eq!(who.invoke(()).unwrap(), "Own");
    })
    .join()
    .unwrap();

    // A handler that waits for its own plugin serves the call itself.
    let recursion = open::<(u64,), u64>(&plugin, "Own.Double");
    let _deep = plugin
        .provide("Own.Deep", move |n: u64| -> Result<u64, HandlerError> {
            Ok(recursion.invoke((n,))?)
        })
        .unwrap();
    let deep = open::<(u64,), u64>(&plugin, "Own.Deep");
    assert_eq!(deep.invoke((1,)).unwrap(), 2);
    let double = open::<(u64,), u64>(&plugin, "Own.Double");
    assert_eq!(double.invoke((4,)).unwrap(), 8);
}

/// A handler may call another plugin: the two calls neither deadlock nor get each other's answers.
#[test]
fn a_handler_may_call_another_plugin() {
    let bus = Bus::start(programs!());
    let far = bus.peer("provider", "C", &[]);
    let middle = bus.plugin("B");
    let add = open::<(u64, u64), u64>(&middle, "C.Add");
    let echo = open::<(Vec<u8>,), Vec<u8>>(&middle, "C.Echo");
    let caller = bus.plugin("A");
    let _base = caller.provide("A.Base", || 100_u64).unwrap();
    let base = open::<(), u64>(&middle, "A.Base");
    let through = move |context: Context<'_>,
                        n: u64,
                        bytes: View<'_, Vec<u8>>|
          -> Result<(u64, Vec<u8>, String), HandlerError> {
        let echoed = echo.invoke((bytes.to_vec(),))?;
        // This calls back into the caller, whose dispatcher is free.
        let sum = add.invoke((n, base.invoke(())?))?;
        Ok((sum, echoed, context.caller().name().to_owned()))
    };
    let _through = middle.provide("B.Through", through).unwrap();
    let through = open::<(u64, Vec<u8>), (u64, Vec<u8>, String)>(&caller, "B.Through");
    for n in 0..200 {
        let bytes = pattern(n, (n * 97 % 5000) as usize);
        let answer = through.invoke((n, bytes.clone())).unwrap();
        assert!(answer == (n + 100, bytes, "A".to_owned()), "call {n}");
    }
    // The middle plugin passes on the failure of the far one, with its code.
    far.kill();
    let error = through.invoke((1, vec![])).unwrap_err();
    assert_eq!(error.code(), Code::HandlerError);
    let inner = &error.context().unwrap()["handler_code"];
    assert!(
        inner == "PROVIDER_GONE" || inner == "NOT_READY",
        "{error:?}"
    );
}
