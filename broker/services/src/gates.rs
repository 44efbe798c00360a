//! The gates of the services. Their handlers parse the arguments, and queue the call for the services' thread.

use std::sync::Arc;

use callgate_client::dynamic::{Responder, Takes, provide_with};
use callgate_client::{Code, Context, Error, Json, Plugin, Provider, Result, signature_of};

use crate::mailbox::{Call, Caller, Mailbox};
use crate::request::{self, Read};

const GATES: [(&str, Read); 4] = [
    ("data.kv", request::kv),
    ("data.config", request::config),
    ("schedule.register", request::register),
    ("schedule.unregister", request::unregister),
];

pub(crate) fn provide(services: &Plugin, mailbox: &Arc<Mailbox>) -> Result<Vec<Provider>> {
    let signature = signature_of::<(Json,), Json>();
    let gates = GATES.iter().map(|(gate, read)| {
        let takes = takes(mailbox.clone(), *read);
        provide_with(services, gate, &signature, takes)
    });
    gates.collect()
}

fn takes(mailbox: Arc<Mailbox>, read: Read) -> Takes {
    Takes::json_later(move |context, arguments, responder| {
        receive(&mailbox, read, (context, arguments, responder));
    })
}

fn receive(
    mailbox: &Mailbox,
    read: Read,
    (context, arguments, responder): (Context<'_>, &str, Responder),
) {
    // Answering fails if the caller does not wait any more; then nobody misses the answer.
    let request = match request::read(arguments, read) {
        Ok(request) => request,
        Err(error) => return drop(responder.fail(error)),
    };
    let caller = context.caller();
    let call = Call {
        caller: Caller {
            name: caller.name().into(),
            number: caller.plugin(),
        },
        request,
        responder,
        bytes: arguments.len(),
    };
    if let Err(responder) = mailbox.call(call) {
        let text = "more calls wait for the services than may";
        let error = Error::new(Code::Overloaded, text);
        drop(responder.refuse(error));
    }
}
