//! Large payloads to a side that is stopped for longer than it may take for a step. Each call waits until its own
//! deadline, and succeeds if the other side continues before.

use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{Code, Error, Plugin, Result, dynamic, signature_of};
use callgate_tests::{Bus, PATIENCE, Process, programs};
use nix::sys::signal::Signal;

/// Longer than the two seconds that a plugin has for a step.
const STOPPED: Duration = Duration::from_secs(3);
/// Deadlines are counted from the kernel's last tick, up to ten milliseconds ago.
const TICKS: Duration = Duration::from_millis(12);
/// Each kind of call that needs an extent of its link.
const KINDS: [&str; 6] = ["loan", "typed", "pieces", "bytes", "sent", "crowd"];

/// A gate that can be called in one of these ways, with a link of its own.
struct Caller {
    kind: &'static str,
    _plugin: Plugin,
    call: Box<dyn Fn(Duration) -> Result<()> + Send + Sync>,
}

impl Caller {
    fn new(bus: &Bus, kind: &'static str) -> Caller {
        let plugin = bus.plugin(kind);
        let call = match kind {
            "loan" => loan(&plugin),
            "pieces" => pieces(&plugin),
            "bytes" => bytes(&plugin, false),
            "sent" => bytes(&plugin, true),
            _ => typed(&plugin),
        };
        Caller {
            kind,
            _plugin: plugin,
            call: call.unwrap_or_else(|error| panic!("{kind}: {error}")),
        }
    }

    /// Calls once, or in a crowd from several threads at a time.
    fn call(&self, timeout: Duration) -> Result<()> {
        if self.kind != "crowd" {
            return (self.call)(timeout);
        }
        thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (self.call)(timeout)))
                .collect();
            let ends = threads
                .into_iter()
                .map(|thread| thread.join().expect("no panic"));
            ends.collect()
        })
    }
}

type Call = Box<dyn Fn(Duration) -> Result<()> + Send + Sync>;

fn loan(plugin: &Plugin) -> Result<Call> {
    let raw = plugin.raw_subscriber::<u64>("P.Raw")?;
    raw.wait_ready(PATIENCE)?;
    Ok(Box::new(move |timeout| {
        let loan = raw.with_timeout(timeout).loan(243)?;
        assert_eq!(loan.invoke()?, 243);
        Ok(())
    }))
}

/// The argument is archived in place, in the memory that the provider reads.
fn typed(plugin: &Plugin) -> Result<Call> {
    let take = plugin.subscriber::<(Vec<u64>,), u64>("P.Take")?;
    take.wait_ready(PATIENCE)?;
    let words = (vec![7; 1 << 17],);
    Ok(Box::new(move |timeout| {
        assert_eq!(take.with_timeout(timeout).invoke_ref(&words)?, 1 << 17);
        Ok(())
    }))
}

/// The argument is archived in a buffer and copied.
fn pieces(plugin: &Plugin) -> Result<Call> {
    let take = plugin.subscriber::<(Vec<String>,), u64>("P.Texts")?;
    take.wait_ready(PATIENCE)?;
    let texts = (vec!["sixteen bytes ab".to_owned(); 10_000],);
    Ok(Box::new(move |timeout| {
        assert_eq!(take.with_timeout(timeout).invoke_ref(&texts)?, 10_000);
        Ok(())
    }))
}

fn bytes(plugin: &Plugin, is_sent: bool) -> Result<Call> {
    let take = dynamic::open(plugin, "P.Take", &signature_of::<(Vec<u64>,), u64>())?;
    take.wait_ready(PATIENCE)?;
    let request = dynamic::encode(&(vec![7_u64; 1 << 17],))?;
    Ok(Box::new(move |timeout| {
        let take = take.with_timeout(timeout);
        let answer = match is_sent {
            true => take.send(&request)?.wait()?,
            false => take.call(&request)?,
        };
        assert_eq!(dynamic::decode::<u64>(&answer)?, 1 << 17);
        Ok(())
    }))
}

/// A provider, and a caller of each kind that is linked with it and has no extent yet.
fn scene() -> (Bus, Process, Vec<Caller>) {
    let bus = Bus::start(programs!());
    let provider = bus.peer("large", "P", &["60000"]);
    let callers = KINDS.iter().map(|kind| Caller::new(&bus, kind)).collect();
    (bus, provider, callers)
}

