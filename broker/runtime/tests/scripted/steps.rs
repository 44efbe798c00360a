//! Playing the steps of a script.

use std::fs::OpenOptions;
use std::io::{Write, stderr, stdout};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::str::FromStr;
use std::time::Duration;

use callgate::Broker;
use callgate::supervision::State;
use callgate_client::{Plugin, Provider};
use callgate_runtime::Runtime;
use nix::sys::signal::{SigSet, Signal, raise};
use serde_json::{Value, json};

use crate::frames::{Frames, put, send};
use crate::script::{fill_in, unescape};

/// A time in which everything happens, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Player {
    frames: Frames,
    /// The frame that was waited for last.
    last: Value,
    /// Which start of this folder this is.
    start: usize,
    /// What it provides through shared memory.
    provided: Option<(Plugin, Vec<Provider>)>,
}

impl Player {
    pub(crate) fn new(start: usize) -> Player {
        Player {
            frames: Frames::new(),
            last: Value::Null,
            start,
            provided: None,
        }
    }

    pub(crate) fn play(&mut self, step: &str) -> Result<(), String> {
        let (name, rest) = step.split_once(' ').unwrap_or((step, ""));
        match name {
            "on" | "after" | "repeat" => return self.play_some(name, rest),
            "fork" => return start_another(rest, true),
            "leave" => return start_another(rest, false),
            _ => {}
        }
        let rest = &fill_in(rest, &self.last)?;
        match name {
            "" => Ok(()),
            "send" => send(rest),
            "raw" => put(&mut stdout(), &unescape(rest)?),
            "err" => put(&mut stderr(), &unescape(rest)?),
            "log" => put(&mut stdout(), format!("{rest}\n").as_bytes()),
            "errlog" => put(&mut stderr(), format!("{rest}\n").as_bytes()),
            "wait" => self.wait(rest),
            "pass" => self.wait_for(rest).map(drop),
            "serve" => self.serve(),
            "idle" => self.idle(),
            "drain" => self.drain(),
            "provide" => self.provide(rest),
            "mute" => {
                self.frames.answers_pings = false;
                Ok(())
            }
            _ => act(name, rest),
        }
    }

    fn play_some(&mut self, name: &str, rest: &str) -> Result<(), String> {
        let (number, step) = rest.split_once(' ').ok_or("a number and a step")?;
        let number: usize = parse(number)?;
        let times = match name {
            "on" => usize::from(self.start == number),
            "after" => usize::from(self.start > number),
            _ => number,
        };
        (0..times).try_for_each(|round| self.play(&step.replace("${n}", &round.to_string())))
    }

    fn wait(&mut self, wanted: &str) -> Result<(), String> {
        self.last = self.wait_for(wanted)?;
        Ok(())
    }

    fn wait_for(&mut self, wanted: &str) -> Result<Value, String> {
        let wanted = serde_json::from_str(wanted).map_err(|error| error.to_string())?;
        let found = self.frames.wait(&wanted)?;
        found.ok_or_else(|| "stdin ended before the frame came".to_owned())
    }

    fn provide(&mut self, gate: &str) -> Result<(), String> {
        let failed = |error: callgate_client::Error| error.to_string();
        let name = std::env::var("PLUGIN_SLUG").unwrap_or_default();
        let (plugin, gates) = match &mut self.provided {
            Some(known) => known,
            none => none.insert((Plugin::connect(&name).map_err(failed)?, Vec::new())),
        };
        gates.push(plugin.provide(gate, number).map_err(failed)?);
        Ok(())
    }

