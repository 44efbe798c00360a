//! How many instructions a hot call of 64 bytes takes, on either side, as callgrind counts them.
//!
//! ```text
//! cargo bench -p callgate-tests --bench instructions [-- --renew]
//! ```
//!
//! compares with the committed figures, and fails where one differs by more than 3 %, up or down:
//! what was gained is committed, too, so that it is not lost unnoticed. `--renew` writes them anew.
//! Times on a shared machine tell changes of a few percent from noise only with patience; these
//! counts are the same in every run, whatever else the machine does.
//!
//! **What is counted** is the client's own code in a process of its own under callgrind (see
//! [`sides`]), without what it does while it waits, which depends on how fast the other side is:
//!
//! - *caller*: `invoke_ref` from its beginning to its end, where the answer is there at the first
//!   look.
//! - *provider*: the dispatcher's thread from one handler to the next, where the next call is
//!   there at the first look: so taking a call, running its handler and publishing the answer.
//!
//! Both are means over runs of N and of 3N calls, from which what is no call cancels out.
//!
//! The figures hold for the compiler that they name, on x86-64. Where there is no valgrind, nothing
//! is counted and nothing fails.
#![forbid(unsafe_code)]

mod callgrind;
mod figures;
mod sides;

use std::path::Path;
use std::process::ExitCode;

use callgate_tests::{Bus, programs};

use figures::Figures;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, socket] = &arguments[..] {
        match role.as_str() {
            sides::CALLER => return sides::call(Path::new(socket)),
            sides::PROVIDER => return sides::provide(Path::new(socket)),
            _ => {}
        }
    }
    if !cfg!(target_arch = "x86_64") {
        println!("skipped: the figures are of another processor's instructions");
        return ExitCode::SUCCESS;
    }
    if !callgrind::is_here() {
        println!("skipped: there is no valgrind here");
        return ExitCode::SUCCESS;
    }
    let bus = Bus::start(programs!());
    let counted = Figures {
        compiler: figures::compiler(),
        caller: sides::count_caller(&bus),
        provider: sides::count_provider(&bus),
    };
    if arguments.iter().any(|argument| argument == "--renew") {
        return counted.write();
    }
    counted.compare()
}
