//! `call/callers-4`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use callgate::Broker;
use callgate_client::Plugin;
use nix::sys::prctl;
use nix::sys::signal::Signal;

use crate::{Result, spread};

const CALLERS: usize = 4;
const BLOCK: Duration = Duration::from_millis(100);

/// Is the provider's process.
pub(crate) fn provide(socket: &str, name: &str) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let plugin = Plugin::builder(name).socket(socket).connect()?;
    let _add = plugin.provide("Callers.Add", |a: u64, b: u64| a.wrapping_add(b))?;
    println!("ready");
    plugin.wait_closed();
    Ok(())
}

/// Is a caller's process: calls for a block on each line, and says how many calls that were.
pub(crate) fn call(socket: &str, name: &str) -> Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let plugin = Plugin::builder(name).socket(socket).connect()?;
    let add = plugin.subscriber::<(u64, u64), u64>("Callers.Add")?;
    add.wait_ready(Duration::from_secs(5))?;
    println!("ready");
    for line in std::io::stdin().lines() {
        line?;
        let start = Instant::now();
        let mut calls = 0;
        while start.elapsed() < BLOCK {
            for _ in 0..64 {
                calls += 1;
                if add.invoke((calls, 1))? != calls + 1 {
                    return Err("a wrong answer".into());
                }
            }
        }
        println!("{calls}");
    }
    Ok(())
}

/// A process with a role.
struct Peer {
    child: Child,
    orders: ChildStdin,
    words: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    fn start(role: &str, socket: &str, name: &str) -> Result<Peer> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([role, socket, name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = child.stdin.take().ok_or("no way to give orders")?;
        let words = child.stdout.take().ok_or("nothing to read")?;
        let words = BufReader::new(words).lines();
        let mut peer = Peer {
            child,
            orders,
            words,
        };
        peer.word()?;
        Ok(peer)
    }

    fn go(&mut self) -> Result<()> {
        writeln!(self.orders)?;
        Ok(self.orders.flush()?)
    }

    fn word(&mut self) -> Result<String> {
        Ok(self.words.next().ok_or("a process has ended")??)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Lets callers call for a block; calls a second, of all together.
fn block(callers: &mut [Peer]) -> Result<f64> {
    callers.iter_mut().try_for_each(Peer::go)?;
    let mut calls = 0.0;
    for caller in callers {
        calls += caller.word()?.parse::<f64>()?;
    }
    Ok(calls / BLOCK.as_secs_f64())
}

pub(crate) fn run(blocks: u32) -> Result<()> {
    let place = tempfile::tempdir()?;
    let socket = place.path().join("bus");
    let _broker = Broker::builder().socket(&socket).start()?;
    let socket = socket.display().to_string();
    let _provider = Peer::start("--provider", &socket, "Provider")?;
    let mut callers = Vec::new();
    for n in 0..CALLERS {
        callers.push(Peer::start("--caller", &socket, &format!("Caller{n}"))?);
    }
    let (mut ones, mut fours, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..blocks {
        let one = block(&mut callers[..1])?;
        let four = block(&mut callers)?;
        ones.push(one);
        fours.push(four);
        ratios.push(four / one);
    }
    let cpus = std::thread::available_parallelism()?;
    let (ratio, low, high) = spread(ratios);
    println!("call/callers-4 (16 B, unpinned on {cpus} CPUs, {blocks} pairs of blocks of 100 ms)");
    println!("  one caller        {:8.0} calls/s", spread(ones).0);
    println!("  four callers      {:8.0} calls/s in all", spread(fours).0);
    println!("  ratio             {ratio:8.2} ({low:.2} to {high:.2}), at least 0.8");
    Ok(())
}
