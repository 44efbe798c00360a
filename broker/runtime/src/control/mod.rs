//! The runtime's own gates, for the command line and for hosts in other processes.
//!
//! | gate | takes | gives |
//! |---|---|---|
//! | `callgate.runtime.start`, `.stop`, `.restart` | the plugin's name | |
//! | `callgate.runtime.logs` | the plugin's name, or an empty text for all plugins; how many lines | the last [`RuntimeLogLine`]s, the oldest first |
//! | topic `callgate.runtime.log` | | each line of a plugin's log as it is written |
//!
//! A folder whose plugin cannot be used has a log as well: one line with the reason.
//!
//! The gates refuse plugins that the runtime supervises: otherwise one plugin could stop the others, whatever its manifest allows.

use std::sync::Arc;

use callgate_client::dynamic::{Responder, Takes, provide_with};
use callgate_client::{Code, Context, Error, Plugin, Provider, Result, signature_of};
use serde_json::{Value, json};

use crate::course::{Refusal, Request, RuntimeLogLine, Teller};
use crate::left_out::LeftOut;
use crate::log::LogLine;

/// The most lines of one answer.
const MOST_LINES: u64 = 500;

/// The runtime's own gates; dropping this ends them.
#[derive(Debug)]
pub(crate) struct Control {
    _gates: Vec<Provider>,
}

/// The state that the handlers of the gates share.
#[derive(Clone)]
struct Desk {
    teller: Teller,
    left_out: Arc<LeftOut>,
}

impl Control {
    /// Provides the gates on the session of the runtime's own plugin.
    pub(crate) fn new(
        plugin: &Plugin,
        teller: &Teller,
        left_out: &Arc<LeftOut>,
    ) -> Result<Control> {
        let desk = Desk {
            teller: teller.clone(),
            left_out: left_out.clone(),
        };
        let mut gates = Vec::new();
        for (gate, request) in [
            ("callgate.runtime.start", Request::Start),
            ("callgate.runtime.stop", Request::Stop),
            ("callgate.runtime.restart", Request::Restart),
        ] {
            let answer = move |desk: &Desk, values: &[Value]| desk.request(values, &request);
            let takes = desk.takes(answer);
            gates.push(provide_with(
                plugin,
                gate,
                &signature_of::<(String,), ()>(),
                takes,
            )?);
        }
        let signature = signature_of::<(String, u32), Vec<RuntimeLogLine>>();
        let takes = desk.takes(Desk::logs);
        gates.push(provide_with(
            plugin,
            "callgate.runtime.logs",
            &signature,
            takes,
        )?);
        Ok(Control { _gates: gates })
    }
}

impl Desk {
    /// Makes a handler that refuses calls from supervised plugins.
    fn takes(
        &self,
        answer: impl Fn(&Desk, &[Value]) -> Result<Value> + Send + Sync + 'static,
    ) -> Takes {
        let desk = self.clone();
        Takes::values_later(move |context: Context<'_>, values, responder: Responder| {
            let caller = context.caller().name();
            let outcome = match desk.teller.find(caller).is_some() {
                true => {
                    let text =
                        format!("the runtime supervises {caller}, and takes no orders from it");
                    Err(Error::new(Code::PermissionDenied, text))
                }
                false => answer(&desk, &values),
            };
            // Fails only if the caller no longer waits for the answer.
            let _ = match outcome {
                Ok(result) => responder.reply_value(&result),
                Err(error) => responder.refuse(error),
            };
        })
    }

    fn request(&self, values: &[Value], request: &Request) -> Result<Value> {
        let name = name(values);
        match self.teller.request(name, request.clone()) {
            Ok(()) => Ok(Value::Null),
            Err(Refusal::Unknown | Refusal::Taken) => Err(self.unknown(name)),
            Err(Refusal::Stopping) => Err(Error::new(Code::Closed, "the runtime is being stopped")),
        }
    }

    fn logs(&self, values: &[Value]) -> Result<Value> {
        let most = values.get(1).and_then(Value::as_u64).unwrap_or(MOST_LINES);
        let most = usize::try_from(most.min(MOST_LINES)).unwrap_or(usize::MAX);
        let lines = match name(values) {
            "" => self.last_of_all(most),
            name => self.last_of(name, most).ok_or_else(|| self.unknown(name))?,
        };
        Ok(json!(lines))
    }

    /// The last lines of a plugin; `None` if there is no plugin of this name, not even one that cannot be used.
    fn last_of(&self, name: &str, most: usize) -> Option<Vec<RuntimeLogLine>> {
        let Some(found) = self.teller.find(name) else {
            let lines = self.left_out.log(Some(name)).into_iter();
            let lines: Vec<RuntimeLogLine> = lines.map(|(_, line)| line).collect();
            return Some(lines).filter(|lines| !lines.is_empty());
        };
        let lines = found.log.last(most);
        let lines = lines.iter().map(|line| RuntimeLogLine::new(name, line));
        Some(lines.collect())
    }

    fn last_of_all(&self, most: usize) -> Vec<RuntimeLogLine> {
        let plugins = self.teller.list();
        let logs = plugins.iter().filter_map(|plugin| {
            let log = self.teller.find(&plugin.name)?.log;
            Some((&*plugin.name, log))
        });
        // Only references to lines are collected and sorted; the text is copied for the lines of the answer alone.
        let lines =
            logs.flat_map(|(name, log)| log.last(most).into_iter().map(move |line| (name, line)));
        let lines = lines.map(|(name, line)| (line.at, Kept::Of(name, line)));
        let left_out = self.left_out.log(None).into_iter();
        let left_out = left_out.map(|(at, line)| (at, Kept::Whole(line)));
        let mut lines: Vec<_> = lines.chain(left_out).collect();
        // A stable sort, so that lines of one plugin with equal times keep their order.
        lines.sort_by_key(|(at, _)| *at);
        let told = lines.split_off(lines.len().saturating_sub(most));
        let told = told.into_iter().map(|(_, line)| match line {
            Kept::Of(name, line) => RuntimeLogLine::new(name, &line),
            Kept::Whole(line) => line,
        });
        told.collect()
    }

    fn unknown(&self, name: &str) -> Error {
        Error::new(
            Code::InvalidArgument,
            self.left_out.no_plugin(name).to_string(),
        )
    }
}

/// A line that may be part of an answer; its text is not copied yet if it is a plugin's.
enum Kept<'a> {
    Of(&'a str, LogLine),
    Whole(RuntimeLogLine),
}

/// The first parameter: a plugin's name.
fn name(values: &[Value]) -> &str {
    values.first().and_then(Value::as_str).unwrap_or_default()
}
