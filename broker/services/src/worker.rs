//! The thread of the services: does the jobs in the mailbox one after the other, and sends ticks at their times.

use std::sync::Arc;
use std::time::Instant;

use callgate_client::{Code, Error, HandlerError, Plugin};

use crate::data::{self, Defaults};
use crate::mailbox::{Call, Caller, Job, Mailbox, Taken};
use crate::pairs::Quota;
use crate::request::Request;
use crate::schedules::Schedules;
use crate::stores::Stores;

/// The state of the thread.
pub(crate) struct Worker {
    pub(crate) services: Arc<Plugin>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) stores: Stores,
    pub(crate) defaults: Defaults,
    pub(crate) schedules: Schedules,
    pub(crate) quota: Quota,
}

impl Worker {
    /// Runs until the mailbox is closed.
    pub(crate) fn run(mut self) {
        let next = |worker: &Worker| {
            let times = [worker.stores.next(), worker.schedules.next()];
            times.into_iter().flatten().min()
        };
        while let Some(Taken { jobs, answered }) = self.mailbox.take(next(&self)) {
            let now = Instant::now();
            for number in answered {
                self.schedules.poll(number, now);
            }
            let mut calls = Vec::with_capacity(jobs.len());
            for job in jobs {
                match job {
                    Job::Call(call) => calls.push(call),
                    Job::Host(job) => job(&mut self.stores),
                }
            }
            self.serve(calls);
            let now = Instant::now();
            self.schedules.tick(now);
            self.stores.sweep(now);
        }
    }

    /// Does calls of one plugin: a single one, or several changes at once.
    fn serve(&mut self, mut calls: Vec<Call>) {
        calls.retain(|call| !call.responder.is_cancelled());
        let Some(caller) = calls.first().map(|call| call.caller.clone()) else {
            return;
        };
        let changes = calls.iter().map(|call| call.request.as_change());
        let answers = match changes.collect::<Option<Vec<_>>>() {
            Some(changes) => data::change(&mut self.stores, &caller.name, &changes, self.quota),
            None => calls
                .iter()
                .map(|call| self.answer(&caller, &call.request))
                .collect(),
        };
        for (call, answer) in calls.into_iter().zip(answers) {
            // Answering fails if the caller does not wait any more; then nobody misses the answer.
            let _ = match answer {
                Ok(result) => call.responder.reply(result.as_bytes()),
                Err(error) => call.responder.fail(error),
            };
        }
    }

    /// Does what a request asks for. Returns the JSON of the result.
    fn answer(&mut self, caller: &Caller, request: &Request) -> Result<String, HandlerError> {
        let (plugin, stores) = (&*caller.name, &mut self.stores);
        match request {
            Request::Get { key } => data::get(stores, plugin, key),
            Request::Set { .. } | Request::Delete { .. } => {
                let changes = request.as_change();
                let mut made = data::change(stores, plugin, changes.as_slice(), self.quota);
                made.pop().unwrap_or_else(|| Ok("null".to_owned()))
            }
            Request::List(page) => data::list(stores, plugin, page),
            Request::GetMany { keys } => data::get_many(stores, plugin, keys),
            Request::Setting { key } => {
                let value = data::setting(stores, &self.defaults, (plugin, key))?;
                value.ok_or_else(|| data::unknown_setting(key))
            }
            Request::AllSettings => data::all_settings(stores, &self.defaults, plugin),
            Request::Register { name, interval } => {
                self.schedules
                    .register(&self.services, caller, (name, *interval))?;
                Ok("null".to_owned())
            }
            Request::Unregister { name } => Ok(self.schedules.unregister(caller, name).to_string()),
        }
    }
}

/// Also runs if the thread panics: otherwise callers would wait for it for ever.
impl Drop for Worker {
    fn drop(&mut self) {
        self.mailbox.close();
        for job in self.mailbox.rest() {
            if let Job::Call(Call { responder, .. }) = job {
                let error = Error::new(Code::NotReady, "the services are being stopped");
                // Fails if the caller does not wait any more.
                let _ = responder.refuse(error);
            }
        }
    }
}
