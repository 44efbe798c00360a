//! What the test does in a story, and what it checks.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate_client::dynamic::{Signature, Topic, events_json, open_json, topic_json};
use callgate_client::{Error, Events, Received, TopicOptions};
use callgate_runtime::{LogStream, PluginStatus, Runtime, Upload, User};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::host::Host;
use crate::matching::{check, has, shortened};
use crate::story::{Deed, Story, parse};

/// A time in which everything happens, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A call that runs on a thread, and its outcome.
type Call = JoinHandle<Result<Value, Error>>;

/// The test's side of one story.
pub(crate) struct Side<'a> {
    plugin: &'a str,
    host: &'a Host,
    runtime: &'a Arc<Runtime>,
    /// How many frames of the first and of the second plugin were checked.
    looked: [usize; 2],
    /// The last frame that was heard.
    last: Value,
    calls: HashMap<String, Call>,
    topics: HashMap<String, Topic>,
    listening: HashMap<String, Events<Vec<Value>>>,
}

impl<'a> Side<'a> {
    pub(crate) fn new(story: &'a Story, host: &'a Host, runtime: &'a Arc<Runtime>) -> Side<'a> {
        Side {
            plugin: &story.plugin,
            host,
            runtime,
            looked: [0; 2],
            last: Value::Null,
            calls: HashMap::new(),
            topics: HashMap::new(),
            listening: HashMap::new(),
        }
    }

    pub(crate) fn act(&mut self, deed: &Deed) -> Result<(), String> {
        let (rest, words) = (&*deed.rest, deed.rest.split_once(' '));
        let (first, second) = words.unwrap_or((rest, ""));
        match &*deed.word {
            "<" => self.hears(0, rest),
            "2<" => self.hears(1, rest),
            "call" => self.call(&deed.label, rest, true),
            "try" => self.call(&deed.label, rest, false),
            "as" => self.call_as(&deed.label, rest),
            "gets" => check(&self.outcome(&deed.label)?.map_err(told)?, &parse(rest)),
            "fails" => self.fails(&deed.label, (first, second)),
            "held" => {
                let expected: usize = rest.parse().map_err(|_| "a number")?;
                await_that(|| self.host.held(self.plugin).into(), &expected.into())
            }
            "free" => {
                let responder = await_some(|| self.host.take_held(self.plugin));
                let responder = responder.ok_or("no call waits")?;
                responder.reply_value(&parse(rest)).map_err(told)
            }
            "send" => self.send(first, second),
            "listen" => self.listen(rest),
            "heard" => self.heard(first, second),
            "tells" => {
                let told =
                    self.runtime
                        .config_changed(self.plugin, (first, &parse(second)), Some("u7"));
                told.map_err(|error| error.to_string())
            }
            "uploads" => self.uploads(self.plugin, rest),
            "is" => await_that(|| standing(&self.status()), &parse(rest)),
            "counts" => await_that(|| counted(&self.status()), &parse(rest)),
            "logs" => self.logs(|line| {
                line["text"]
                    .as_str()
                    .is_some_and(|text| text.contains(rest))
            }),
            "line" => self.logs(|line| has(line, &parse(rest))),
            "lines" => {
                let expected: usize = rest.parse().map_err(|_| "a number")?;
                await_that(|| self.log(self.plugin).len().into(), &expected.into())
            }
            "atmost" => {
                let most: usize = rest.parse().map_err(|_| "a number")?;
                let texts = self.log(self.plugin).into_iter();
                let bytes: usize = texts
                    .map(|line| line["text"].as_str().map_or(0, str::len))
                    .sum();
                (bytes <= most)
                    .then_some(())
                    .ok_or(format!("it has {bytes} bytes"))
            }
            "pause" => self.signal(Signal::SIGSTOP),
            "resume" => self.signal(Signal::SIGCONT),
            "start" => self
                .runtime
                .start_plugin(self.plugin)
                .map_err(|error| error.to_string()),
            "stop" => self
                .runtime
                .stop_plugin(self.plugin)
                .map_err(|error| error.to_string()),
            "restart" => self
                .runtime
                .restart(self.plugin)
                .map_err(|error| error.to_string()),
            word => Err(format!("there is no `{word}`")),
        }
    }

    fn status(&self) -> PluginStatus {
        let all = self.runtime.plugins();
        let own = all.into_iter().find(|status| status.name == self.plugin);
        own.expect("the plugin is there")
    }

    /// The lines of a plugin's log.
    fn log(&self, plugin: &str) -> Vec<Value> {
        let log = self.runtime.logs(plugin).expect("a log");
        let lines = log.last(1000).into_iter().map(|line| {
            json!({"stream": line.stream.to_string(), "text": &*line.text, "is_cut": line.is_cut})
        });
        lines.collect()
    }

    /// What a child hears is what it wrote to its log.
    fn hears(&mut self, which: usize, wanted: &str) -> Result<(), String> {
        let plugin = [self.plugin.to_owned(), format!("{}b", self.plugin)][which].clone();
        let at = self.looked[which];
        let next = || {
            let log = self.runtime.logs(&plugin).ok()?;
            let lines = log.last_of(LogStream::Stdout, 1000);
            let mut heard = lines.iter().filter_map(|line| line.text.strip_prefix("< "));
            heard.nth(at).map(parse)
        };
        let frame = await_some(next).ok_or("it hears nothing")?;
        self.looked[which] += 1;
        check(&frame, &parse(wanted))?;
        self.last = frame;
        Ok(())
    }

    fn call(&mut self, label: &str, rest: &str, waits: bool) -> Result<(), String> {
        let (timeout, rest) = match rest.strip_prefix("within ") {
            Some(rest) => {
                let (time, rest) = rest.split_once(' ').ok_or("a time and a gate")?;
                let time = time.parse().map_err(|_| "milliseconds")?;
                (Duration::from_millis(time), rest)
            }
            None => (PATIENCE, rest),
        };
        let (gate, arguments) = rest.split_once(' ').ok_or("a gate and arguments")?;
        let gate = open_json(&self.host.plugin, gate).map_err(told)?;
        if waits {
            gate.wait_ready(PATIENCE).map_err(told)?;
        }
        let sent = gate
            .with_timeout(timeout)
            .send_values(&self.values(arguments)?);
        let call = thread::spawn(|| sent?.wait_value());
        self.calls.insert(label.to_owned(), call);
        Ok(())
    }

    /// A JSON array. A text in it that begins with `$` stands for a part of the frame that was heard last, and
    /// `${x:N}` for N letters.
    fn values(&self, text: &str) -> Result<Vec<Value>, String> {
        let mut text = text.to_owned();
        while let Some((before, after)) = text.split_once("${x:") {
            let (count, after) = after.split_once('}').ok_or("`${` without an end")?;
            let count = count.parse().map_err(|_| "a number of letters")?;
            text = format!("{before}{}{after}", "x".repeat(count));
        }
        while let Some((before, after)) = text.split_once("\"$") {
            let (pointer, after) = after.split_once('"').ok_or("`\"$` without an end")?;
            let part = self
                .last
                .pointer(pointer)
                .ok_or("the frame has no such part")?;
            text = format!("{before}{part}{after}");
        }
        Ok(parse(&text).as_array().ok_or("an array")?.clone())
    }

    fn call_as(&mut self, label: &str, rest: &str) -> Result<(), String> {
        let words: Vec<String> = rest.splitn(3, ' ').map(str::to_owned).collect();
        let [id, action, params] = <[String; 3]>::try_from(words).map_err(|_| "three words")?;
        let (runtime, plugin) = (self.runtime.clone(), self.plugin.to_owned());
        let call = thread::spawn(move || {
            let user = User {
                id,
                display_name: "Ann".into(),
                avatar_url: Some("a.png".into()),
                role: "admin".into(),
            };
            runtime.call_as(&plugin, &action, &parse(&params), (&user, Some("s1")))
        });
        self.calls.insert(label.to_owned(), call);
        Ok(())
    }

    fn outcome(&mut self, label: &str) -> Result<Result<Value, Error>, String> {
        let call = self.calls.remove(label).ok_or("there is no such call")?;
        call.join().map_err(|_| "the caller panicked".to_owned())
    }

    fn fails(&mut self, label: &str, (code, context): (&str, &str)) -> Result<(), String> {
        let error = match self.outcome(label)? {
            Ok(result) => return Err(format!("it got {}", shortened(&result.to_string()))),
            Err(error) => error,
        };
        if error.code().as_str() != code {
            return Err(told(error));
        }
        match context {
            "" => Ok(()),
            context => check(
                &error.context().cloned().unwrap_or_default(),
                &parse(context),
            ),
        }
    }

    fn send(&mut self, name: &str, arguments: &str) -> Result<(), String> {
        if !self.topics.contains_key(name) {
            let types = Signature {
                params: None,
                result: None,
                types: Vec::new(),
            };
            let options = TopicOptions::new().open();
            let topic = topic_json(&self.host.plugin, name, &types, &options);
            self.topics.insert(name.to_owned(), topic.map_err(told)?);
        }
        let values = self.values(arguments)?;
        self.topics[name].send_values(&values).map_err(told)
    }

    fn listen(&mut self, topic: &str) -> Result<(), String> {
        let events = events_json(&self.host.plugin, topic).map_err(told)?;
        self.listening.insert(topic.to_owned(), events);
        Ok(())
    }

    fn heard(&mut self, topic: &str, arguments: &str) -> Result<(), String> {
        let events = self.listening.get_mut(topic).ok_or("nobody listens")?;
        loop {
            match events.next(PATIENCE).map_err(told)? {
                Some(Received::Event(event)) => {
                    return check(&json!(event.values), &parse(arguments));
                }
                Some(_) => {}
                None => return Err("it heard nothing".to_owned()),
            }
        }
    }

    pub(crate) fn uploads(&self, plugin: &str, filename: &str) -> Result<(), String> {
        let upload = Upload {
            filename: filename.into(),
            path: "/tmp/a.txt".into(),
            size: 3,
            mime_type: "text/plain".into(),
            uploaded_by: "u7".into(),
            uploaded_at: json!("2030-01-01"),
        };
        let told = self.runtime.file_uploaded(plugin, &upload);
        told.map_err(|error| error.to_string())
    }

    fn logs(&self, is_it: impl Fn(&Value) -> bool) -> Result<(), String> {
        let found = await_some(|| self.log(self.plugin).into_iter().find(&is_it));
        found.map(drop).ok_or_else(|| "no line is so".to_owned())
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let pid = self.status().supervision.pid.ok_or("it does not run")?;
        let pid = i32::try_from(pid).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(pid), signal).map_err(|errno| errno.to_string())
    }
}

