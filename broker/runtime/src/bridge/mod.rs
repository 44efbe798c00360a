//! Stdio plugins as members of the bus: one bridge for each life of a child.
//!
//! | thread | does |
//! |---|---|
//! | the group's dispatcher | handlers: writes requests into the child's pipe, and puts events into queues |
//! | the loop | frames of the child: answers callers, sends service calls and events; polls futures, moves events, looks at deadlines |
//! | `callgate-long` | the same for one long frame, while the loop leaves the bridge alone |
//! | two workers | what waits for the broker: connecting, offering, closing; and, on the other, what may wait for peers too: opening gates, offering topics, subscribing |
//!
//! `calls` (with `table`, `ids`) is the way to the child, `services` (with `cache`) the way from it, `topics` and
//! `listening` (with `hearing`, `queue`) are events. `inbox` is what the other threads have for the loop, `outbox` what the loop has for the child,
//! `session` what the worker has.

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
    /// What the loop alone uses, or who takes in a frame for it.
    own: Mutex<Own>,
}

struct Own {
    out: Outbox,
    services: Services,
    topics: Topics,
    listening: Listening,
}

/// What a bridge is made of.
pub(crate) struct Parts {
    pub(crate) bus: Arc<Bus>,
    /// A connection to the broker, which has the plugin's policy already.
    pub(crate) socket: OwnedFd,
    pub(crate) stdin: Stdin,
    pub(crate) tell: Arc<dyn Tell>,
    pub(crate) limits: Limits,
}

impl Bridge {
    /// Makes a child a plugin of the bus that nobody can call yet. On the worker: it waits for the broker.
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

    /// Lets others call the child: all gates under its name. On a worker: it waits for the broker, and for what the child
    /// has asked of others just now.
    ///
    /// # Errors
    ///
    /// As [`provide_prefix`].
    pub(crate) fn offer(&self) -> Result<()> {
        let provided = self.shared.session.with(|opened| self.provide(opened));
        provided.unwrap_or_else(closed)
    }

    /// The same, unless it would wait for others than the broker.
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

    /// Takes in a frame of the child's; true where it is an answer that somebody waits for. On the loop, or on another thread while the loop
    /// leaves this bridge alone.
    pub(crate) fn on_frame(&self, frame: &Incoming<'_>) -> bool {
        // Nothing of the loop's is needed for the most frequent one.
        if let Incoming::Response(response) = frame {
            return self.calls.answer(response);
        }
        self.on_unasked(frame);
        false
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
            // The course's.
            Incoming::Ready | Incoming::ServeReady | Incoming::Pong { .. } => {}
            Incoming::Response(_) => {}
        }
    }

    /// Takes in that a frame could not be read: whoever waits for an answer to it, or for the one that it was to be, is told so.
    /// On the same thread as [`Bridge::on_frame`].
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

    /// Whether answers wait that the queue of the child's stdin did not take: it is not to be listened to until it has read.
    pub(crate) fn is_busy(&self) -> bool {
        self.own.lock().out.is_stuck()
    }

    /// Looks at what other threads have for it, at deadlines, and at events for which the pipe has room now. On the loop: when it was
    /// woken, when the pipe has taken what was queued, and by the time that is given back.
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

    /// How the child is called: also by the host.
    pub(crate) fn calls(&self) -> &Arc<Calls> {
        &self.calls
    }

    /// What is counted of it.
    pub(crate) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// The child is about to be ended: it takes no more requests.
    pub(crate) fn stops(&self) {
        self.calls.stops();
    }

    /// The child has ended: those who wait for its answers are told so now.
    pub(crate) fn end(&self, words: &LastWords) {
        self.calls.end(words);
    }

    /// Leaves the bus, and says how the child has ended. On a worker: it waits for the broker, and for what the child has asked of
    /// others just now.
    pub(crate) fn close(&self, words: &LastWords) {
        self.leave(self.shared.session.take(), words);
    }

    /// The same, unless it would wait for others than the broker.
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
        // The broker need not hear of these one by one any more.
        drop(own);
    }
}

fn closed() -> Result<()> {
    Err(Error::new(Code::Closed, "the plugin's session was closed"))
}

/// Has the end of a session told, such as when the broker sends it away for what its child asks for.
fn tell_of_end(plugin: &Plugin, tell: &Arc<dyn Tell>) -> Result<()> {
    let tell = tell.clone();
    plugin.on_broker(move |event| {
        if let BrokerEvent::Ended(why) = event {
            tell.left(&why);
        }
    });
    // What happened before is not told.
    match plugin.wait_closed_for(Duration::ZERO) {
        Some(why) => Err(why),
        None => Ok(()),
    }
}

impl Own {
    /// Takes in what the worker has done.
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
