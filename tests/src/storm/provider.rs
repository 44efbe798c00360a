//! A plugin whose gates read in place, read as a value, or pass chains on that come back.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use callgate_client::{Code, Context, Payload, Plugin, Subscriber, View};

use super::{Book, Link, judge, pass_on};

/// The gates through which chains come back to each caller, once they are open.
type Back = HashMap<String, OnceLock<Subscriber<Link, Vec<u8>>>>;

/// Provides `Echo`, `Look` and `Chain` until its input ends.
pub(super) fn run(plugin: &Plugin, callers: &[String]) {
    let book = Arc::new(Book::write());
    let back: Back = callers
        .iter()
        .map(|name| (name.clone(), OnceLock::new()))
        .collect();
    let back = Arc::new(back);
    provide(plugin, &book, &back);
    println!("ready");
    thread::scope(|scope| {
        scope.spawn(|| open(plugin, &back));
        for line in std::io::stdin().lines() {
            // The line itself says nothing.
            drop(line);
        }
        std::process::exit(0);
    });
}

fn provide(plugin: &Plugin, book: &Arc<Book>, back: &Arc<Back>) {
    let gate = |what: &str| format!("{}.{what}", plugin.name());
    let own = book.clone();
    let echo = plugin.provide(
        &gate("Echo"),
        move |at: u64, pause: u64, bytes: View<'_, Vec<u8>>| {
            own.check(at, &bytes, "an argument");
            thread::sleep(Duration::from_micros(pause));
            bytes.to_vec()
        },
    );
    echo.expect("providing").keep();
    let own = book.clone();
    let look = plugin.provide_raw(
        &gate("Look"),
        move |_: Context<'_>, payload: Payload<'_>| own.look(&payload),
    );
    look.expect("providing").keep();
    let (own, back) = (book.clone(), back.clone());
    let chain = plugin.provide(
        &gate("Chain"),
        move |context: Context<'_>, depth: u32, at: u64, bytes: Vec<u8>| {
            let next = back.get(context.caller().name()).and_then(OnceLock::get);
            pass_on(next, context, (depth, at, bytes), &own)
        },
    );
    chain.expect("providing").keep();
}

/// Opens the gates to the callers, however long it takes.
fn open(plugin: &Plugin, back: &Back) {
    while back.values().any(|way| way.get().is_none()) {
        for (name, way) in back.iter().filter(|(_, way)| way.get().is_none()) {
            match plugin.subscriber(&format!("{name}.Back")) {
                Ok(opened) => drop(way.set(opened)),
                // If that did not succeed, the callers report this plugin's gates as missing.
                Err(error) if error.code() == Code::BrokerGone => return,
                Err(error) => judge::allow(&error, &judge::OPENING),
            }
        }
    }
}
