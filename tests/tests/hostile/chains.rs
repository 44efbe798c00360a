//! A peer that never answers, and comes back in the chain of its caller without end.

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

/// How long a handler waits for an answer that does not come, and one that a visitor runs.
const WAITS: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(2)];
/// What anybody may have to wait beyond that: far less than the flood lasts.
const SLACK: Duration = Duration::from_secs(8);

/// What the peer does that never answers.
struct Flood {
    link: Link,
    /// Under which index it calls back.
    back: u16,
    laid: AtomicU64,
    is_over: AtomicBool,
}

impl Flood {
    /// Waits for a call, and comes back in its chain as often as it is answered, until that is over
    /// or somebody has had to wait for it far too long.
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

    /// The chain of the first call that comes.
    fn chain(&self) -> u64 {
        let (mut reader, mut cell) = (RingReader::new(self.link.geometry), Cell::default());
        let call = proc::eventually("a call", || {
            let call = reader.take(&self.link.peer().inbox, &mut cell);
            call.ok_or_else(|| "none came".to_owned())
        });
        call.expect("an honest call").chain.expect("a handler's").id
    }

    /// Waits until it has come back some times.
    fn begins(&self) {
        let laid = || self.laid.load(Ordering::Relaxed);
        await_that("the peer comes back", || laid() > 64);
    }
}

/// The plugin that is called back.
struct Victim {
    plugin: Plugin,
    flood: Flood,
    /// Its session lasts as long as the link.
    _raw: Raw,
}

impl Victim {
    fn new(bus: &Bus, mode: Dispatch, wait: Duration) -> Victim {
        let plugin = bus.builder("P").dispatch(mode).direct_calls(true);
        let plugin = plugin.connect().unwrap();
        // So slow that there is always another call when one is done.
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

    /// Pumps until nobody needs it any more, never for longer than that.
    fn pump(&self, is_over: &AtomicBool, longest: Duration) {
        while !is_over.load(Ordering::Relaxed) {
            let start = Instant::now();
            self.plugin.pump(start + Duration::from_millis(5)).unwrap();
            let took = start.elapsed();
            assert!(took < longest, "a pump took {took:?}");
        }
    }
}

/// Something is over when this is dropped, which a failing test does too.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Has a handler of the victim's call the peer, as a visitor on its caller's thread or where the
/// victim's calls are served.
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
        // Calls of who pumps are direct ones; others pump while it waits.
        let _ = victim.plugin.pump(Instant::now());
    }
    thread::scope(|scope| {
        let _over = Over(&flood.is_over);
        scope.spawn(|| flood.run());
        if mode == Dispatch::Pump {
            scope.spawn(|| {
                match by_a_visitor {
                    // Not until it is done.
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
        // What the peer still calls in its name is served like all others' calls.
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

/// Calls that came back in a chain were served before the one who served them looked at his deadline:
/// a peer that went on for ever held a handler, its plugin and everybody who called that.
#[test]
fn a_wait_that_serves_its_chain_ends_at_its_deadline() {
    for mode in [Dispatch::Thread, Dispatch::Pool(2), Dispatch::Pump] {
        under_a_flood(mode, false);
    }
}

/// The same with the turn on a visitor's thread: the plugin's own serves that chain meanwhile, and is
/// a pump that has a deadline.
#[test]
fn a_visitors_chain_without_end_holds_neither_a_pump_nor_other_links() {
    for mode in [Dispatch::Thread, Dispatch::Pump] {
        under_a_flood(mode, true);
    }
}
