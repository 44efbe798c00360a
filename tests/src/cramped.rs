//! A program that runs short of descriptors or address space on command. Each line of input is a command, and is
//! answered by one line: `ok`, a number or an error.

use std::collections::HashMap;
use std::fmt::Debug;
use std::fs::File;
use std::io::BufRead;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callgate::{Broker, Child};
use callgate_client::{
    Payload, Plugin, Provider, RawSubscriber, Share, Subscriber, Subscription, Topic, TopicOptions,
    View,
};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata};

use crate::PATIENCE;

type Answer = Result<String, String>;

#[derive(Default)]
struct Cramped {
    broker: Option<Broker>,
    plugins: Vec<Plugin>,
    providers: Vec<Provider>,
    sums: HashMap<String, Subscriber<(u64, u64), u64>>,
    raw: HashMap<String, RawSubscriber<u64>>,
    topic: Option<Topic<(u32,)>>,
    subscription: Option<Subscription>,
    share: Option<Share<[u32]>>,
    /// The last event that it has received.
    heard: Arc<AtomicU32>,
    /// Descriptors that fill this process's table.
    fillers: Vec<File>,
    /// The limit before it was lowered.
    soft: rlim_t,
    children: Vec<Child>,
}

/// Prints the log to the standard error.
struct ToStderr;

struct Message;

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            eprintln!("{value:?}");
        }
    }
}

impl tracing::Subscriber for ToStderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Message);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Obeys commands until its input ends.
pub fn run() {
    tracing::subscriber::set_global_default(ToStderr).expect("it is the only one");
    println!("ready");
    let mut cramped = Cramped::default();
    let lines = std::io::stdin().lock().lines();
    for line in lines.map_while(Result::ok) {
        let words: Vec<&str> = line.split(' ').collect();
        match cramped.obey(&words) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("{}", error.replace('\n', " ")),
        }
    }
}

fn ok<E: std::fmt::Display>(outcome: Result<(), E>) -> Answer {
    said(outcome.map(|()| "ok"))
}

