//! Schedules: timers by deadline, and ticks that are sent without waiting for the answer.
//!
//! | what | when |
//! |---|---|
//! | a tick is sent | at its time, if the one before has been answered |
//! | a tick is skipped and counted | the one before is not answered yet, the plugin cannot be called yet, or it has no room for calls |
//! | the schedules of a plugin end | its gate is gone or in another life, a tick fails because nobody can be called, or the plugin registers in another life |

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callgate_client::dynamic::Sent;
use callgate_client::{Code, Error, HandlerError, Plugin};
use serde_json::{Value, json};

use crate::lives::{Life, Stands};
use crate::mailbox::{Caller, Mailbox, TickWaker};
use crate::refusal::over_quota;

/// How many schedules one plugin may have, and how many plugins may have some.
const SCHEDULES: usize = 64;
const PLUGINS: usize = 1_024;

/// The schedules of all plugins.
pub(crate) struct Schedules {
    mailbox: Arc<Mailbox>,
    tick_deadline: Duration,
    /// By the names of the plugins.
    plugins: HashMap<Box<str>, Planned>,
    schedules: HashMap<u64, Schedule>,
    /// The next tick of each schedule that has no tick under way.
    due: BTreeSet<(Instant, u64)>,
    next: u64,
}

/// The schedules that a plugin has registered in its present life.
struct Planned {
    life: Life,
    /// The numbers of its schedules, by their names.
    names: BTreeMap<Box<str>, u64>,
}

struct Schedule {
    plugin: Box<str>,
    name: Box<str>,
    interval: Duration,
    due: Instant,
    /// How many ticks were skipped since the last one that was sent.
    skipped: u64,
    /// The tick that is under way.
    tick: Option<(Sent, Waker)>,
}

impl Schedules {
    pub(crate) fn new(mailbox: Arc<Mailbox>, tick_deadline: Duration) -> Schedules {
        Schedules {
            mailbox,
            tick_deadline,
            plugins: HashMap::new(),
            schedules: HashMap::new(),
            due: BTreeSet::new(),
            next: 0,
        }
    }

    /// Begins a schedule, and replaces one of the same name.
    pub(crate) fn register(
        &mut self,
        services: &Plugin,
        caller: &Caller,
        (name, interval): (&str, Duration),
    ) -> Result<(), HandlerError> {
        self.live(services, caller)?;
        self.remove(caller, name);
        let Some(planned) = self.plugins.get_mut(&caller.name) else {
            return Ok(());
        };
        if planned.names.len() >= SCHEDULES {
            return Err(over_quota("schedules", SCHEDULES as u64));
        }
        let (number, due) = (self.next, Instant::now() + interval);
        self.next += 1;
        planned.names.insert(name.into(), number);
        self.due.insert((due, number));
        let schedule = Schedule {
            plugin: caller.name.clone(),
            name: name.into(),
            interval,
            due,
            skipped: 0,
            tick: None,
        };
        self.schedules.insert(number, schedule);
        Ok(())
    }

    /// Notes the present life of the caller, unless it is known, and ends what the caller has registered in an earlier life.
    fn live(&mut self, services: &Plugin, caller: &Caller) -> Result<(), HandlerError> {
        let now = Instant::now();
        if let Some(planned) = self.plugins.get_mut(&caller.name) {
            if planned.life.is_of(caller) && planned.life.look(now) != Stands::Gone {
                return Ok(());
            }
            self.end(&caller.name, "it has begun anew");
        }
        if self.plugins.len() >= PLUGINS {
            self.sweep(now);
        }
        if self.plugins.len() >= PLUGINS {
            return Err(over_quota("plugins with schedules", PLUGINS as u64));
        }
        let planned = Planned {
            life: Life::new(services, caller, self.tick_deadline)?,
            names: BTreeMap::new(),
        };
        self.plugins.insert(caller.name.clone(), planned);
        Ok(())
    }

    /// Ends a schedule of the caller's present life. Returns whether there was one.
    pub(crate) fn unregister(&mut self, caller: &Caller, name: &str) -> bool {
        let was_there = self.remove(caller, name);
        let planned = self.plugins.get(&caller.name);
        if planned.is_some_and(|planned| planned.names.is_empty()) {
            self.end(&caller.name, "there are none left");
        }
        was_there
    }

    fn remove(&mut self, caller: &Caller, name: &str) -> bool {
        let planned = self.plugins.get_mut(&caller.name);
        let Some(planned) = planned.filter(|planned| planned.life.is_of(caller)) else {
            return false;
        };
        let number = planned.names.remove(name);
        if let Some(number) = number {
            self.drop_schedule(number);
        }
        number.is_some()
    }

