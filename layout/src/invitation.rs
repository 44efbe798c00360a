//! The invitation: a record in the connection that a broker passes to a program it starts. The process that
//! receives it is the plugin. [`crate::sys::inherit`] says how the connection is passed and taken.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::control::{SessionToPlugin, ToPlugin};
use crate::sys::fdpass;
use crate::sys::inherit::{self, Refused};

/// Puts the invitation into a connection; the broker does so with its own end, before it starts the
/// program.
pub fn send(socket: BorrowedFd<'_>, name: &str) -> io::Result<()> {
    let name = name.to_owned();
    let record = ToPlugin::from(SessionToPlugin::Invitation { name });
    let bytes = record.encode().map_err(io::Error::other)?;
    fdpass::send(socket, &bytes, &[])
}

/// Takes the inherited connection; `None` if no broker passed one to this process. Once taken, it is
/// closed on exec.
///
/// If this process has no other thread, this removes the variable, so that programs that it starts
/// do not find it. Otherwise the variable stays; those programs find that it was meant for another process.
pub fn take() -> Option<Result<OwnedFd, Refused>> {
    inherit::take(|record| {
        let record = ToPlugin::decode(record);
        matches!(
            record,
            Ok(ToPlugin::Session(SessionToPlugin::Invitation { .. }))
        )
    })
}
