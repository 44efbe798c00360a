//! What a plugin does while one of its threads waits for a sent call: nothing. Alone in its process, whose threads it
//! counts.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use callgate::Broker;
use callgate_client::{Context, Plugin, dynamic, signature_of};

const PATIENCE: Duration = Duration::from_secs(20);

fn connect(broker: &Broker, name: &str) -> Plugin {
    let builder = Plugin::builder(name).descriptor(broker.connect().unwrap());
    builder.direct_calls(false).connect().unwrap()
}

/// How often the threads of this process that look after sent calls have gone to sleep.
fn sleeps_of_replies() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let sleeps = tasks.filter_map(|task| {
        let status = fs::read_to_string(task.ok()?.path().join("status")).ok()?;
        // The kernel keeps 15 characters of the name.
        let is_one = status.starts_with("Name:\tcallgate-replie\n");
        let line = |line: &&str| line.starts_with("voluntary_ctxt_switches:");
        let count = status.lines().find(line)?.split_whitespace().nth(1)?;
        is_one.then(|| count.parse::<u64>().unwrap())
    });
    sleeps.sum()
}

/// While a thread waits for a sent call, the thread that looks after such calls does no work at intervals.
#[test]
fn nobody_looks_at_intervals_while_a_sent_call_is_awaited() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let provider = connect(&broker, "provider");
    let (give, given) = channel();
    let give = Mutex::new(give);
    let later = move |_: Context<'_>, _: &[u8], responder| {
        give.lock().unwrap().send(responder).unwrap();
    };
    let signature = signature_of::<(), u64>();
    let _gate = dynamic::provide_later(&provider, "P.Later", &signature, later).unwrap();
    let caller = connect(&broker, "caller");
    let gate = dynamic::open(&caller, "P.Later", &signature).unwrap();
    gate.wait_ready(PATIENCE).unwrap();
    let request = dynamic::encode(&()).unwrap();
    let answer = dynamic::encode(&1_u64).unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            let sent = gate.send(&request).unwrap();
            let waiting = scope.spawn(|| sent.wait().unwrap().to_vec());
            let responder = given.recv_timeout(PATIENCE).unwrap();
            // Gives the threads time to fall asleep.
            thread::sleep(Duration::from_millis(100));
            let before = sleeps_of_replies();
            thread::sleep(Duration::from_millis(500));
            assert!(before > 0, "its sleeps are counted");
            let sleeps = sleeps_of_replies() - before;
            assert!(sleeps < 50, "it went to sleep {sleeps} times");
            responder.reply(&answer).unwrap();
            assert_eq!(waiting.join().unwrap(), *answer);
        }
        // The thread takes the answers again when no thread waits: more than the gate has slots.
        let sent: Vec<_> = (0..100).map(|_| gate.send(&request).unwrap()).collect();
        for _ in &sent {
            given
                .recv_timeout(PATIENCE)
                .unwrap()
                .reply(&answer)
                .unwrap();
        }
    });
}
