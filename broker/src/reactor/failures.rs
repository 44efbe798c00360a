//! Failures that quote an error of the kernel.

use std::io;

use callgate_layout::Code;
use callgate_layout::control::Failure;
use callgate_layout::sys::limits;

pub(super) fn no_memory(what: &str, error: &io::Error) -> Failure {
    let error = limits::explain(error);
    let message = format!("the broker could not make {what}: {error}");
    Failure::new(Code::System, message)
}
