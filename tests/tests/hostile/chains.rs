//! A peer that never answers, and calls back in the chain of its caller without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Context, Dispatch, Payload, Plugin};
use callgate_layout::envelope::{Call, CallKind, Cell, Chain, Place};
use callgate_layout::ring::{RingReader, RingWriter};
use callgate_layout::{Encoding, clock, slot};
use callgate_tests::raw::{Link, Raw};
use callgate_tests::shorthand::{await_that, open};
use callgate_tests::{Bus, PATIENCE, proc, programs};

/// How long a handler waits for an answer that never comes, and how long one that a visitor runs.
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(2)];
/// How much longer any other call may take: far less than the flood lasts.
const SLACK: Duration = Duration::from_secs(8);

/// What the peer that never answers does.
struct Flood {
    link: Link,
    /// The index under which it calls back.
    back: u16,
    laid: AtomicU64,
    is_over: AtomicBool,
}

impl Flood {
    /// Waits for a call, and calls back in its chain as often as it is answered, until the call is over or some other
    /// call has been delayed far too long.
    fn run(&self) {
        let (link, until) = (&self.link, Instant::now() + PATIENCE);
        let (inbox, writer) = (&link.peer().inbox, RingWriter::new(link.geometry));
        let mut generations = [0; 64];
        let id = self.chain();
        for number in 0..u64::MAX {
            let slot = number as usize % 64;
            while slot::state(inbox, link.geometry, slot as u8) != generations[slot] {
                if self.is_over.load(Ordering::Relaxed) || Instant::now() >= until {
                    return;
                }
                thread::yield_now();
            }
            generations[slot] += 1;
            let call = Call {
                gate: self.back,
                slot: slot as u8,
                kind: CallKind::Function,
                encoding: Encoding::Archive,
                place: Place::Inline,
                length: 16,
                deadline: clock::to_tick(clock::now() + 20_000_000_000),
                chain: Some(Chain { id, depth: 1 }),
            };
            writer.publish(&link.outbox, &call, &mut Cell::default());
            link.peer().bell.ring();
            self.laid.store(number, Ordering::Relaxed);
        }
    }

    /// The chain of the first call that arrives.
    fn chain(&self) -> u64 {
        let (mut reader, mut cell) = (RingReader::new(self.link.geometry), Cell::default());
        let call = proc::eventually("a call", || {
            let call = reader.take(&self.link.peer().inbox, &mut cell);
            call.ok_or_else(|| "none came".to_owned())
        });
        call.expect("an honest call").chain.expect("a handler's").id
    }

    /// Waits until it has called back some times.
    fn begins(&self) {
        let laid = || self.laid.load(Ordering::Relaxed);
        await_that("the peer comes back", || laid() > 64);
    }
}

/// The plugin that the peer calls back.
struct Victim {
    plugin: Plugin,
    flood: Flood,
    /// The session, which lasts as long as the link.
    _raw: Raw,
}

impl Victim {
    fn new(bus: &Bus, mode: Dispatch, wait: Duration) -> Victim {
        let plugin = bus.builder("P").dispatch(mode).direct_calls(true);
        let plugin = plugin.connect().unwrap();
        // This is so slow that there is always another call when one is done.
        let slow = |a: u64, b: u64| {
            thread::sleep(Duration::from_millis(1));
            a + b
        };
        plugin.provide("P.Slow", slow).unwrap().keep();
        let look = |_: Context<'_>, _: Payload<'_>| ();
        plugin.provide_raw("P.Raw", look).unwrap().keep();
        let add = plugin.subscriber::<(u64, u64), u64>("villain.Add").unwrap();
        let mut raw = Raw::join(bus, "villain");
        raw.provide::<(u64, u64), u64>("villain.Add");
        let link = raw.linked();
        add.wait_ready(PATIENCE).unwrap();
        let add = Arc::new(add.with_timeout(wait));
        let ask = move || match add.invoke((20, 22)) {
            Ok(sum) => sum.to_string(),
            Err(error) => error.code().to_string(),
        };
        let far = ask.clone();
        plugin.provide("P.Near", ask).unwrap().keep();
        let far = move |_: Context<'_>, _: Payload<'_>| far();
        plugin.provide_raw("P.Far", far).unwrap().keep();
        let back = raw.route_to::<(u64, u64), u64>("P.Slow");
        assert_eq!(back.end, link.end);
        let flood = Flood {
            link,
            back: back.index,
            laid: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        };
        Victim {
            plugin,
            flood,
            _raw: raw,
        }
    }

