//! Errors for threads that ask for shares.

use callgate_layout::Code;

use crate::base::error::Error;

#[cold]
pub(in crate::session) fn not_there() -> Error {
    Error::new(Code::NotReady, "there is no such share now")
}

/// The error for a thread that asks for a share which it is making itself.
#[cold]
pub(in crate::session) fn own() -> Error {
    let text = "this thread, or the chain of calls that it is in, makes the share that it asks for, or waits for it already: what makes a \
                share must not use the same tag";
    Error::new(Code::Deadlock, text)
}

#[cold]
pub(in crate::session) fn late(why: &str) -> Error {
    Error::new(
        Code::Timeout,
        format!("the share was not there in time: {why}"),
    )
}

#[cold]
pub(in crate::session) fn out_of_turn() -> Error {
    let text = "the broker has answered a question about a share with something else";
    Error::new(Code::Protocol, text)
}

/// The error on the control thread, which reads the broker's records and so cannot wait for them.
#[cold]
pub(in crate::session) fn on_control_thread() -> Error {
    let text = "what is dropped together with a link cannot wait for the broker";
    Error::new(Code::InvalidArgument, text)
}
