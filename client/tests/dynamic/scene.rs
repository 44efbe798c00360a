//! A bus with two plugins of this process, and gates whose calls are answered later.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use callgate::{Broker, BusLimits};
use callgate_client::dynamic::{self, Bytes, Gate, Responder, Sent};
use callgate_client::{Dispatch, Plugin, Provider, Result, WaitPolicy, signature_of};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const GATE: &str = "Bytes.Gate";

pub(crate) struct Scene {
    pub(crate) broker: Broker,
    pub(crate) provider: Plugin,
    pub(crate) caller: Option<Plugin>,
}

impl Scene {
    pub(crate) fn caller(&self) -> &Plugin {
        self.caller.as_ref().unwrap()
    }

    pub(crate) fn take_caller(&mut self) -> Plugin {
        self.caller.take().unwrap()
    }
}

pub(crate) fn scene(dispatch: Dispatch) -> Scene {
    scene_with(dispatch, WaitPolicy::default(), BusLimits::default())
}

pub(crate) fn scene_with(dispatch: Dispatch, policy: WaitPolicy, limits: BusLimits) -> Scene {
    let broker = Broker::builder().without_socket().limits(limits);
    let broker = broker.start().unwrap();
    let connect = |name: &str| {
        Plugin::builder(name)
            .descriptor(broker.connect().unwrap())
            .direct_calls(false)
            .dispatch(dispatch)
            .wait_policy(policy)
            .connect()
            .unwrap()
    };
    let (provider, caller) = (connect("provider"), connect("caller"));
    Scene {
        broker,
        provider,
        caller: Some(caller),
    }
}

pub(crate) type Job = (Vec<u8>, Responder);

/// A gate whose calls are passed to the test.
pub(crate) fn deferring(scene: &Scene) -> (Provider, Gate, mpsc::Receiver<Job>) {
    deferring_at(scene, GATE)
}

pub(crate) fn deferring_at(scene: &Scene, name: &str) -> (Provider, Gate, mpsc::Receiver<Job>) {
    let (sender, receiver) = mpsc::channel();
    let sender: Mutex<Sender<Job>> = Mutex::new(sender);
    let signature = signature_of::<(Vec<u8>,), Vec<u8>>();
    let handler = move |_: callgate_client::Context<'_>, request: &[u8], responder| {
        let job = (request.to_vec(), responder);
        // If nobody answers any more, because the machine was busy, dropping the responder ends the call.
        drop(sender.lock().unwrap().send(job));
    };
    let provider = dynamic::provide_later(&scene.provider, name, &signature, handler).unwrap();
    let gate = dynamic::open(scene.caller(), name, &signature).unwrap();
    (provider, gate, receiver)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

/// Waits until a condition holds.
pub(crate) fn await_that(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

struct Run<F>(F);

impl<F: Fn() + Send + Sync> Wake for Run<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

/// A waker that calls `run`.
pub(crate) fn waker(run: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Run(run)))
}

/// Polls a call once.
pub(crate) fn poll(sent: &mut Sent, waker: &Waker) -> Poll<Result<Bytes>> {
    Pin::new(sent).poll(&mut Context::from_waker(waker))
}