    fn serve(&mut self) -> Result<(), String> {
        while let Some(frame) = self.frames.wait(&json!({"type": "request"}))? {
            let result = json!({"action": frame["action"], "params": frame["params"], "user": frame["user"],
                "session_id": frame["session_id"], "pid": std::process::id()});
            send(&json!({"type": "response", "id": frame["id"], "result": result}).to_string())?;
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), String> {
        while self.frames.next()?.is_some() {}
        Ok(())
    }

    fn drain(&mut self) -> Result<(), String> {
        self.frames.answers_pings = false;
        self.idle()
    }
}

/// Returns its argument, and hangs for 13.
fn number(number: u32) -> u32 {
    if number == 13 {
        loop {
            std::thread::park();
        }
    }
    number
}

/// Steps that need no frames.
fn act(name: &str, rest: &str) -> Result<(), String> {
    match name {
        "hang" => loop {
            std::thread::park();
        },
        "sleep" => {
            std::thread::sleep(Duration::from_millis(parse(rest)?));
            Ok(())
        }
        "close" => close(rest),
        "exit" => std::process::exit(parse(rest)?),
        "die" => {
            let _ = raise(signal(rest)?);
            Ok(())
        }
        "ignore" => {
            let mut set = SigSet::empty();
            set.add(signal(rest)?);
            set.thread_block().map_err(|errno| errno.to_string())
        }
        "flood" => flood(rest),
        "host" => host(rest),
        "append" => append(rest),
        "env" => {
            let mut all: Vec<_> = std::env::vars().collect();
            all.sort();
            let lines = all.iter().map(|(name, value)| format!("{name}={value}\n"));
            put(&mut stdout(), lines.collect::<String>().as_bytes())
        }
        _ => Err(format!("there is no step `{name}`")),
    }
}

fn close(stream: &str) -> Result<(), String> {
    let number = match stream {
        "stdin" => 0,
        "stdout" => 1,
        "stderr" => 2,
        _ => return Err(format!("closing {stream}")),
    };
    nix::unistd::close(number).map_err(|errno| errno.to_string())
}

fn flood(what: &str) -> Result<(), String> {
    let words: Vec<&str> = what.split(' ').collect();
    let [stream, count, size] = words[..] else {
        return Err(format!("flooding {what}"));
    };
    let (count, size): (usize, usize) = (parse(count)?, parse(size)?);
    let line = match stream {
        "line" => "x".repeat(size),
        "frames" => format!(
            "IPC:{}\n",
            json!({"type": "pong", "fill": "x".repeat(size)})
        ),
        _ => format!("{}\n", "x".repeat(size)),
    };
    let mut out: Box<dyn Write> = match stream {
        "stderr" => Box::new(stderr()),
        _ => Box::new(stdout()),
    };
    let mut left = count;
    while count == 0 || left > 0 {
        put(&mut out, line.as_bytes())?;
        left = left.saturating_sub(1);
    }
    Ok(())
}

/// Is a host of other plugins. Each line on stdin restarts all of them.
fn host(folder: &str) -> Result<(), String> {
    let broker = Broker::builder().without_socket().start();
    let broker = broker.map_err(|error| error.to_string())?;
    let runtime = Runtime::builder(broker.handle()).plugins(folder).start();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let all_ready = || {
        for plugin in runtime.plugins() {
            let ready = runtime.wait_for(&plugin.name, &[State::Ready], PATIENCE);
            ready.ok_or_else(|| format!("{} is not ready", plugin.name))?;
        }
        put(&mut stdout(), b"ready\n")
    };
    all_ready()?;
    for _ in std::io::stdin().lines() {
        for plugin in runtime.plugins() {
            runtime
                .restart(&plugin.name)
                .map_err(|error| error.to_string())?;
        }
        all_ready()?;
    }
    Ok(())
}

fn append(what: &str) -> Result<(), String> {
    let (file, text) = what.split_once(' ').ok_or("a file and a text")?;
    let file = OpenOptions::new().append(true).create(true).open(file);
    let mut file = file.map_err(|error| error.to_string())?;
    put(&mut file, format!("{text}\n").as_bytes())
}

/// Starts a process that has the same pipes.
fn start_another(step: &str, in_group: bool) -> Result<(), String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut command = Command::new(program);
    command.arg(step);
    if !in_group {
        command.process_group(0);
    }
    command.spawn().map(drop).map_err(|error| error.to_string())
}

fn signal(name: &str) -> Result<Signal, String> {
    Signal::from_str(name).map_err(|_| format!("the signal {name}"))
}

fn parse<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("the number {text}"))
}
