//! Bridges on a real broker. The test plays the child: it reads the pipe and passes frames to the bridge.

mod calls;
mod ends;
mod events;
mod malformed;
mod services;
mod storm;
mod worker;

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use callgate::{Broker, Builder};
use callgate_client::dynamic::{self, Gate};
use callgate_client::{Error, Plugin};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use nix::fcntl::OFlag;
use nix::unistd::pipe2;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Bridge, Bus, Job, LastWords, Limits, Parts, Tell};
use crate::frame::parse;
use crate::manifest::Manifest;
use crate::process::Stdin;

/// How long tests wait for things that must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
/// How long tests wait to see that something does not happen.
pub(super) const MOMENT: Duration = Duration::from_millis(50);

/// A broker, and the state that bridges on it share.
pub(super) struct Scene {
    pub(super) broker: Broker,
    bus: Arc<Bus>,
    folders: TempDir,
}

/// A child as the bridge sees it, with the threads that the runtime would run for it.
pub(super) struct Child {
    pub(super) bridge: Arc<Bridge>,
    pub(super) stdin: Stdin,
    /// The reading end of its stdin, until it begins to read.
    pipe: Option<OwnedFd>,
    heard: Option<Receiver<Value>>,
    told: Receiver<String>,
    left: Receiver<Error>,
    work: Sender<Job>,
}

/// Properties of a child.
pub(super) struct Traits<'a> {
    pub(super) capabilities: &'a [&'a str],
    pub(super) limits: Limits,
    /// The limit of the queue for its stdin, in bytes.
    pub(super) quota: usize,
}

impl Default for Traits<'_> {
    fn default() -> Self {
        Traits {
            capabilities: &[
                "gate.call:host.*",
                "events.publish:news.*",
                "events.subscribe:news.*",
            ],
            limits: Limits::default(),
            quota: 8 << 20,
        }
    }
}

impl Scene {
    pub(super) fn new() -> Scene {
        Scene::of(Broker::builder())
    }

    pub(super) fn of(broker: Builder) -> Scene {
        Scene {
            broker: broker.without_socket().start().unwrap(),
            bus: Bus::new().unwrap(),
            folders: tempfile::tempdir().unwrap(),
        }
    }

    /// An ordinary plugin.
    pub(super) fn plugin(&self, name: &str) -> Plugin {
        let builder = Plugin::builder(name).descriptor(self.broker.connect().unwrap());
        builder.display_name("The other").connect().unwrap()
    }

    /// A child that serves, and reads its stdin.
    pub(super) fn child(&self, name: &str) -> Child {
        let mut child = self.child_with(name, Traits::default());
        child.bridge.offer().unwrap();
        child.reads();
        child
    }

    /// A child that neither serves nor reads yet.
    pub(super) fn child_with(&self, name: &str, traits: Traits<'_>) -> Child {
        let manifest = self.manifest(name, traits.capabilities);
        let policy = Some(manifest.policy());
        self.broker.set_policy(name, policy).unwrap();
        let (pipe, end) = pipe2(OFlag::O_CLOEXEC).unwrap();
        nix::fcntl::fcntl(&end, nix::fcntl::FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
        let stdin = Stdin::new(end, traits.quota, || {});
        let (tell, threads) = told(&stdin);
        let parts = Parts {
            bus: self.bus.clone(),
            socket: self.broker.connect().unwrap(),
            stdin: stdin.clone(),
            tell: Arc::new(tell.clone()),
            limits: traits.limits,
        };
        let bridge = Arc::new(Bridge::connect(&manifest, parts).unwrap());
        threads.start(&bridge);
        Child {
            bridge,
            stdin,
            pipe: Some(pipe),
            heard: None,
            told: threads.unhealthy,
            left: threads.left,
            work: tell.work,
        }
    }

    fn manifest(&self, name: &str, capabilities: &[&str]) -> Manifest {
        let folder = self.folders.path().join(name);
        fs::create_dir_all(&folder).unwrap();
        let document = json!({
            "name": name,
            "version": "1.2.3",
            "runtime_capabilities": capabilities,
            "backend": { "command": ["true"] },
        });
        fs::write(folder.join("manifest.json"), document.to_string()).unwrap();
        Manifest::read(&folder).unwrap()
    }
}

/// Stands in for the loop and the worker.
#[derive(Clone)]
struct TestTell {
    wake: Sender<()>,
    work: Sender<Job>,
    unhealthy: Sender<String>,
    left: Sender<Error>,
}

struct Threads {
    woken: Receiver<()>,
    jobs: Receiver<Job>,
    unhealthy: Receiver<String>,
    left: Receiver<Error>,
    stdin: Stdin,
}

fn told(stdin: &Stdin) -> (TestTell, Threads) {
    let (wake, woken) = unbounded();
    let (work, jobs) = unbounded();
    let (say, unhealthy) = unbounded();
    let (leave, left) = unbounded();
    let tell = TestTell {
        wake,
        work,
        unhealthy: say,
        left: leave,
    };
    let stdin = stdin.clone();
    let threads = Threads {
        woken,
        jobs,
        unhealthy,
        left,
        stdin,
    };
    (tell, threads)
}

impl Tell for TestTell {
    fn wake(&self) {
        let _ = self.wake.send(());
    }

