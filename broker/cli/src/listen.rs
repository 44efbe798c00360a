//! `callgate listen`

use std::io::{self, Write};
use std::time::{Duration, Instant};

use callgate_client::dynamic::{self, Bytes, Encoding, Encodings, Signature};
use callgate_client::{BrokerEvent, Code, Error, EventNotice, Plugin, Received, Result};
use clap::Args;
use serde_json::{Value, json};

use crate::{Common, Outcome};
use callgate::shown::{shown, shown_json, shown_json_text};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The topic; or all topics under a prefix, such as 'weather.*'
    #[arg(value_name = "GATE|PREFIX.*")]
    topic: String,
    /// End after so many events
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
}

type Events = callgate_client::Events<(Encoding, Bytes)>;
type Event = callgate_client::Event<(Encoding, Bytes)>;

/// Length of one wait if the command has no time limit.
const LONG: Duration = Duration::from_secs(86_400);

pub(crate) fn run(common: &Common, options: &Options) -> Outcome {
    let begun = Instant::now();
    let lines = Lines { json: common.json };
    let plugin = common.connect("listen")?;
    // An error may be dropped: if this line cannot be written, the next event cannot either, and that ends the command.
    plugin.on_broker(move |event| drop(lines.broker(&event)));
    let mut events = subscribe(&plugin, &options.topic)?;
    lines.listening(&options.topic)?;
    let mut count = 0;
    while options.count.is_none_or(|wanted| count < wanted) {
        let left = |timeout: Duration| timeout.saturating_sub(begun.elapsed());
        match events.next(common.timeout.map_or(LONG, left)) {
            Ok(Some(Received::Event(event))) => {
                lines.event(&event)?;
                count += 1;
            }
            Ok(Some(Received::Notice(notice))) => lines.notice(&notice)?,
            Ok(None) if common.timeout.is_none() => {}
            Ok(None) => return Err(too_few(options, count).into()),
            Err(error) if is_of_one_event(error.code()) => lines.unreadable(&error)?,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn subscribe(plugin: &Plugin, topic: &str) -> Result<Events> {
    let anything = Signature {
        params: None,
        result: None,
        types: Vec::new(),
    };
    dynamic::events(plugin, topic, (&anything, Encodings::JSON))
}

/// Whether the error is about a single event that its sender wrote wrongly, so that the next one may be read.
fn is_of_one_event(code: Code) -> bool {
    matches!(
        code,
        Code::Protocol | Code::TypeMismatch | Code::LengthMismatch
    )
}

fn too_few(options: &Options, count: u64) -> Error {
    let text = match options.count {
        Some(wanted) => format!("{count} of {wanted} events came in time"),
        None => format!("{count} events came in this time"),
    };
    Error::new(Code::Timeout, text).at_gate(&*options.topic)
}

/// Prints a line for each event, and lines about senders and the broker.
#[derive(Clone, Copy, Debug)]
struct Lines {
    json: bool,
}

impl Lines {
    /// An event, with its values as their sender wrote them.
    fn event(self, event: &Event) -> io::Result<()> {
        let (_, bytes) = &event.values;
        // The sender's JSON was checked, and JSON is UTF-8.
        let values = shown_json_text(&String::from_utf8_lossy(bytes));
        let mut out = io::stdout().lock();
        if !self.json {
            return writeln!(out, "{values}");
        }
        let text = |text: &str| shown_json(&text.into());
        let (topic, sender) = (text(event.topic()), text(event.sender().name()));
        let time = humantime::format_rfc3339_micros(event.time());
        writeln!(
            out,
            r#"{{"topic":{topic},"sender":{sender},"number":{},"time":"{time}","values":{values}}}"#,
            event.number(),
        )
    }

    /// Prints that the command listens: from here on it misses no event.
    fn listening(self, topic: &str) -> io::Result<()> {
        let document = json!({ "notice": "listening", "topic": topic });
        self.say(&document, &format!("listening to {topic}"))
    }

    fn unreadable(self, error: &Error) -> io::Result<()> {
        let document =
            json!({ "notice": "unreadable", "topic": error.gate(), "why": reason(error) });
        self.say(&document, &format!("an event cannot be read: {error}"))
    }

    /// Prints what the subscription reports beside events.
    fn notice(self, notice: &EventNotice) -> io::Result<()> {
        let (word, topic, sender, text) = match notice {
            EventNotice::Here { topic, sender } => ("here", topic, sender, "sends".to_owned()),
            EventNotice::Lost {
                topic,
                sender,
                count,
            } => ("lost", topic, sender, format!("{count} events were lost")),
            EventNotice::Gone { topic, sender, why } => ("gone", topic, sender, why.to_string()),
            EventNotice::Unfit { topic, sender, why } => {
                ("unfit", topic, sender, format!("is not heard: {why}"))
            }
            EventNotice::Failed { topic, sender, why } => {
                ("failed", topic, sender, format!("cannot be heard: {why}"))
            }
            EventNotice::Unwritable {
                topic,
                sender,
                number,
                text,
            } => {
                let text = format!("event {number} has no JSON: {text}");
                ("unwritable", topic, sender, text)
            }
            // A notice that a later library defines.
            _ => return Ok(()),
        };
        let (topic, sender) = (&**topic, sender.name());
        let mut document = json!({ "notice": word, "topic": topic, "sender": sender });
        if let (Value::Object(all), Some((key, value))) = (&mut document, detail(notice)) {
            all.insert(key.to_owned(), value);
        }
        self.say(&document, &format!("{sender}, {topic}: {text}"))
    }

    /// Prints, as JSON only, that the broker ended or came back. For people the library logs that.
    fn broker(self, event: &BrokerEvent) -> io::Result<()> {
        let document = match event {
            _ if !self.json => return Ok(()),
            BrokerEvent::Lost(why) => json!({ "notice": "broker-lost", "why": reason(why) }),
            BrokerEvent::Back { pid, .. } => json!({ "notice": "broker-back", "pid": pid }),
            BrokerEvent::Refused(why) => json!({ "notice": "broker-refused", "why": reason(why) }),
            // The command ends with the same error. It provides no gates.
            _ => return Ok(()),
        };
        self.say(&document, "")
    }

    /// Prints a line about something other than an event.
    fn say(self, document: &Value, text: &str) -> io::Result<()> {
        match self.json {
            true => writeln!(io::stdout().lock(), "{}", shown_json(document)),
            false => writeln!(io::stderr().lock(), "{}", shown(text)),
        }
    }
}

/// The additional field of a notice in JSON, besides its topic and sender.
fn detail(notice: &EventNotice) -> Option<(&'static str, Value)> {
    match notice {
        EventNotice::Lost { count, .. } => Some(("count", json!(count))),
        EventNotice::Gone { why, .. }
        | EventNotice::Unfit { why, .. }
        | EventNotice::Failed { why, .. } => Some(("why", reason(why))),
        EventNotice::Unwritable { number, text, .. } => {
            Some(("event", json!({ "number": number, "why": text })))
        }
        _ => None,
    }
}

fn reason(error: &Error) -> Value {
    json!({ "code": error.code().as_str(), "message": error.message() })
}
