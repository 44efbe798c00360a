//! Makes stdio plugins ordinary plugins of the bus: one bridge for each life of a child.
//!
//! | thread | does |
//! |---|---|
//! | the group's dispatcher | handlers: writes requests into the child's pipe, and puts events into queues |
//! | the loop | frames of the child: answers callers, sends service calls and events; polls futures, moves events, looks at deadlines |
//! | `callgate-long` | the same for one long frame, while the loop leaves the bridge alone |
//! | two workers | what waits for the broker: connecting, offering, closing; and, on the other, what may wait for peers too: opening gates, offering topics, subscribing |
//!
//! `calls` (with `table`, `ids`) carries calls to the child, `services` (with `cache`) calls by the child; `topics` and `listening` (with
//! `hearing`, `queue`) carry events. `inbox` holds what other threads leave for the loop, `outbox` the loop's answers to the child, and
//! `session` what only worker threads use.

mod arguments;
mod bus;
mod cache;
mod calls;
mod counts;
mod failures;
mod hearing;
mod ids;
mod inbox;
mod listening;
mod outbox;
mod queue;
mod services;
mod session;
mod shared;
mod table;
#[cfg(test)]
mod tests;
mod topics;
mod types;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_client::dynamic::{Prefix, Takes, provide_prefix};
use callgate_client::{BrokerEvent, Code, Error, Plugin};
use parking_lot::Mutex;

use self::failures::Told;
use self::inbox::{Came, Done, Inbox};
use self::listening::Listening;
use self::outbox::Outbox;
use self::services::Services;
use self::session::{Opened, Session};
use self::shared::Shared;
use self::topics::Topics;
use crate::frame::{Incoming, Malformed};
use crate::manifest::Manifest;
use crate::process::Stdin;

type Result<T, E = Error> = std::result::Result<T, E>;

pub(crate) use self::bus::{Bus, Job, Tell};
pub(crate) use self::calls::{Calls, LastWords, Request};
pub(crate) use self::counts::Counts;
pub(crate) use self::session::Busy;
pub(crate) use self::shared::Limits;
pub(crate) use self::table::Asker;

/// One life of a child, as a plugin of the bus.
pub(crate) struct Bridge {
    shared: Shared,
    calls: Arc<Calls>,
    stdin: Stdin,
    /// The parts that only the loop uses, or the thread that handles a frame for it.
    own: Mutex<Own>,
}

struct Own {
    out: Outbox,
    services: Services,
    topics: Topics,
    listening: Listening,
}

/// The parts that a bridge is made of.
pub(crate) struct Parts {
    pub(crate) bus: Arc<Bus>,
    /// A connection to the broker, to which the plugin's policy applies already.
    pub(crate) socket: OwnedFd,
    pub(crate) stdin: Stdin,
    pub(crate) tell: Arc<dyn Tell>,
    pub(crate) limits: Limits,
}

impl Bridge {
    /// Connects a child to the bus as a plugin that others cannot call yet. Runs on the worker, because it waits for the broker.
    ///
    /// # Errors
    ///
    /// As [`callgate_client::PluginBuilder::connect`].
    pub(crate) fn connect(manifest: &Manifest, parts: Parts) -> Result<Bridge> {
        let Parts {
            bus,
            socket,
            stdin,
            tell,
            limits,
        } = parts;
        let plugin = Plugin::builder(manifest.name())
            .version(manifest.version().to_string())
            .descriptor(socket)
            .outlives_broker(false)
            .group(&bus.group)
            .direct_calls(false)
            .connect()?;
        tell_of_end(&plugin, &tell)?;
        bus.add(&plugin);
        let counts = Arc::<Counts>::default();
        let calls = Calls::new(manifest.name(), (&stdin, &tell), (&counts, limits.request));
        let own = Own {
            out: Outbox::new(&stdin),
            services: Services::new(),
            topics: Topics::new(),
            listening: Listening::new(),
        };
        let shared = Shared {
            name: manifest.name().to_owned(),
            rights: manifest.capabilities().clone(),
            limits,
            bus,
            session: Session::new(plugin, &tell),
            inbox: Inbox::new(&tell),
            counts,
            tell,
        };
        Ok(Bridge {
            shared,
            calls,
            stdin,
            own: Mutex::new(own),
        })
    }