fn said<T: std::fmt::Display, E: std::fmt::Display>(outcome: Result<T, E>) -> Answer {
    match outcome {
        Ok(value) => Ok(value.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

impl Cramped {
    fn obey(&mut self, words: &[&str]) -> Answer {
        match words {
            ["connect", name] => self.connect(Plugin::builder(name).connect()),
            ["broker", rest @ ..] => self.start_broker(rest),
            ["inside", name] => self.inside(name),
            ["spawn", name] => self.spawn(name),
            ["close"] => {
                self.sums.clear();
                self.raw.clear();
                self.subscription = None;
                self.topic = None;
                self.providers.clear();
                self.plugins.clear();
                Ok("ok".to_owned())
            }
            ["provide", gate] => {
                let provider = self.plugin().provide(gate, |a: u64, b: u64| a + b);
                ok(provider.map(|provider| self.providers.push(provider)))
            }
            ["provide-raw", gate] => {
                let length =
                    |_: callgate_client::Context<'_>, bytes: Payload<'_>| bytes.len() as u64;
                let provider = self.plugin().provide_raw(gate, length);
                ok(provider.map(|provider| self.providers.push(provider)))
            }
            ["open", gate] => self.open(gate),
            // All others open the gate of the first.
            ["link"] => self.link(),
            ["shut"] => {
                self.sums.clear();
                Ok("ok".to_owned())
            }
            ["call", gate] => match self.sums.get(*gate) {
                Some(sum) => said(sum.invoke((20, 22))),
                None => Err("not open".to_owned()),
            },
            ["loan", gate, mib] => self.loan(gate, mib.parse().expect("a number")),
            ["topic", name] => ok(self
                .plugin()
                .topic(name)
                .map(|topic| self.topic = Some(topic))),
            ["send", event] => self.send(event.parse().expect("a number")),
            ["listen", name] => self.listen(name),
            ["deaf"] => {
                self.subscription = None;
                Ok("ok".to_owned())
            }
            ["history", name] => {
                let offered = self
                    .plugin()
                    .topic_with(name, TopicOptions::new().history(3));
                ok(offered.map(|topic| self.topic = Some(topic)))
            }
            ["listen-bytes", name] => self.listen_to_bytes(name),
            ["get", tag] => self.keep(self.plugin().shares().get(tag)),
            ["publish", tag] => self.keep(self.plugin().shares().publish(tag, &[1, 2, 3][..])),
            ["let-go"] => {
                self.share = None;
                Ok("ok".to_owned())
            }
            ["heard"] => Ok(self.heard.load(Ordering::Acquire).to_string()),
            ["list"] => said(self.plugin().list().map(|_| "listed")),
            ["spare", count] => self.spare(count.parse().expect("a number")),
            ["free"] => {
                self.fillers.clear();
                let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
                ok(setrlimit(Resource::RLIMIT_NOFILE, self.soft, hard))
            }
            ["count"] => Ok(crate::proc::descriptors(std::process::id()).to_string()),
            ["soft"] => said(getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft)),
            ["space", mib] => space(mib.parse().ok()),
            other => Err(format!("no command: {other:?}")),
        }
    }

    fn plugin(&self) -> &Plugin {
        self.plugins.first().expect("it is connected")
    }

    fn connect(&mut self, plugin: callgate_client::Result<Plugin>) -> Answer {
        ok(plugin.map(|plugin| self.plugins.push(plugin)))
    }

    fn start_broker(&mut self, rest: &[&str]) -> Answer {
        let builder = match std::env::var_os("CALLGATE_SOCKET") {
            Some(socket) => Broker::builder().socket(socket),
            None => Broker::builder().without_socket(),
        };
        let builder = builder.raise_descriptor_limit(!rest.contains(&"modest"));
        ok(builder.start().map(|broker| self.broker = Some(broker)))
    }

    /// A plugin on the broker of this process.
    fn inside(&mut self, name: &str) -> Answer {
        let broker = self.broker.as_ref().expect("a broker");
        let socket = broker.connect().map_err(|error| error.to_string())?;
        let builder = Plugin::builder(name).direct_calls(false);
        self.connect(builder.descriptor(socket).connect())
    }

    /// A provider on this program's own broker, in a process of its own.
    fn spawn(&mut self, name: &str) -> Answer {
        let broker = self.broker.as_ref().expect("a broker");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["endless", name]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        ok(broker
            .spawn(name, command)
            .map(|child| self.children.push(child)))
    }

    fn link(&mut self) -> Answer {
        let gate = format!("{}.Add", self.plugin().name());
        for plugin in &self.plugins[1..] {
            let opened = plugin.subscriber::<(u64, u64), u64>(&gate);
            let sum = opened.and_then(|add| add.invoke((20, 22)));
            assert_eq!(sum.map_err(|error| error.to_string())?, 42);
        }
        Ok("ok".to_owned())
    }

    fn open(&mut self, gate: &str) -> Answer {
        let opened = self.plugin().subscriber(gate);
        ok(opened.map(|sum| {
            self.sums
                .insert(gate.to_owned(), sum.with_timeout(PATIENCE));
        }))
    }

    fn send(&self, event: u32) -> Answer {
        ok(self.topic.as_ref().expect("a topic").send(&(event,)))
    }

    fn listen(&mut self, name: &str) -> Answer {
        let heard = self.heard.clone();
        let hear = move |event: u32| heard.store(event, Ordering::Release);
        let subscribed = self.plugin().subscribe(name, hear);
        ok(subscribed.map(|subscription| self.subscription = Some(subscription)))
    }

    /// Receives events of bytes and notes the length of each.
    fn listen_to_bytes(&mut self, name: &str) -> Answer {
        let heard = self.heard.clone();
        let hear =
            move |event: View<'_, Vec<u8>>| heard.store(event.len() as u32, Ordering::Release);
        let subscribed = self.plugin().subscribe(name, hear);
        ok(subscribed.map(|subscription| self.subscription = Some(subscription)))
    }

    /// Keeps this share in place of the one before.
    fn keep(&mut self, share: callgate_client::Result<Share<[u32]>>) -> Answer {
        ok(share.map(|share| self.share = Some(share)))
    }

    fn loan(&mut self, gate: &str, mib: usize) -> Answer {
        if !self.raw.contains_key(gate) {
            let raw = self.plugin().raw_subscriber(gate);
            let raw = raw.and_then(|raw| raw.wait_ready(PATIENCE).map(|()| raw));
            let raw = raw.map_err(|error| error.to_string())?;
            self.raw.insert(gate.to_owned(), raw.with_timeout(PATIENCE));
        }
        said(
            self.raw[gate]
                .loan(mib << 20)
                .and_then(|loan| loan.invoke()),
        )
    }

    /// Opens files until only so many descriptors are left.
    fn spare(&mut self, count: usize) -> Answer {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
        self.soft = soft;
        let open = std::fs::read_dir("/proc/self/fd")
            .expect("a list")
            .flatten();
        let numbers = open.filter_map(|entry| entry.file_name().to_str()?.parse::<rlim_t>().ok());
        let highest = numbers.max().expect("some are open");
        let limit = highest + 10;
        setrlimit(Resource::RLIMIT_NOFILE, limit, hard).expect("a lower limit");
        while let Ok(file) = File::open("/dev/null") {
            self.fillers.push(file);
        }
        let kept = self.fillers.len() - count;
        self.fillers.truncate(kept);
        Ok("ok".to_owned())
    }
}

/// Limits the address space to what is used now and so much more; `None` removes the limit.
fn space(mib: Option<rlim_t>) -> Answer {
    let (_, hard) = getrlimit(Resource::RLIMIT_AS).expect("a limit");
    let statm = std::fs::read_to_string("/proc/self/statm").expect("its size");
    let pages: rlim_t = statm
        .split(' ')
        .next()
        .and_then(|n| n.parse().ok())
        .expect("pages");
    let soft = mib.map_or(hard, |mib| pages * 4096 + (mib << 20));
    ok(setrlimit(Resource::RLIMIT_AS, soft, hard))
}