    /// When the next tick is due.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Sends the ticks that are due.
    pub(crate) fn tick(&mut self, now: Instant) {
        while let Some((due, number)) = self.due.first().copied().filter(|(due, _)| *due <= now) {
            self.due.remove(&(due, number));
            let Some(schedule) = self.schedules.get_mut(&number) else {
                continue;
            };
            let missed = schedule.pass(now);
            schedule.skipped += missed - 1;
            let Some(planned) = self.plugins.get_mut(&schedule.plugin) else {
                continue;
            };
            let sent = match planned.life.look(now) {
                Stands::There => planned.life.gate().send_values(&[schedule.arguments()]),
                Stands::NotYet => {
                    let text = "it cannot be called yet";
                    Err(Error::new(Code::Overloaded, text))
                }
                Stands::Gone => Err(Error::new(Code::ProviderGone, "it has gone")),
            };
            match sent {
                Ok(sent) => {
                    schedule.skipped = 0;
                    let mailbox = self.mailbox.clone();
                    let waker = Waker::from(Arc::new(TickWaker { mailbox, number }));
                    schedule.tick = Some((sent, waker));
                    self.poll(number, now);
                }
                Err(error) if is_end(&error) => {
                    let plugin = schedule.plugin.clone();
                    self.end(&plugin, error.message());
                }
                Err(_) => {
                    schedule.skipped += 1;
                    self.due.insert((schedule.due, number));
                }
            }
        }
    }

    /// Looks at a tick that may have been answered.
    pub(crate) fn poll(&mut self, number: u64, now: Instant) {
        let Some(schedule) = self.schedules.get_mut(&number) else {
            return;
        };
        let Some((sent, waker)) = &mut schedule.tick else {
            return;
        };
        let mut context = Context::from_waker(waker);
        let Poll::Ready(outcome) = Pin::new(sent).poll(&mut context) else {
            return;
        };
        schedule.tick = None;
        match outcome {
            Err(error) if is_end(&error) => {
                let plugin = schedule.plugin.clone();
                return self.end(&plugin, error.message());
            }
            Err(error) => {
                let (plugin, name) = (&*schedule.plugin, &*schedule.name);
                tracing::debug!(plugin, schedule = name, %error, "a tick failed");
            }
            Ok(_) => {}
        }
        if schedule.due <= now {
            schedule.skipped += schedule.pass(now);
        }
        self.due.insert((schedule.due, number));
    }

    /// Ends the schedules of plugins that have gone, and forgets plugins without schedules.
    fn sweep(&mut self, now: Instant) {
        let plugins = self.plugins.iter_mut();
        let gone = plugins.filter_map(|(name, planned)| {
            let is_over = planned.names.is_empty() || planned.life.look(now) == Stands::Gone;
            is_over.then(|| name.clone())
        });
        for plugin in gone.collect::<Vec<_>>() {
            self.end(&plugin, "it has gone");
        }
    }

    /// Ends all schedules of a plugin.
    fn end(&mut self, plugin: &str, why: &str) {
        let Some(planned) = self.plugins.remove(plugin) else {
            return;
        };
        let schedules = planned.names.len();
        tracing::debug!(plugin, schedules, why, "the schedules of a plugin end");
        for number in planned.names.into_values() {
            self.drop_schedule(number);
        }
    }

    fn drop_schedule(&mut self, number: u64) {
        if let Some(schedule) = self.schedules.remove(&number) {
            self.due.remove(&(schedule.due, number));
        }
    }
}

impl Schedule {
    /// Moves to the first tick that is not due yet. Returns how many ticks were passed.
    fn pass(&mut self, now: Instant) -> u64 {
        let (late, interval) = (now.saturating_duration_since(self.due), self.interval);
        let since = late.as_nanos() % interval.as_nanos().max(1);
        let since = u64::try_from(since).unwrap_or(0);
        let missed = late.as_nanos() / interval.as_nanos().max(1);
        self.due = now - Duration::from_nanos(since) + interval;
        u64::try_from(missed).unwrap_or(u64::MAX - 1) + 1
    }

    /// The arguments of a tick.
    fn arguments(&self) -> Value {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_millis();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        json!({ "name": self.name, "firedAt": now, "skipped": self.skipped })
    }
}

/// Whether an error means that the plugin can no longer be called.
fn is_end(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::NotReady
            | Code::ProviderGone
            | Code::BrokerGone
            | Code::PermissionDenied
            | Code::Closed
    )
}
