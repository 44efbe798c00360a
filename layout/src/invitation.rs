//! The record that lies in a connection which a broker leaves to a program: whoever receives it is
//! the plugin. How the connection gets there, and is taken, stands in [`crate::sys::inherit`].

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

/// Takes the inherited connection: `None` where nobody left one to this process. Once taken, it is
/// closed on exec.
///
/// Where this process has no other thread, the variable is removed, so that programs that it starts
/// do not find it. Else it stays, and tells them that it was meant for another.
pub fn take() -> Option<Result<OwnedFd, Refused>> {
    inherit::take(|record| {
        let record = ToPlugin::decode(record);
        matches!(
            record,
            Ok(ToPlugin::Session(SessionToPlugin::Invitation { .. }))
        )
    })
}
