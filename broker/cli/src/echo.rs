//! `callgate echo`

use std::io::{self, Write};

use callgate_client::View;

use crate::{Common, Outcome};
use callgate::shown::shown;

pub(crate) fn run(common: &Common, gate: &str) -> Outcome {
    let plugin = common.connect("echo")?;
    let _provider = plugin.provide(gate, |bytes: View<'_, Vec<u8>>| bytes.to_vec())?;
    let mut out = io::stdout();
    writeln!(out, "echoing at {}", shown(gate))?;
    out.flush()?;
    // Until the broker ends, which is this command's failure, or a signal ends the process, after
    // which the broker cleans up.
    Err(plugin.wait_closed().into())
}