    /// Provides all gates under the child's name, so that others can call it. Runs on a worker, because it waits for the broker, and for a
    /// task that the child has just asked for.
    ///
    /// # Errors
    ///
    /// As [`provide_prefix`].
    pub(crate) fn offer(&self) -> Result<()> {
        let provided = self.shared.session.with(|opened| self.provide(opened));
        provided.unwrap_or_else(closed)
    }

    /// The same, but returns [`Busy`] instead of waiting for such a task.
    pub(crate) fn offer_now(&self) -> Result<Result<()>, Busy> {
        let provided = self
            .shared
            .session
            .with_now(|opened| self.provide(opened))?;
        Ok(provided.unwrap_or_else(closed))
    }

    fn provide(&self, opened: &mut Opened) -> Result<()> {
        if !opened.provided.is_empty() {
            return Ok(());
        }
        let prefix = format!("{}.", self.shared.name);
        self.calls.serves();
        for is_function in [true, false] {
            let shortest = prefix.len();
            let names = Prefix::new(&*prefix).only(move |name| name.len() > shortest);
            let names = match is_function {
                true => names,
                false => names.actions(),
            };
            let calls = self.calls.clone();
            let takes = Takes::json_later(move |context, arguments, responder| {
                calls.serve(context, arguments, responder);
            });
            let provider = provide_prefix(&opened.plugin, names, takes)?;
            opened.provided.push(provider);
        }
        Ok(())
    }

    /// Handles a frame from the child. Returns true if it is an answer that a caller waits for. Runs on the loop, or on another thread
    /// while the loop does not use this bridge.
    pub(crate) fn on_frame(&self, frame: &Incoming<'_>) -> bool {
        // Handled first: responses are the most frequent frames, and need nothing of the parts that only the loop uses.
        if let Incoming::Response(response) = frame {
            return self.calls.answer(response);
        }
        self.on_unasked(frame);
        false
    }

    /// Handles an answer whose frame was not parsed. Returns false if it has to be parsed. Runs on the same thread as [`Bridge::on_frame`].
    pub(crate) fn on_plain_response(&self, id: &str, result: &[u8]) -> bool {
        self.calls.answer_plain(id, result)
    }

    fn on_unasked(&self, frame: &Incoming<'_>) {
        let own = &mut *self.own.lock();
        if let Err(denied) = self.shared.rights.check(frame) {
            return own.out.deny(frame, &denied, &self.shared);
        }
        let with = (&self.shared, &mut own.out);
        match frame {
            Incoming::Service(service) => {
                self.shared.counts.service_calls.add(1);
                own.services.call(service, with);
            }
            Incoming::Publish(publish) => own.topics.publish(publish, with),
            Incoming::Subscribe(subscribe) => own.listening.subscribe(subscribe, with),
            Incoming::Unsubscribe(unsubscribe) => own.listening.unsubscribe(unsubscribe, with),
            Incoming::DeliverError(failed) => {
                self.shared.counts.deliver_errors.add(1);
                let (plugin, event) = (&*self.shared.name, &*failed.id);
                tracing::debug!(
                    plugin,
                    event,
                    "an event could not be handled: {}",
                    failed.error
                );
            }
            Incoming::Unknown { kind } => {
                self.shared.counts.unknown.add(1);
                let plugin = &*self.shared.name;
                tracing::debug!(plugin, kind = &**kind, "a frame of an unknown type");
            }
            // The course handles these.
            Incoming::Ready | Incoming::ServeReady | Incoming::Pong { .. } => {}
            Incoming::Response(_) => {}
        }
    }

