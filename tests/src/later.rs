//! A role of `callgate-peer` that answers later: it keeps all calls until it is told to answer, and answers from two
//! threads.

use std::fs::File;
use std::io::Write;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use callgate_client::dynamic::{self, Responder};
use callgate_client::{Context, Plugin, Result, signature_of};

/// A call that was taken, and its responder.
type Job = (Vec<u8>, Responder);

/// Calls that wait to be answered.
#[derive(Debug)]
struct Held {
    calls: Vec<Job>,
    /// How many more calls are answered as soon as they arrive.
    free: usize,
    answering: Sender<Job>,
}

impl Held {
    /// Has calls answered, as many as are allowed.
    fn pass_on(&mut self) {
        let count = self.calls.len().min(self.free);
        self.free -= count;
        for job in self.calls.drain(..count) {
            self.answering.send(job).expect("two threads take them");
        }
    }
}

/// The answer to a request: its bytes in reverse order.
pub fn answer_to(request: &[u8]) -> Vec<u8> {
    request.iter().rev().copied().collect()
}

/// Provides `Later`, and writes the number at the beginning of each call into a file. Obeys the lines of its input:
/// `answer N` answers the next N calls, `held` only asks how many are held.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn run(plugin: &Plugin, name: &str, notes: &str) -> Result<()> {
    let (answering, jobs) = channel();
    let held = Arc::new(Mutex::new(Held {
        calls: Vec::new(),
        free: 0,
        answering,
    }));
    let taking = held.clone();
    let notes = Mutex::new(File::create(notes).expect("a file"));
    let later = move |_: Context<'_>, request: &[u8], responder: Responder| {
        note(&notes, request);
        let mut held = taking.lock().expect("no panic");
        held.calls.push((request.to_vec(), responder));
        held.pass_on();
    };
    let bytes = signature_of::<(Vec<u8>,), Vec<u8>>();
    dynamic::provide_later(plugin, &format!("{name}.Later"), &bytes, later)?.keep();
    let jobs = Arc::new(Mutex::new(jobs));
    for _ in 0..2 {
        let jobs = jobs.clone();
        thread::spawn(move || answer(&jobs));
    }
    println!("ready");
    for line in std::io::stdin().lines().map_while(std::io::Result::ok) {
        let mut held = held.lock().expect("no panic");
        if let Some(count) = line.strip_prefix("answer ") {
            held.free = count.parse().expect("a number");
            held.pass_on();
        }
        println!("{}", held.calls.len());
    }
    Ok(())
}

/// Records that a call was run. The file keeps this when the process is killed.
fn note(notes: &Mutex<File>, request: &[u8]) {
    let number = request
        .first_chunk()
        .map_or(0, |first| u64::from_le_bytes(*first));
    let mut file = notes.lock().expect("no panic");
    let line = format!("{number}\n");
    file.write_all(line.as_bytes()).expect("writing");
}

fn answer(jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().expect("no panic").recv();
        let Ok((request, responder)) = job else {
            return;
        };
        // The caller may be gone.
        let _ = responder.reply(&answer_to(&request));
    }
}

/// Provides `Hold`, of the same type as `Add`, and `HoldZeros`. Their calls are held until `LetGo` is called. Then
/// another thread answers them: with 42, and with as many zeros as the call asks for.
///
/// # Errors
///
/// As [`Plugin::provide`].
pub fn hold(plugin: &Plugin, name: &str) -> Result<()> {
    let held = Arc::<Mutex<Vec<(usize, Responder)>>>::default();
    let add = signature_of::<(u64, u64), u64>();
    let zeros = signature_of::<(u32,), Vec<u8>>();
    for (gate, signature) in [("Hold", add), ("HoldZeros", zeros)] {
        let taking = held.clone();
        let keep = move |_: Context<'_>, request: &[u8], responder: Responder| {
            let length = request.try_into().map_or(0, u32::from_le_bytes);
            let mut held = taking.lock().expect("no panic");
            held.push((length as usize, responder));
        };
        dynamic::provide_later(plugin, &format!("{name}.{gate}"), &signature, keep)?.keep();
    }
    let let_go = move |_: u64, _: u64| {
        let held = std::mem::take(&mut *held.lock().expect("no panic"));
        let count = held.len() as u64;
        thread::spawn(move || {
            for (length, responder) in held {
                let result = match length {
                    0 => 42_u64.to_le_bytes().to_vec(),
                    length => vec![0; length],
                };
                // The caller may be gone.
                let _ = responder.reply(&result);
            }
        });
        count
    };
    plugin.provide(&format!("{name}.LetGo"), let_go)?.keep();
    Ok(())
}
