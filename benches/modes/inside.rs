//! `call/in-process`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::Plugin;

use crate::{Result, spread};

const CALLS: u32 = 50_000;

/// Nanoseconds a call, over many.
fn time(mut call: impl FnMut(u64) -> u64) -> f64 {
    let start = Instant::now();
    for n in 0..u64::from(CALLS) {
        assert_eq!(black_box(call(black_box(n))), n + 1);
    }
    start.elapsed().as_nanos() as f64 / f64::from(CALLS)
}

pub(crate) fn run(blocks: u32) -> Result<()> {
    let broker = Broker::builder().without_socket().start()?;
    let connect = |name| -> Result<Plugin> {
        Ok(Plugin::builder(name)
            .descriptor(broker.connect()?)
            .connect()?)
    };
    let (provider, caller) = (connect("Provider")?, connect("Caller")?);
    let add = |a: u64, b: u64| a.wrapping_add(b);
    let _add = provider.provide("Inside.Add", add)?;
    let gate = caller.subscriber::<(u64, u64), u64>("Inside.Add")?;
    gate.wait_ready(Duration::from_secs(5))?;
    let virtual_add: Box<dyn Fn(u64, u64) -> u64> = Box::new(add);
    let (mut direct, mut through, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..blocks {
        // Through whichever object stands there, as a gate is called through whatever provides it.
        let a_virtual_call = time(|n| black_box(&virtual_add)(n, 1));
        let a_call = time(|n| gate.invoke((n, 1)).unwrap_or(0));
        direct.push(a_virtual_call);
        through.push(a_call);
        ratios.push(a_call / a_virtual_call);
    }
    let (ratio, low, high) = spread(ratios);
    println!("call/in-process (two u64, {blocks} pairs of blocks of {CALLS})");
    println!("  a virtual call    {:8.1} ns", spread(direct).0);
    println!("  callgate          {:8.1} ns", spread(through).0);
    println!("  ratio             {ratio:8.1} ({low:.1} to {high:.1}), at most 30");
    Ok(())
}