fn told(error: Error) -> String {
    let context = error.context().map(Value::to_string);
    format!("{}: {error} {}", error.code(), context.unwrap_or_default())
}

/// The status of a plugin.
fn standing(status: &PluginStatus) -> Value {
    let supervision = &status.supervision;
    let exit = supervision
        .last_exit
        .map(|exit| exit.to_context()["exit"].clone());
    let fault = supervision.last_fault.as_ref();
    json!({
        "state": supervision.state.to_string(),
        "restarts": supervision.restarts,
        "exit": exit,
        "fault": fault.map(|fault| fault.code),
        "why": fault.map(|fault| &fault.why),
        "unhealthy": status.unhealthy,
        "version": status.version,
    })
}

fn counted(status: &PluginStatus) -> Value {
    let counts = status.counts;
    json!({
        "frames": counts.frames,
        "malformed_frames": counts.malformed_frames,
        "unknown_frames": counts.unknown_frames,
        "requests": counts.requests,
        "stray_responses": counts.stray_responses,
        "service_calls": counts.service_calls,
        "failed_unheard": counts.failed_unheard,
        "published": counts.published,
        "delivered": counts.delivered,
        "dropped_events": counts.dropped_events,
        "lost_events": counts.lost_events,
        "deliver_errors": counts.deliver_errors,
    })
}

/// Waits until `look` finds something.
pub(crate) fn await_some<T>(look: impl Fn() -> Option<T>) -> Option<T> {
    let until = Instant::now() + PATIENCE;
    loop {
        match look() {
            None if Instant::now() < until => thread::sleep(Duration::from_millis(5)),
            found => return found,
        }
    }
}

/// Waits until the value has what is wanted.
fn await_that(look: impl Fn() -> Value, wanted: &Value) -> Result<(), String> {
    let so = || has(&look(), wanted).then_some(());
    await_some(so).map_or_else(|| check(&look(), wanted), Ok)
}