/// How many MiB the links of all callers have beyond their outboxes, according to the broker's listing.
fn granted_mib(bus: &Bus) -> u64 {
    let listing = bus.plugin("onlooker").list().expect("a listing");
    let links = listing["links"].as_array().expect("the links");
    let granted = links
        .iter()
        .filter_map(|link| link["granted_bytes"].as_u64());
    granted.map(|bytes| bytes >> 20).sum()
}

fn expect_not_mapped(kind: &str, error: &Error, provider: u32) {
    assert_eq!(error.code(), Code::Timeout, "{kind}: {error}");
    assert!(!error.may_have_run(), "{kind}: {error}");
    let named = format!("plugin `P` (pid {provider}) did not map");
    assert!(error.message().contains(&named), "{kind}: {error}");
}

/// A call whose provider is stopped for more than two seconds still succeeds if the provider continues before the
/// call's deadline. The broker's two-second limit for a step does not end it.
#[test]
fn calls_are_made_when_a_stopped_provider_goes_on_before_their_deadlines() {
    let (_bus, provider, callers) = scene();
    provider.stop();
    thread::scope(|scope| {
        let calling: Vec<_> = callers
            .iter()
            .map(|caller| (caller.kind, scope.spawn(|| caller.call(PATIENCE))))
            .collect();
        thread::sleep(STOPPED);
        let ended = calling.iter().filter(|(_, call)| call.is_finished());
        let ended: Vec<_> = ended.map(|(kind, _)| *kind).collect();
        provider.signal(Signal::SIGCONT);
        for (kind, call) in calling {
            let outcome = call.join().expect("no panic");
            outcome.unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
        assert!(ended.is_empty(), "ended too early: {ended:?}");
    });
}

/// If the provider stays stopped, each call ends at its deadline and names the late provider. The provider is not
/// charged for more memory with each call.
#[test]
fn calls_whose_provider_stays_stopped_end_at_their_deadlines_and_name_it() {
    let (bus, provider, callers) = scene();
    provider.stop();
    let (pid, begin) = (provider.id(), Instant::now());
    thread::scope(|scope| {
        for caller in &callers {
            scope.spawn(move || {
                let error = caller.call(STOPPED).expect_err("nobody maps the memory");
                let took = begin.elapsed();
                expect_not_mapped(caller.kind, &error, pid);
                assert!(took + TICKS >= STOPPED, "{}: {took:?}", caller.kind);
                // From here on the broker knows at once that the provider is late.
                let hasty = Duration::from_millis(20);
                for _ in 0..10 {
                    let error = caller.call(hasty).expect_err("still nobody does");
                    expect_not_mapped(caller.kind, &error, pid);
                }
            });
        }
    });
    assert_eq!(granted_mib(&bus), KINDS.len() as u64, "one extent a link");
    // A call with no time does not wait, and gets the same error.
    let (loan, start) = (&callers[0], Instant::now());
    let error = loan.call(Duration::ZERO).expect_err("there is none");
    expect_not_mapped("a loan without time", &error, pid);
    assert!(start.elapsed() < PATIENCE / 4, "it was waited for");
    provider.signal(Signal::SIGCONT);
    for caller in &callers {
        let outcome = caller.call(PATIENCE);
        outcome.unwrap_or_else(|error| panic!("{}: {error}", caller.kind));
    }
}

/// The result of a call is kept while its caller is stopped, and arrives if the caller continues before the deadline.
#[test]
fn a_result_is_there_when_a_stopped_caller_goes_on_before_its_deadline() {
    let bus = Bus::start(programs!());
    let plugin = bus.plugin("P");
    let (began, begun) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<()>();
    let may_go_on = Mutex::new(may_go_on);
    let make = move |len: u64| {
        began.send(()).expect("the test waits");
        may_go_on
            .lock()
            .expect("no panic")
            .recv()
            .expect("the test goes on");
        vec![7_u64; len as usize / 8]
    };
    let _make = plugin.provide("P.Make", make).expect("providing");
    let mut caller = bus.peer("large", "C", &["60000"]);
    caller.say("call P Make 1000000 1");
    begun.recv_timeout(PATIENCE).expect("the handler runs");
    caller.stop();
    go_on.send(()).expect("the handler waits");
    thread::sleep(STOPPED);
    caller.signal(Signal::SIGCONT);
    assert_eq!(caller.expect_line(), "OK");
}
