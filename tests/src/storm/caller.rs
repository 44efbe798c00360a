//! A plugin that calls from several threads, and that chains come back to.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use callgate_client::{CancelToken, Code, Context, Plugin, RawSubscriber, Result, Subscriber};

use super::judge::{self, Begun};
use super::tally::{LONG, Tally, WITHOUT_BROKER};
use super::{Book, DEEPEST, Link, MOST, pass_on, sum};
use crate::random::Random;

const THREADS: usize = 3;
/// How often it prints its counts.
const TELL: Duration = Duration::from_millis(50);

/// The gates of one provider.
struct Door {
    name: String,
    echo: Subscriber<(u64, u64, Vec<u8>), Vec<u8>>,
    look: RawSubscriber<u64>,
    chain: Subscriber<Link, Vec<u8>>,
}

type Doors = Vec<OnceLock<Door>>;

/// What the threads of the plugin share.
struct Scene {
    book: Arc<Book>,
    doors: Arc<Doors>,
    tally: Arc<Tally>,
    canceller: Mutex<Sender<Cancel>>,
    is_over: AtomicBool,
}

/// Calls all gates of the providers. Prints its counts twenty times a second. After a line `rest` it stops calling
/// and prints `resting` when all calls have ended. After `go` it continues. After `no broker` it expects that there
/// may be none, and prints `warned`.
pub(super) fn run(plugin: &Plugin, more: &[String]) {
    let [seed, providers @ ..] = more else {
        panic!("a seed is missing");
    };
    let mut random = Random::from_seed(seed.parse().expect("a number"));
    let (sender, cancels) = channel();
    let scene = Scene {
        book: Arc::new(Book::write()),
        doors: Arc::new(providers.iter().map(|_| OnceLock::new()).collect()),
        tally: Tally::new(providers.len()),
        canceller: Mutex::new(sender),
        is_over: AtomicBool::new(false),
    };
    come_back(plugin, &scene, providers);
    println!("ready");
    thread::scope(|scope| {
        scope.spawn(|| open(plugin, &scene, providers));
        let tally = &scene.tally;
        scope.spawn(move || cancel_all(&cancels, tally));
        scope.spawn(|| {
            loop {
                thread::sleep(TELL);
                println!("{}", tally.line());
            }
        });
        obey(&scene, &mut random);
        std::process::exit(0);
    });
}

/// Does what the lines of its input say.
fn obey(scene: &Scene, random: &mut Random) {
    let mut lines = std::io::stdin().lines().map_while(std::io::Result::ok);
    let mut is_on = true;
    while is_on {
        is_on = false;
        scene.is_over.store(false, Ordering::SeqCst);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let random = random.fork();
                scope.spawn(|| call_on(scene, random));
            }
            for line in lines.by_ref() {
                match line.as_str() {
                    "no broker" => {
                        scene.tally.lose_broker();
                        println!("warned");
                    }
                    "rest" => break,
                    other => panic!("what is {other}?"),
                }
            }
            scene.is_over.store(true, Ordering::SeqCst);
        });
        println!("resting");
        for line in lines.by_ref() {
            is_on = line == "go";
            if is_on {
                break;
            }
        }
    }
}

/// Provides the gate that chains come back to.
fn come_back(plugin: &Plugin, scene: &Scene, providers: &[String]) {
    let (book, doors, names) = (scene.book.clone(), scene.doors.clone(), providers.to_vec());
    let back = move |context: Context<'_>, depth: u32, at: u64, bytes: Vec<u8>| {
        let place = names
            .iter()
            .position(|name| name == context.caller().name());
        let next = place.and_then(|place| doors[place].get());
        let next = next.map(|door| &door.chain);
        pass_on(next, context, (depth, at, bytes), &book)
    };
    let back = plugin.provide(&format!("{}.Back", plugin.name()), back);
    back.expect("providing").keep();
}

/// Opens the gates of all providers, however long it takes.
fn open(plugin: &Plugin, scene: &Scene, providers: &[String]) {
    let all = || scene.doors.iter().zip(providers);
    while all().any(|(door, _)| door.get().is_none()) {
        for (door, name) in all().filter(|(door, _)| door.get().is_none()) {
            match Door::open(plugin, name) {
                Ok(opened) => drop(door.set(opened)),
                Err(error) if error.code() == Code::BrokerGone && scene.tally.may_lack_broker() => {
                    return;
                }
                Err(error) => judge::allow(&error, &judge::OPENING),
            }
        }
    }
}

impl Door {
    fn open(plugin: &Plugin, name: &str) -> Result<Door> {
        Ok(Door {
            name: name.to_owned(),
            echo: plugin.subscriber(&format!("{name}.Echo"))?,
            look: plugin.raw_subscriber(&format!("{name}.Look"))?,
            chain: plugin.subscriber(&format!("{name}.Chain"))?,
        })
    }
}

/// A token to be cancelled, and when it was cancelled.
struct Cancel {
    due: Instant,
    token: CancelToken,
    done: Arc<OnceLock<Duration>>,
}

fn cancel_all(cancels: &Receiver<Cancel>, tally: &Tally) {
    for cancel in cancels {
        thread::sleep(cancel.due.saturating_duration_since(Instant::now()));
        // The time is stored before the token is cancelled, so that every caller that is woken finds it.
        let _ = cancel.done.set(tally.awake.now());
        cancel.token.cancel();
    }
}