    /// Pumps until the flag is set, and each time no longer than `longest`.
    fn pump(&self, is_over: &AtomicBool, longest: Duration) {
        while !is_over.load(Ordering::Relaxed) {
            let start = Instant::now();
            self.plugin.pump(start + Duration::from_millis(5)).unwrap();
            let took = start.elapsed();
            assert!(took < longest, "a pump took {took:?}");
        }
    }
}

/// Sets the flag when it is dropped, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Lets a handler of the victim call the peer: as a visitor on its caller's thread, or where the victim's calls are
/// served.
fn under_a_flood(mode: Dispatch, by_a_visitor: bool) {
    let bus = Bus::start(programs!());
    let wait = WAITS[usize::from(by_a_visitor)];
    let victim = Victim::new(&bus, mode, wait);
    let (flood, looked) = (&victim.flood, AtomicU64::new(0));
    let is_served = AtomicBool::new(false);
    let caller = bus.plugin("C");
    let near = open::<(), String>(&caller, "P.Near");
    let far = caller.raw_subscriber::<String>("P.Far").unwrap();
    far.wait_ready(PATIENCE).unwrap();
    let far = far.with_timeout(PATIENCE);
    let other = bus.plugin("D");
    let look = other.raw_subscriber::<()>("P.Raw").unwrap();
    look.wait_ready(PATIENCE).unwrap();
    let look = look.with_timeout(wait + SLACK);
    if by_a_visitor {
        // The pumping thread makes direct calls; other threads pump while it waits.
        let _ = victim.plugin.pump(Instant::now());
    }
    thread::scope(|scope| {
        let _over = Over(&flood.is_over);
        scope.spawn(|| flood.run());
        if mode == Dispatch::Pump {
            scope.spawn(|| {
                match by_a_visitor {
                    // It does not pump until the call is done.
                    true => {
                        flood.begins();
                        victim.pump(&is_served, wait / 4);
                    }
                    false => victim.pump(&is_served, wait + SLACK),
                }
            });
        }
        scope.spawn(|| {
            let _served = Over(&is_served);
            flood.begins();
            while !flood.is_over.load(Ordering::Relaxed) {
                look.loan(8).unwrap().invoke().expect("others are served");
                looked.fetch_add(1, Ordering::Relaxed);
            }
        });
        let start = Instant::now();
        let said = match by_a_visitor {
            true => near.invoke(()),
            false => far.loan(8).unwrap().invoke(),
        };
        let took = start.elapsed();
        assert_eq!(said.unwrap(), "TIMEOUT");
        assert!(took < wait + SLACK, "{took:?}");
        // After that, the calls that the peer still makes in the chain's name are served like all others.
        for what in ["the peer is served", "others are served beside it"] {
            let count = || match what {
                "the peer is served" => flood.laid.load(Ordering::Relaxed),
                _ => looked.load(Ordering::Relaxed),
            };
            let before = count();
            await_that(what, || count() > before + 20);
        }
    });
}

/// A wait that serves its chain ends at its deadline, also if calls come back in the chain without end. Otherwise
/// such a peer would hold a handler, its plugin and every caller of that plugin.
#[test]
fn a_wait_that_serves_its_chain_ends_at_its_deadline() {
    for mode in [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump] {
        under_a_flood(mode, false);
    }
}

/// The same if a visitor's thread has the turn: the plugin's own thread serves that chain meanwhile, and may be a
/// pump with a deadline.
#[test]
fn a_visitors_chain_without_end_holds_neither_a_pump_nor_other_links() {
    for mode in [Dispatch::Thread, Dispatch::Pump] {
        under_a_flood(mode, true);
    }
}
