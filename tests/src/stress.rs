//! A plugin that calls several others from several threads, and checks every answer.

use std::collections::HashMap;
use std::io::BufRead;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use callgate_client::{Code, Error, Plugin, Result, Subscriber};

use crate::{Process, proc};

/// Longer than any answer takes: a call that is never answered ends the plugin.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Payload lengths: some fit a ring entry, others need payload blocks, up to most of them.
const LENGTHS: [usize; 6] = [0, 40, 150, 2_000, 700, 40_000];

/// What one thread has seen.
#[derive(Debug, Default)]
struct Tally {
    answered: AtomicU64,
    gone: AtomicU64,
}

/// Calls `Add` and `Echo` of every one of `providers` from threads of their own, for ever. For each line of input it
/// prints one of output: `answered/gone` for each thread, two for each provider. A wrong answer, or an error that no
/// death explains, ends it with a panic.
///
/// After a line `ask GATE MILLIS` it calls that gate, which has the type of `Add`, with this timeout, and prints the
/// outcome and how many milliseconds it took.
pub fn run(plugin: &Plugin, providers: &[String]) -> Result<()> {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        std::process::exit(101);
    }));
    let mut tallies = Vec::new();
    for provider in providers {
        let add = plugin.subscriber::<(u64, u64), u64>(&format!("{provider}.Add"))?;
        let echo = plugin.subscriber::<(Vec<u8>,), Vec<u8>>(&format!("{provider}.Echo"))?;
        let (add, echo) = (add.with_timeout(TIMEOUT), echo.with_timeout(TIMEOUT));
        tallies.push(spawn(move |n, tally| {
            let outcome = add
                .invoke((n, 7))
                .map(|sum| assert_eq!(sum, n + 7, "a wrong sum"));
            count(outcome, tally, |for_| add.wait_ready(for_));
        }));
        tallies.push(spawn(move |n, tally| {
            let outcome = exchange(&echo, n);
            count(outcome, tally, |for_| echo.wait_ready(for_));
        }));
    }
    println!("ready");
    let mut asked = HashMap::new();
    for line in std::io::stdin()
        .lock()
        .lines()
        .map_while(std::io::Result::ok)
    {
        if let Some((gate, millis)) = line
            .strip_prefix("ask ")
            .and_then(|rest| rest.split_once(' '))
        {
            if !asked.contains_key(gate) {
                match plugin.subscriber::<(u64, u64), u64>(gate) {
                    Ok(opened) => drop(asked.insert(gate.to_owned(), opened)),
                    Err(error) => {
                        println!("{} 0", error.code());
                        continue;
                    }
                }
            }
            println!(
                "{}",
                ask(
                    &asked[gate],
                    Duration::from_millis(millis.parse().expect("a number"))
                )
            );
            continue;
        }
        let text = |tally: &Arc<Tally>| {
            let (answered, gone) = (&tally.answered, &tally.gone);
            format!(
                "{}/{}",
                answered.load(Ordering::Relaxed),
                gone.load(Ordering::Relaxed)
            )
        };
        println!("{}", tallies.iter().map(text).collect::<Vec<_>>().join(" "));
    }
    Ok(())
}

fn ask(gate: &Subscriber<(u64, u64), u64>, timeout: Duration) -> String {
    let start = Instant::now();
    let outcome = gate.with_timeout(timeout).invoke((20, 22));
    let outcome = outcome.map_or_else(|error| error.code().to_string(), |sum| sum.to_string());
    format!("{outcome} {}", start.elapsed().as_millis())
}

fn exchange(echo: &Subscriber<(Vec<u8>,), Vec<u8>>, n: u64) -> Result<()> {
    let length = LENGTHS[n as usize % LENGTHS.len()];
    let sent = vec![n as u8; length];
    let came = echo.invoke_ref(&(sent,))?;
    assert!(
        came.len() == length && came.iter().all(|&byte| byte == n as u8),
        "a wrong echo"
    );
    Ok(())
}

fn spawn(mut call: impl FnMut(u64, &Tally) + Send + 'static) -> Arc<Tally> {
    let tally = Arc::new(Tally::default());
    let theirs = tally.clone();
    std::thread::spawn(move || {
        for n in 0.. {
            call(n, &theirs);
            // Pauses, so that a machine with few processors is busy but still gets other work done.
            if n % 32 == 31 {
                std::thread::sleep(Duration::from_micros(300));
            }
        }
    });
    tally
}

fn count(outcome: Result<()>, tally: &Tally, wait: impl Fn(Duration) -> Result<()>) {
    let Err(error) = outcome else {
        tally.answered.fetch_add(1, Ordering::Relaxed);
        return;
    };
    assert!(is_death(&error), "{error}");
    tally.gone.fetch_add(1, Ordering::Relaxed);
    if wait(Duration::from_millis(200)).is_err_and(|error| error.code() != Code::NotReady) {
        // The broker is gone too, so there is nothing to wait for.
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_death(error: &Error) -> bool {
    // The last code if the broker is gone, too.
    let known = [Code::NotReady, Code::ProviderGone, Code::BrokerGone];
    known.contains(&error.code())
}

/// What each thread of such a plugin has counted: calls answered, and calls that met the end of their provider.
pub fn counts(process: &mut Process) -> Vec<(u64, u64)> {
    process.say("how many?");
    let line = process.expect_line();
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let pair = |text: &str| text.split_once('/').map(|(a, b)| (number(a), number(b)));
    line.split(' ')
        .map(|text| pair(text).expect("a pair of numbers"))
        .collect()
}

/// Waits until every one of those threads has been answered again; returns the last counts.
pub fn expect_progress(process: &mut Process, threads: Range<usize>) -> Vec<(u64, u64)> {
    let before = counts(process);
    proc::eventually("every thread makes progress", || {
        let now = counts(process);
        match threads.clone().find(|&at| now[at].0 <= before[at].0) {
            Some(stuck) => Err(format!("thread {stuck} does not: {before:?}, {now:?}")),
            None => Ok(now),
        }
    })
}
