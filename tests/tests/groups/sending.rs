//! Plugins of a group that send calls and answer later.

use std::fs;
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Instant;

use callgate_client::dynamic::{self, Gate, Responder, Sent};
use callgate_client::{Code, Group, Plugin, Provider, signature_of};
use callgate_tests::groups::member;
use callgate_tests::shorthand::{await_that, code, open};
use callgate_tests::{Bus, PATIENCE, programs};

type Job = (Vec<u8>, Responder);

/// A gate that passes its calls to the test.
fn deferring(plugin: &Plugin, gate: &str) -> (Provider, Receiver<Job>) {
    let (jobs, taken) = mpsc::channel();
    let jobs = Mutex::new(jobs);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let take = move |_: callgate_client::Context<'_>, request: &[u8], responder| {
        let _ = jobs.lock().unwrap().send((request.to_vec(), responder));
    };
    let provider = dynamic::provide_later(plugin, gate, &signature, take);
    (provider.expect("providing"), taken)
}

fn gate_of_bytes(plugin: &Plugin, gate: &str) -> Gate {
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let gate = dynamic::open(plugin, gate, &signature).expect("opening");
    gate.wait_ready(PATIENCE).expect("its provider");
    gate.with_timeout(PATIENCE)
}

fn take(jobs: &Receiver<Job>, count: usize) -> Vec<Job> {
    let take = |_| jobs.recv_timeout(PATIENCE).expect("a call");
    (0..count).map(take).collect()
}

/// How many threads of this process look after sent calls.
fn reply_threads() -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("its threads");
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm"));
    let names = tasks.flatten().filter_map(|task| name(task).ok());
    names
        .filter(|name| name.starts_with("callgate-replie"))
        .count()
}

/// All plugins of a group share one thread and one of its 63 bells for sent calls, so any number of them can send.
#[test]
fn many_plugins_of_a_group_send_calls() {
    const MANY: u64 = 70;
    let bus = Bus::start(programs!());
    let far = bus.plugin("Far");
    let (_provider, jobs) = deferring(&far, "Far.Later");
    let group = Group::new().unwrap();
    let plugins: Vec<_> = (0..MANY)
        .map(|n| {
            bus.builder(&member("M", n))
                .group(&group)
                .connect()
                .unwrap()
        })
        .collect();
    let gates: Vec<Gate> = plugins
        .iter()
        .map(|plugin| gate_of_bytes(plugin, "Far.Later"))
        .collect();
    let send = |(gate, n): (&Gate, u8)| gate.send(&[n]).expect("sending");
    let sent: Vec<Sent> = gates.iter().zip(0..).map(send).collect();
    let held = take(&jobs, MANY as usize);
    // Other tests in this process may have one or two.
    let threads = reply_threads();
    assert!(threads < 10, "{threads} threads");
    for (request, responder) in held.into_iter().rev() {
        responder.reply(&[request[0], 7]).unwrap();
    }
    for (sent, n) in sent.into_iter().zip(0..) {
        assert_eq!(*sent.wait().unwrap(), [n, 7]);
    }
}

/// When a plugin closes, the calls that it has sent end at once, and those of its neighbours go on.
#[test]
fn a_plugin_s_sent_calls_end_with_it_and_no_others() {
    let bus = Bus::start(programs!());
    let far = bus.plugin("Far");
    let (_provider, jobs) = deferring(&far, "Far.Later");
    let group = Group::new().unwrap();
    for _ in 0..3 {
        let connect = |name: &str| bus.builder(name).group(&group).connect().unwrap();
        let (gone, stays) = (connect("Gone"), connect("Stays"));
        let gates = [&gone, &stays].map(|plugin| gate_of_bytes(plugin, "Far.Later"));
        // More calls than there are slots.
        let send = |(gate, tag): (&Gate, u8)| -> Vec<Sent> {
            (0..50).map(|n| gate.send(&[tag, n]).unwrap()).collect()
        };
        let [of_gone, of_stays] = [send((&gates[0], 0)), send((&gates[1], 1))];
        let start = Instant::now();
        drop(gone);
        for sent in of_gone {
            assert_eq!(code(sent.wait()), Code::Closed);
        }
        assert!(start.elapsed() < PATIENCE / 2);
        assert_eq!(code(gates[0].send(&[1])), Code::Closed);
        thread::scope(|scope| {
            scope.spawn(|| {
                for (sent, n) in of_stays.into_iter().zip(0..) {
                    assert_eq!(*sent.wait().unwrap(), [1, n]);
                }
            });
            let mut answered = 0;
            while answered < 50 {
                for (request, responder) in take(&jobs, 1) {
                    answered += request[0];
                    let _ = responder.reply(&request);
                }
            }
        });
        // The thread that has ended with the group's last plugin is started again.
        drop((stays, gates));
    }
}

/// How a plugin with calls under way in both directions is dropped.
#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Outside,
    AHandlerOfAnother,
    ItsOwnHandler,
}

