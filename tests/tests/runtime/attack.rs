//! A plugin on pipes that does what no plugin should, next to a calm plugin that is called meanwhile. Calls to the
//! calm one stay quick, the host's memory stays bounded, and the status, the counts or the log name the culprit.

use std::time::{Duration, Instant};

use callgate_client::dynamic::{Gate, Sent};
use callgate_client::{Plugin, Result};
use callgate_tests::proc::{self, private_memory};
use serde_json::{Value, json};

use crate::scene::{Scene, echo, open};

/// The least time for which the other plugin is called, and the least number of calls.
const FOR: Duration = Duration::from_millis(1500);
const CALLS: usize = 300;
/// The most time that a call may take, except one in a hundred. Tests run at the same time and without optimisation,
/// so this only shows whether calls are delayed at all. The ratio is printed.
const MOST: Duration = Duration::from_secs(1);
/// The most bytes by which the host's memory may grow. A plugin that does not read can have 8 MiB queued, a line that
/// is being read can have 4 MiB, and the allocator keeps some freed memory.
const MEMORY: u64 = 64 << 20;

/// A culprit, and a plugin that echoes.
pub(crate) struct Attack {
    pub(crate) scene: Scene,
    calm: Gate,
    pub(crate) culprit: Gate,
    before: Duration,
    memory: u64,
    next: u64,
    /// Calls for which nobody waits.
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
        // With these limits no plugin counts as hung because the machine is busy, and none is away for long.
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

    /// For how many nanoseconds the host's loop and the culprit have run.
    fn ran(&mut self) -> (u64, u64) {
        let (host, culprit) = (self.scene.host().id(), self.culprit()["pid"].as_u64());
        let of_loop = proc::ran(host, "callgate-runtim");
        (of_loop, culprit.map_or(0, |pid| proc::ran(pid as u32, "")))
    }

    /// Starts the culprit's misbehaviour, and does not wait for an answer.
    pub(crate) fn go(&mut self) {
        self.open
            .push(self.culprit.send(b"[]").expect("it is sent"));
    }

    /// Starts the culprit's misbehaviour, and waits for its answer.
    pub(crate) fn ask(&mut self, params: &Value) -> Result<Value> {
        self.culprit.call_values(std::slice::from_ref(params))
    }

    /// How long all but one in a hundred calls of the calm plugin take at most, and the most memory that the host had
    /// meanwhile.
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

    /// Checks calls to the calm plugin meanwhile.
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

    /// The status of the culprit.
    pub(crate) fn culprit(&mut self) -> Value {
        self.scene.status_of("culprit")
    }

    /// Waits until the culprit was ended for a fault, and is back.
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

    /// Checks that the culprit, or its next life, serves calls.
    #[track_caller]
    pub(crate) fn echoes(&mut self) {
        let gate = open(&self.member, "culprit.echo");
        for number in 0..100 {
            echo(&gate, number).expect("it answers");
        }
    }

    /// The lines of the runtime in the culprit's log, and all other lines.
    pub(crate) fn log(&mut self) -> (Vec<Value>, Vec<Value>) {
        let lines = self.scene.log("culprit").into_iter();
        lines.partition(|line| line["is_own"] == true)
    }
}