fn call_on(scene: &Scene, mut random: Random) {
    while !scene.is_over.load(Ordering::SeqCst) {
        let place = random.below(scene.doors.len());
        match scene.doors[place].get() {
            Some(door) => One::draw(scene, (place, door), &mut random).call(),
            None => thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// One call with random properties.
struct One<'a> {
    scene: &'a Scene,
    place: usize,
    door: &'a Door,
    at: u64,
    len: usize,
    pause: u64,
    depth: u32,
    timeout: Duration,
    kind: usize,
    token: Option<CancelToken>,
    cancelled: Arc<OnceLock<Duration>>,
}

impl<'a> One<'a> {
    fn draw(scene: &'a Scene, (place, door): (usize, &'a Door), random: &mut Random) -> One<'a> {
        // Half of the calls may have any size. Without optimisation, the large ones take long.
        let most = [21, 14][random.below(2)];
        let span = random.below(most);
        let short = Duration::from_micros(200 + random.number() % 60_000);
        let long = match scene.tally.may_lack_broker() {
            true => WITHOUT_BROKER,
            false => LONG,
        };
        let cancelled = Arc::new(OnceLock::new());
        let token = (random.below(4) == 0).then(CancelToken::new);
        // Half of the tokens are cancelled.
        if let Some(token) = token.clone().filter(|_| random.below(2) == 0) {
            let after = Duration::from_micros(random.number() % 10_000);
            let (due, done) = (Instant::now() + after, cancelled.clone());
            let sender = scene.canceller.lock().expect("nobody panics");
            sender.send(Cancel { due, token, done }).expect("it hears");
        }
        One {
            scene,
            place,
            door,
            at: random.number(),
            len: (8 + random.below(8 << span)).min(MOST),
            pause: random.number() % [1, 1, 1, 20_000][random.below(4)],
            depth: 1 + random.below(DEEPEST as usize - 1) as u32,
            timeout: if random.below(3) == 0 { short } else { long },
            kind: random.below(3),
            token,
            cancelled,
        }
    }

    fn call(&self) {
        let outcome = match self.kind {
            0 => self.echo(),
            1 => self.look(),
            _ => self.chain(),
        };
        match outcome {
            Ok(()) => {
                self.scene.tally.doors[self.place][self.kind].fetch_add(1, Ordering::Relaxed);
            }
            // There is no link if one could not be made to a stopped process.
            Err(error) if error.code() == Code::NotReady || judge::is_no_link(&error) => {
                self.wait();
            }
            Err(error) if error.code() == Code::BrokerGone => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(_) => {}
        }
    }

    /// Waits some time for the provider.
    fn wait(&self) {
        let timeout = Duration::from_millis(100);
        let begun = self.begun("wait_ready", timeout);
        let outcome = self.door.echo.wait_ready(timeout);
        begun.ended(outcome.as_ref().err(), None, &self.scene.tally);
    }

    fn begun(&self, step: &str, timeout: Duration) -> Begun {
        let what = format!("{} {step} of {} bytes", self.door.name, self.len);
        Begun::now(what, timeout, self.kind == 2, &self.scene.tally)
    }

    /// Does a step of the call, and checks how it ended.
    fn step<T>(&self, step: &str, what: impl FnOnce() -> Result<T>) -> Result<T> {
        let begun = self.begun(step, self.timeout);
        let outcome = what();
        let cancelled = self.cancelled.get().copied();
        begun.ended(outcome.as_ref().err(), cancelled, &self.scene.tally);
        outcome
    }

    fn prepared<A: callgate_client::Arguments, R: callgate_client::GateType>(
        &self,
        gate: &Subscriber<A, R>,
    ) -> Subscriber<A, R> {
        let gate = gate.with_timeout(self.timeout);
        match &self.token {
            Some(token) => gate.with_cancel(token),
            None => gate,
        }
    }

    fn echo(&self) -> Result<()> {
        let gate = self.prepared(&self.door.echo);
        let bytes = self.scene.book.part(self.at, self.len).to_vec();
        let arguments = (self.at, self.pause, bytes);
        let came = self.step("Echo", || gate.invoke_ref(&arguments))?;
        assert_eq!(came.len(), self.len, "an answer");
        self.scene.book.check(self.at, &came, "an answer");
        Ok(())
    }

    fn chain(&self) -> Result<()> {
        let gate = self.prepared(&self.door.chain);
        let bytes = self.scene.book.part(self.at, self.len).to_vec();
        let arguments = (self.depth, self.at, bytes);
        let came = self.step("Chain", || gate.invoke_ref(&arguments))?;
        assert_eq!(came.len(), self.len, "a chain's answer");
        self.scene.book.check(self.at, &came, "a chain's answer");
        Ok(())
    }

    fn look(&self) -> Result<()> {
        let gate = self.door.look.with_timeout(self.timeout);
        let gate = match &self.token {
            Some(token) => gate.with_cancel(token),
            None => gate,
        };
        let mut loan = self.step("loan", || gate.loan(self.len))?;
        let bytes = loan.bytes();
        bytes[..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..].copy_from_slice(self.scene.book.part(self.at, self.len - 8));
        let expected = sum(bytes);
        let came = self.step("Look", || loan.invoke())?;
        assert_eq!(came, expected, "another payload was looked at");
        Ok(())
    }
}
