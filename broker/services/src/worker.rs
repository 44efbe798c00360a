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
        while let Some(Taken { job, answered }) = self.mailbox.take(next(&self)) {
            let now = Instant::now();
            for number in answered {
                self.schedules.poll(number, now);
            }
            match job {
                Some(Job::Call(call)) => self.serve(call),
                Some(Job::Host(job)) => job(&mut self.stores),
                None => {}
            }
            let now = Instant::now();
            self.schedules.tick(now);
            self.stores.sweep(now);
        }
    }

    fn serve(&mut self, call: Call) {
        let Call {
            caller,
            request,
            responder,
            ..
        } = call;
        if responder.is_cancelled() {
            return drop(responder);
        }
        // Answering fails if the caller does not wait any more; then nobody misses the answer.
        let _ = match self.answer(&caller, request) {
            Ok(result) => responder.reply(result.as_bytes()),
            Err(error) => responder.fail(error),
        };
    }

    /// Does what a request asks for. Returns the JSON of the result.
    fn answer(&mut self, caller: &Caller, request: Request) -> Result<String, HandlerError> {
        let (plugin, stores) = (&*caller.name, &mut self.stores);
        match request {
            Request::Get { key } => data::get(stores, plugin, &key),
            Request::Set { key, value } => data::set(stores, plugin, (&key, &value), self.quota),
            Request::Delete { key } => data::delete(stores, plugin, &key),
            Request::List(page) => data::list(stores, plugin, &page),
            Request::GetMany { keys } => data::get_many(stores, plugin, &keys),
            Request::Setting { key } => {
                let value = data::setting(stores, &self.defaults, (plugin, &key))?;
                value.ok_or_else(|| data::unknown_setting(&key))
            }
            Request::AllSettings => data::all_settings(stores, &self.defaults, plugin),
            Request::Register { name, interval } => {
                self.schedules
                    .register(&self.services, caller, (&name, interval))?;
                Ok("null".to_owned())
            }
            Request::Unregister { name } => {
                Ok(self.schedules.unregister(caller, &name).to_string())
            }
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