/// When a handler of the group drops a plugin, the calls that it has left for later are ended, and the dropping
/// thread does not wait for itself.
#[test]
fn a_plugin_is_dropped_with_deferred_answers_and_sent_calls() {
    for by in [By::Outside, By::AHandlerOfAnother, By::ItsOwnHandler] {
        let bus = Bus::start(programs!());
        let far = bus.plugin("Far");
        let (_held_far, at_far) = deferring(&far, "Far.Later");
        let group = Group::new().unwrap();
        let connect = |name: &str| bus.builder(name).group(&group).connect().unwrap();
        let (gone, stays) = (connect("Gone"), connect("Stays"));
        let (later, at_gone) = deferring(&gone, "Gone.Later");
        later.keep();
        let out = gate_of_bytes(&gone, "Far.Later");
        let plugin = Arc::new(Mutex::new(None));
        let there = plugin.clone();
        let drop_it = move || drop(there.lock().unwrap().take());
        let (own, gate) = match by {
            By::ItsOwnHandler => (&gone, "Gone.Drop"),
            _ => (&stays, "Stays.Drop"),
        };
        own.provide(gate, drop_it).unwrap().keep();
        stays.provide("Stays.Add", |n: u64| n + 1).unwrap().keep();
        *plugin.lock().unwrap() = Some(gone);
        let dropping = open::<(), ()>(&far, gate);
        let into = [&far, &stays].map(|caller| gate_of_bytes(caller, "Gone.Later"));
        let called: Vec<Sent> = into.iter().map(|gate| gate.send(b"in").unwrap()).collect();
        let held = take(&at_gone, 2);
        let sent = out.send(b"out").unwrap();
        let at_far = take(&at_far, 1);
        let start = Instant::now();
        match by {
            By::Outside => drop(plugin.lock().unwrap().take()),
            // Its own link may end before its answer is read.
            _ => drop(dropping.invoke(())),
        }
        for called in called {
            assert_eq!(code(called.wait()), Code::ProviderGone, "{by:?}");
        }
        assert_eq!(code(sent.wait()), Code::Closed, "{by:?}");
        assert!(start.elapsed() < PATIENCE / 2, "{by:?}");
        for (_, responder) in held {
            await_that("nobody waits", || responder.is_cancelled());
            assert_eq!(code(responder.reply(b"late")), Code::Closed, "{by:?}");
        }
        drop(at_far);
        let add = open::<(u64,), u64>(&far, "Stays.Add");
        assert_eq!(add.invoke((1,)).unwrap(), 2, "{by:?}");
        assert!(plugin.lock().unwrap().is_none());
    }
}

struct Run<F>(F);

impl<F: Fn() + Send + Sync> Wake for Run<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// A waker or a handler may drop the last plugins of a group, and with them the group's thread. It does not wait for
/// the thread that calls it.
#[test]
fn wakers_and_handlers_drop_the_last_plugins_of_a_group() {
    for by_waker in [true, false] {
        let bus = Bus::start(programs!());
        let far = bus.plugin("Far");
        let (_provider, jobs) = deferring(&far, "Far.Later");
        let group = Group::new().unwrap();
        let plugins: Vec<_> = (0..3)
            .map(|n| {
                bus.builder(&member("M", n))
                    .group(&group)
                    .connect()
                    .unwrap()
            })
            .collect();
        drop(group);
        let gates: Vec<_> = plugins
            .iter()
            .map(|plugin| gate_of_bytes(plugin, "Far.Later"))
            .collect();
        let send = |(gate, n): (&Gate, u8)| gate.send(&[n]).unwrap();
        let mut sent: Vec<Sent> = gates.iter().zip(0..).map(send).collect();
        let plugins = Arc::new(Mutex::new(plugins));
        let (there, (done, is_done)) = (plugins.clone(), mpsc::channel());
        let done = Mutex::new(done);
        let drop_all = move || {
            let all = std::mem::take(&mut *there.lock().unwrap());
            let was_any = !all.is_empty();
            drop(all);
            if was_any {
                let _ = done.lock().unwrap().send(());
            }
        };
        let mut held = take(&jobs, 3);
        let waker = Waker::from(Arc::new(Run(drop_all)));
        if by_waker {
            let pending = Pin::new(&mut sent[0]).poll(&mut Context::from_waker(&waker));
            assert!(pending.is_pending());
            let first = held.iter().position(|(request, _)| *request == [0]);
            let (_, responder) = held.remove(first.unwrap());
            responder.reply(b"y").unwrap();
        } else {
            let last = plugins.lock().unwrap();
            let wake = move || waker.wake_by_ref();
            last[2].provide("M2.DropAll", wake).unwrap().keep();
            drop(last);
            let all = open::<(), ()>(&far, "M2.DropAll");
            drop(all.invoke(()));
        }
        is_done.recv_timeout(PATIENCE).expect("they are dropped");
        for sent in sent.into_iter().skip(1) {
            assert_eq!(code(sent.wait()), Code::Closed);
        }
        assert_eq!(code(gates[1].send(b"z")), Code::Closed);
    }
}
