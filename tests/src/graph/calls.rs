//! What the handlers of the graph call.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use callgate_client::dynamic::{self, Gate};
use callgate_client::{
    Arguments, CancelToken, Code, Error, GateType, Plugin, Result, Subscriber, signature_of,
};

use super::{Node, Task, told_file};
use crate::random::Random;

/// The longest time, in milliseconds, after which a handler gives up a call. It is long enough for the broker to
/// report some of these waits.
const HASTE: usize = 90;

/// The gates of other plugins that a plugin calls.
pub(super) struct Calls {
    n: usize,
    work: Vec<Subscriber<(Task,), ()>>,
    sent: Vec<Gate>,
    back: Vec<Subscriber<(u64,), ()>>,
    leaf: Vec<(u64, Subscriber<(), u64>)>,
    peek: Vec<Subscriber<(), u64>>,
    told: PathBuf,
}

impl Calls {
    pub(super) fn open(plugin: &Plugin, node: Node) -> Result<Calls> {
        let n = node.n;
        let above = || Node::all().filter(move |other| other.n > n);
        let below = || Node::all().filter(move |other| other.n < n);
        let stays = |other: &Node| !other.is_mortal() && !node.is_mortal();
        let leaves = below().filter(stays).map(|other| {
            let leaf = open(plugin, &other.gate("Leaf"))?;
            Ok((other.n as u64, leaf))
        });
        let peeks = below().filter(|other| other.is_alone() && !other.sends());
        let sent = above().filter(|other| node.may_send_to(*other));
        let sent = sent.map(|other| {
            let signature = signature_of::<(Task,), ()>();
            dynamic::open(plugin, &other.gate("Work"), &signature)
        });
        let socket = std::env::var_os("CALLGATE_SOCKET").expect("a socket");
        Ok(Calls {
            n,
            work: above()
                .map(|other| open(plugin, &other.gate("Work")))
                .collect::<Result<_>>()?,
            sent: sent.collect::<Result<_>>()?,
            back: above()
                .filter(stays)
                .map(|other| open(plugin, &other.gate("Back")))
                .collect::<Result<_>>()?,
            leaf: leaves.collect::<Result<_>>()?,
            peek: peeks
                .map(|other| open(plugin, &other.gate("Peek")))
                .collect::<Result<_>>()?,
            told: told_file(socket.as_ref()),
        })
    }

    /// Calls back to the plugin that called.
    pub(super) fn call_back(&self, from: u64) {
        if let Some((_, leaf)) = self.leaf.iter().find(|(n, _)| *n == from) {
            self.note(leaf.invoke(()));
        }
    }

    pub(super) fn work(&self, (seed, depth, gives_up): Task) {
        let mut random = Random::from_seed(seed);
        pause(&mut random);
        if depth == 0 {
            return;
        }
        for _ in 0..=random.below(2) {
            let task = (random.number(), depth - 1, gives_up);
            self.call(&mut random, task);
        }
    }

    fn call(&self, random: &mut Random, task: Task) {
        let gives_up = task.2;
        match random.below(8) {
            0 => {
                if let Some(peek) = one(&self.peek, random) {
                    self.note(peek.invoke(()));
                }
            }
            1 if !gives_up => {
                if let Some(back) = one(&self.back, random) {
                    self.note(back.invoke((self.n as u64,)));
                }
            }
            2 if !self.sent.is_empty() => {
                let gate = one(&self.sent, random);
                // Calls must not come back in this chain: it is another chain, and the caller keeps its turn.
                let task = dynamic::encode(&((task.0, task.1, true),));
                if let (Some(gate), Ok(task)) = (gate, task) {
                    self.note(gate.send(&task).and_then(dynamic::Sent::wait));
                }
            }
            nth => {
                if let Some(work) = one(&self.work, random) {
                    let haste = Duration::from_millis(random.below(HASTE) as u64);
                    self.note(match (nth, gives_up) {
                        (3, true) => work.with_timeout(haste).invoke((task,)),
                        (4, true) => work.with_cancel(&cancel_after(haste)).invoke((task,)),
                        _ => work.invoke((task,)),
                    });
                }
            }
        }
    }

    /// Writes down an outcome that says there is a deadlock.
    fn note<T>(&self, outcome: Result<T>) {
        let Err(error) = outcome else { return };
        if is_told(&error) {
            let line = format!("N{}: {error}\n", self.n);
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(&self.told);
            let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
            written.expect("the file can be written");
        }
    }
}

fn open<A: Arguments, R: GateType>(plugin: &Plugin, gate: &str) -> Result<Subscriber<A, R>> {
    Ok(plugin.subscriber(gate)?.with_timeout(crate::PATIENCE))
}

fn one<'a, T>(all: &'a [T], random: &mut Random) -> Option<&'a T> {
    all.get(random.below(all.len()))
}

fn cancel_after(time: Duration) -> CancelToken {
    let token = CancelToken::new();
    let theirs = token.clone();
    thread::spawn(move || {
        thread::sleep(time);
        theirs.cancel();
    });
    token
}

/// Mostly short, and sometimes long enough for the broker to report the wait.
fn pause(random: &mut Random) {
    match random.below(24) {
        0 => thread::sleep(Duration::from_millis(40 + random.below(60) as u64)),
        1..4 => random.pause(8),
        _ => {}
    }
}

/// Whether an error says, or passes on, that a call would have waited for ever.
pub(crate) fn is_told(error: &Error) -> bool {
    let code = error.context().map(|context| &context["handler_code"]);
    error.code() == Code::Deadlock || code.is_some_and(|code| code == "DEADLOCK")
}
