//! A plugin on pipes that does what no plugin should, beside one that is called meanwhile: its calls stay quick, the host's memory stays
//! bounded, and the status, the counts or the log name who did it.

use std::time::{Duration, Instant};

use callgate_client::dynamic::{Gate, Sent};
use callgate_client::{Plugin, Result};
use callgate_tests::proc::{self, private_memory};
use serde_json::{Value, json};

use crate::scene::{Scene, echo, open};

/// How long and how often the other plugin is called, at least.
const FOR: Duration = Duration::from_millis(1500);
const CALLS: usize = 300;
/// What a call takes at most, but one in a hundred. Tests run beside each other, and are not optimised: it tells who is kept waiting
/// from who is not, and no more. The ratio is printed.
const MOST: Duration = Duration::from_secs(1);
/// The most bytes by which the host's memory grows. A plugin that does not read has up to 8 MiB queued, another 4 MiB are a line that
/// is being read, and the allocator keeps some of what was freed.
const MEMORY: u64 = 64 << 20;

/// A culprit, and a plugin that echoes.
pub(crate) struct Attack {
    pub(crate) scene: Scene,
    calm: Gate,
    pub(crate) culprit: Gate,
    before: Duration,
    memory: u64,
    next: u64,
    /// Calls that are not waited for.
    pub(crate) open: Vec<Sent>,
    pub(crate) member: Plugin,
}

impl Attack {
    /// Starts a culprit of a kind.
    pub(crate) fn begin(kind: &str) -> Attack {
        Attack::with(kind, &json!({}), &[])
    }

    /// The same, with more keys of its manifest, and with other plugins by name and kind.
    pub(crate) fn with(kind: &str, more: &Value, others: &[(&str, &str)]) -> Attack {
        let mut scene = Scene::new();
        // Nobody is hung because the machine is busy, and nobody is away for long.
        let mut manifest = json!({"restart": {"backoff_ms": [10, 1000], "quarantine_crashes": 0, "stop_grace_ms": 300}});
        scene.plugin("calm", "echo", &manifest);
        for (key, value) in more.as_object().expect("an object") {
            manifest[key] = value.clone();
        }
        scene.plugin("culprit", kind, &manifest);
        for (name, kind) in others {
            scene.plugin(name, kind, &json!({}));
        }
        scene.start(Duration::from_millis(500));
        scene.await_all_ready();
        let member = scene.member("tester");
        let (calm, culprit) = (open(&member, "calm.echo"), open(&member, "culprit.go"));
        let mut attack = Attack {
            scene,
            calm,
            culprit,
            before: Duration::ZERO,
            memory: 0,
            next: 0,
            open: Vec::new(),
            member,
        };
        attack.before = attack.p99().0;
        attack.memory = attack.memory();
        attack
    }

    fn memory(&mut self) -> u64 {
        private_memory(self.scene.host().id())
    }

    /// Nanoseconds that the host's loop and the culprit have run.
    fn ran(&mut self) -> (u64, u64) {
        let (host, culprit) = (self.scene.host().id(), self.culprit()["pid"].as_u64());
        let of_loop = proc::ran(host, "callgate-runtim");
        (of_loop, culprit.map_or(0, |pid| proc::ran(pid as u32, "")))
    }

    /// Has the culprit do it, and does not wait for an answer.
    pub(crate) fn go(&mut self) {
        self.open
            .push(self.culprit.send(b"[]").expect("it is sent"));
    }

    /// Has the culprit do it, and waits for its answer.
    pub(crate) fn ask(&mut self, params: &Value) -> Result<Value> {
        self.culprit.call_values(std::slice::from_ref(params))
    }

    /// What all but one in a hundred calls of the calm plugin take at most, and the most memory that the host had meanwhile.
    fn p99(&mut self) -> (Duration, u64) {
        let (begun, mut most) = (Instant::now(), 0);
        let mut times = Vec::new();
        while times.len() < CALLS || begun.elapsed() < FOR {
            self.next += 1;
            let at = Instant::now();
            echo(&self.calm, self.next).expect("the calm one answers");
            times.push(at.elapsed());
            if times.len().is_multiple_of(16) {
                most = most.max(self.memory());
            }
        }
        times.sort_unstable();
        (times[times.len() * 99 / 100], most)
    }

    /// Calls the calm plugin meanwhile.
    #[track_caller]
    pub(crate) fn calm_is_served(&mut self, what: &str) {
        let ran = self.ran();
        let begun = Instant::now();
        let (during, most) = self.p99();
        let of_time = |ns: u64| ns as f64 / begun.elapsed().as_nanos() as f64 * 100.0;
        let now = self.ran();
        let (of_loop, of_culprit) = (now.0.saturating_sub(ran.0), now.1.saturating_sub(ran.1));
        let ratio = during.as_secs_f64() / self.before.as_secs_f64();
        let grown = most.saturating_sub(self.memory);
        println!(
            "{what}: p99 of others {:?} before, {during:?} meanwhile ({ratio:.1} ×); memory {} KiB before, {} KiB more at most",
            self.before,
            self.memory >> 10,
            grown >> 10
        );
        println!(
            "{what}: the loop ran {:.0} % of the time, the culprit {:.0} %",
            of_time(of_loop),
            of_time(of_culprit)
        );
        assert!(during < MOST, "others wait {during:?}");
        assert!(grown < MEMORY, "{grown} bytes more");
        let calm = self.scene.status_of("calm");
        assert_eq!((&calm["restarts"], &calm["stray"]), (&json!(0), &json!(0)));
    }

    /// How the culprit stands.
    pub(crate) fn culprit(&mut self) -> Value {
        self.scene.status_of("culprit")
    }

    /// Waits until the culprit's last life ended for a fault, and it is back.
    #[track_caller]
    pub(crate) fn restarted_for(&mut self, fault: &str) -> Value {
        self.scene.await_of(
            "culprit",
            &format!("it is restarted for {fault}"),
            |plugin| {
                plugin["state"] == "ready" && plugin["restarts"] != 0 && plugin["fault"] == fault
            },
        )
    }

    /// The culprit, or its next life, serves.
    #[track_caller]
    pub(crate) fn echoes(&mut self) {
        let gate = open(&self.member, "culprit.echo");
        for number in 0..100 {
            echo(&gate, number).expect("it answers");
        }
    }

    /// The runtime's own lines in the culprit's log, and the others.
    pub(crate) fn log(&mut self) -> (Vec<Value>, Vec<Value>) {
        let lines = self.scene.log("culprit").into_iter();
        lines.partition(|line| line["is_own"] == true)
    }
}