    fn work(&self, job: Job) {
        let _ = self.work.send(job);
    }

    fn unhealthy(&self, subscription: &str) {
        let _ = self.unhealthy.send(subscription.to_owned());
    }

    fn complain(&self, _: &dyn Fn() -> String) {}

    fn left(&self, why: &Error) {
        let _ = self.left.send(why.clone());
    }
}

impl Threads {
    /// Starts both threads, which end when the bridge is gone.
    fn start(&self, bridge: &Arc<Bridge>) {
        let jobs = self.jobs.clone();
        thread::spawn(move || jobs.into_iter().for_each(|job| job()));
        let (woken, stdin, bridge) = (
            self.woken.clone(),
            self.stdin.clone(),
            Arc::downgrade(bridge),
        );
        thread::spawn(move || {
            let mut next: Option<Instant> = None;
            loop {
                // If nothing is due the thread waits longer than any test. In the runtime the kernel would report when the pipe has room.
                let wait = match stdin.queued() {
                    0 => next.map_or(10 * PATIENCE, |next| {
                        next.saturating_duration_since(Instant::now())
                    }),
                    _ => Duration::from_millis(1),
                };
                let woken = woken.recv_timeout(wait);
                stdin.flush();
                match (bridge.upgrade(), woken) {
                    (Some(bridge), Ok(()) | Err(RecvTimeoutError::Timeout)) => {
                        next = bridge.sweep(Instant::now());
                    }
                    _ => return,
                }
            }
        });
    }
}

impl Child {
    /// Begins to read its stdin.
    pub(super) fn reads(&mut self) {
        let (heard, hears) = unbounded();
        let pipe = File::from(self.pipe.take().expect("it does not read yet"));
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let frame = serde_json::from_str(&line).expect("each line is a frame");
                if heard.send(frame).is_err() {
                    return;
                }
            }
        });
        self.heard = Some(hears);
    }

    /// Reads one frame.
    pub(super) fn reads_one(&self) -> Value {
        let pipe = self.pipe.as_ref().expect("it does not read yet");
        let (mut line, mut byte) = (Vec::new(), [0]);
        while byte != *b"\n" {
            assert_eq!(nix::unistd::read(pipe, &mut byte), Ok(1));
            line.extend(byte);
        }
        serde_json::from_slice(&line).unwrap()
    }

    /// Closes its stdin without having read it.
    pub(super) fn closes_stdin(&mut self) {
        self.pipe = None;
    }

    pub(super) fn hears(&self) -> Value {
        let heard = self.heard.as_ref().expect("it reads");
        heard.recv_timeout(PATIENCE).expect("it is told something")
    }

    pub(super) fn hears_nothing(&self) {
        let heard = self.heard.as_ref().expect("it reads");
        assert_eq!(heard.recv_timeout(MOMENT).ok(), None);
    }

    pub(super) fn says(&self, frame: &Value) {
        let text = frame.to_string();
        self.bridge.on_frame(&parse(text.as_bytes()).unwrap());
    }

    /// Answers a request.
    pub(super) fn answers(&self, request: &Value, result: &Value) {
        self.says(&json!({ "type": "response", "id": request["id"], "result": result }));
    }

    /// The subscription for which the bridge reported that the child is too slow.
    pub(super) fn unhealthy(&self) -> String {
        self.told.recv_timeout(PATIENCE).expect("it is said")
    }

    /// The reason why its session has ended.
    pub(super) fn left(&self) -> Error {
        self.left.recv_timeout(PATIENCE).expect("it has ended")
    }

    /// Ends the child, as its course would.
    pub(super) fn ends(&self, words: LastWords) {
        self.bridge.end(&words);
        let (bridge, (done, closed)) = (self.bridge.clone(), unbounded());
        let close = move || {
            bridge.close(&words);
            drop(done);
        };
        self.work.send(Box::new(close)).unwrap();
        let closed: Result<(), RecvTimeoutError> = closed.recv_timeout(PATIENCE);
        assert_eq!(closed, Err(RecvTimeoutError::Disconnected));
    }
}

/// Opens a gate that is called with JSON.
pub(super) fn open(plugin: &Plugin, gate: &str) -> Gate {
    let gate = dynamic::open_json(plugin, gate).unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    gate.with_timeout(PATIENCE)
}

/// Waits until a condition holds.
pub(super) fn await_that(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}: that does not come");
        thread::sleep(Duration::from_millis(1));
    }
}
