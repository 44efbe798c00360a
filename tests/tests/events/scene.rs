//! Processes that send and listen, and what they answer.

use std::time::{Duration, Instant};

use callgate_tests::events::Heard;
use callgate_tests::{Bus, PATIENCE, Process};

/// A listener in a process of its own.
pub(crate) struct Listener {
    pub(crate) name: String,
    pub(crate) process: Process,
}

impl Listener {
    /// Starts one that counts in a handler or pulls, and takes so many milliseconds for each event.
    pub(crate) fn start(bus: &Bus, name: &str, (mode, millis): (&str, u64)) -> Listener {
        Listener {
            name: name.to_owned(),
            process: bus.peer("numbers-listener", name, &[mode, &millis.to_string()]),
        }
    }

    /// What it has heard of a process.
    pub(crate) fn heard(&mut self, sender: u32) -> Heard {
        let line = self.process.ask(&format!("heard {sender}"));
        assert!(line.starts_with("heard "), "{}: {line}", self.name);
        Heard::read(&line)
    }

    /// What it has heard of a process, once `is_so` holds.
    #[track_caller]
    pub(crate) fn await_heard(&mut self, sender: u32, is_so: impl Fn(&Heard) -> bool) -> Heard {
        let until = Instant::now() + PATIENCE;
        loop {
            let heard = self.heard(sender);
            if is_so(&heard) {
                return heard;
            }
            assert!(
                Instant::now() < until,
                "{} of {sender}: {heard:?}",
                self.name
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// A sender in a process of its own.
pub(crate) struct Sender {
    pub(crate) process: Process,
}

impl Sender {
    /// Starts one with these options; see the role.
    pub(crate) fn start(bus: &Bus, options: [&str; 3]) -> Sender {
        Sender {
            process: bus.peer("numbers-sender", "Sender", &options),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends it a line. Returns how many events it has sent, and how many milliseconds its slow sends have waited.
    pub(crate) fn ask(&mut self, line: &str) -> (u64, u64) {
        self.ask_within(line, 6 * PATIENCE)
    }

    /// The same for a line that may take long.
    pub(crate) fn ask_within(&mut self, line: &str, patience: Duration) -> (u64, u64) {
        self.process.say(line);
        let answer = self.process.line(patience).expect("an answer");
        let numbers = answer
            .split_once(' ')
            .and_then(|(sent, waited)| Some((sent.parse().ok()?, waited.parse().ok()?)));
        numbers.unwrap_or_else(|| panic!("{answer}"))
    }

    /// How many listeners it has.
    pub(crate) fn listeners(&mut self) -> String {
        self.process.ask("listeners")
    }

    /// The warnings of its client.
    pub(crate) fn warnings(&mut self) -> String {
        self.process.ask("warnings")
    }

    pub(crate) fn flush(&mut self) {
        self.process.say("flush");
        assert_eq!(self.process.line(2 * PATIENCE).as_deref(), Ok("OK"));
    }
}

/// A process that sends and hears on any topics. Its role says which lines it understands.
pub(crate) struct Talker {
    pub(crate) name: String,
    pub(crate) process: Process,
}

impl Talker {
    /// Starts one that runs handlers on a thread, in a pool, or in a group.
    pub(crate) fn start(bus: &Bus, name: &str, mode: &str) -> Talker {
        Talker {
            name: name.to_owned(),
            process: bus.peer("talker", name, &[mode]),
        }
    }

    pub(crate) fn ask(&mut self, line: &str) -> String {
        self.process.ask(line)
    }

    /// Sends it a line, which must succeed.
    #[track_caller]
    pub(crate) fn does(&mut self, line: &str) {
        let answer = self.ask(line);
        assert_eq!(answer, "OK", "{}: {line}", self.name);
    }

    /// What it has heard of a sender on a topic, once `is_so` holds.
    #[track_caller]
    pub(crate) fn await_heard(
        &mut self,
        (sender, topic): (&str, &str),
        is_so: impl Fn(&str) -> bool,
    ) -> String {
        self.await_answer(&format!("heard {sender} {topic}"), is_so)
    }

    /// The answer to a line, which is sent again until `is_so` holds.
    #[track_caller]
    pub(crate) fn await_answer(&mut self, line: &str, is_so: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let answer = self.ask(line);
            if is_so(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{}: {line}: {answer}", self.name);
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until it has heard this of a sender on a topic.
    #[track_caller]
    pub(crate) fn expect(&mut self, of: (&str, &str), expected: &str) {
        self.await_heard(of, |heard| heard == expected);
    }
}

/// Checks that each of these has heard every event once and in order.
#[track_caller]
pub(crate) fn expect_all(listeners: &mut [Listener], sender: &Sender, events: u64) {
    for listener in listeners {
        let heard = listener.await_heard(sender.id(), |heard| heard.next == events);
        let (first, received, lost) = (heard.first, heard.received, heard.lost);
        assert_eq!((first, received, lost), (0, events, 0), "{}", listener.name);
    }
}

/// The number of the next event, from what a [`Talker`] has heard of one source. Checks that nothing is missing that
/// was not reported as lost, and that nothing came twice. A source that begins again counts from 0.
#[track_caller]
pub(crate) fn next(heard: &str) -> u64 {
    let (mut next, mut lost) = (0, 0);
    for note in heard.split(", ") {
        if let Some(count) = note.strip_prefix("lost ") {
            lost += count.parse::<u64>().expect("a number");
        }
        let run = note.strip_suffix(" as JSON").unwrap_or(note);
        let Some((from, to)) = run.split_once("..") else {
            continue;
        };
        let is_next = |from: u64| from == next + lost || from == 0;
        assert!(from.parse().is_ok_and(is_next), "{heard}");
        (next, lost) = (to.parse().expect("a number"), 0);
    }
    next + lost
}