    /// Handles a frame that could not be parsed: whoever waits for an answer to it, or for the answer that it was meant to be, gets an
    /// error. Runs on the same thread as [`Bridge::on_frame`].
    pub(crate) fn on_malformed(&self, frame: &Malformed) {
        let (Some(kind), Some(id)) = (&frame.kind, &frame.id) else {
            return;
        };
        let told = || Told::new(Code::Protocol.as_str(), frame.to_string());
        match &**kind {
            "response" => self.calls.answer_malformed(id, &frame.reason),
            "ready" | "serve_ready" | "pong" | "event.deliver.error" => {}
            "events.publish" | "events.subscribe" | "events.unsubscribe" => {
                self.own.lock().out.ack(id, Err(&told()));
            }
            _ => self.own.lock().out.respond(id, Err(&told())),
        }
    }

    /// Whether answers wait because the queue to the child is full. Then the loop must not read from the child until it has read its stdin.
    pub(crate) fn is_busy(&self) -> bool {
        self.own.lock().out.is_stuck()
    }

    /// The bridge's turn: handles what other threads have left, deadlines, and events for which the pipe has room now. The loop calls this
    /// when it was woken, when the pipe has taken queued bytes, and at the latest at the time that is returned.
    pub(crate) fn sweep(&self, now: Instant) -> Option<Instant> {
        let Came { woken, done } = self.shared.inbox.take();
        let own = &mut *self.own.lock();
        own.out.flush();
        for done in done {
            own.take_in(done, &self.shared);
        }
        for number in woken {
            own.services.poll(number, (&self.shared, &mut own.out));
        }
        own.listening.deliver(&self.stdin, &self.shared);
        let opening = own.services.sweep(now, (&self.shared, &mut own.out));
        self.calls.sweep(now).into_iter().chain(opening).min()
    }

    /// The calls to the child; the host uses them as well.
    pub(crate) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// The counters of this life.
    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Refuses further requests, because the child is about to be ended.
    pub(crate) fn stops(&self) {
        self.calls.stops();
    }

    /// Fails the open requests, because the child has ended.
    pub(crate) fn end(&self, words: &LastWords) {
        self.calls.end(words);
    }

    /// Leaves the bus, and tells peers how the child has ended. Runs on a worker, because it waits for the broker, and for a task that the
    /// child has just asked for.
    pub(crate) fn close(&self, words: &LastWords) {
        self.leave(self.shared.session.take(), words);
    }

    /// The same, but returns [`Busy`] instead of waiting for such a task.
    pub(crate) fn close_now(&self, words: &LastWords) -> Result<(), Busy> {
        let opened = self.shared.session.take_now()?;
        self.leave(opened, words);
        Ok(())
    }

    fn leave(&self, opened: Option<Opened>, words: &LastWords) {
        self.end(words);
        let own = {
            let own = &mut *self.own.lock();
            (
                std::mem::replace(&mut own.services, Services::new()),
                std::mem::replace(&mut own.topics, Topics::new()),
                std::mem::replace(&mut own.listening, Listening::new()),
            )
        };
        if let Some(opened) = opened {
            self.shared.bus.remove(&opened.plugin);
            opened
                .plugin
                .close_with(&words.message, words.context.clone());
        }
        // Dropped after the session was closed, so that the broker is not told of the gates, topics and subscriptions one by one.
        drop(own);
    }
}

fn closed() -> Result<()> {
    Err(Error::new(Code::Closed, "the plugin's session was closed"))
}

/// Reports the end of a session, for example when the broker ends it because of what its child asks for.
fn tell_of_end(plugin: &Plugin, tell: &Arc<dyn Tell>) -> Result<()> {
    let tell = tell.clone();
    plugin.on_broker(move |event| {
        if let BrokerEvent::Ended(why) = event {
            tell.left(&why);
        }
    });
    // An end before the callback was set is not reported, so it is checked here.
    match plugin.wait_closed_for(Duration::ZERO) {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

impl Own {
    /// Handles a result of the worker.
    fn take_in(&mut self, done: Done, shared: &Shared) {
        let with = (shared, &mut self.out);
        match done {
            Done::Gate { name, outcome } => self.services.opened(&name, outcome, with),
            Done::Topic { name, outcome } => self.topics.offered(&name, outcome, with),
            Done::Subscribed {
                topic,
                number,
                id,
                outcome,
            } => {
                let asked = (id.as_deref(), outcome);
                self.listening.subscribed((&topic, number), asked, with);
            }
        }
    }
}
