//! The systems that are compared, each in a file of its own.
//!
//! Another system is a [`System`] with its two ends, and a line in [`all`].

mod callgate;
mod callgate_loan;
mod exchange;
pub(crate) mod iceoryx2;
mod iceoryx2_event;
mod ipc_channel;
mod json;
mod limit;
mod messages;
mod pipe;
pub(crate) mod plugins;
mod typed;
mod uds;

use std::any::Any;
use std::path::PathBuf;

use crate::Result;
use crate::scenario::Scenario;

/// The parameters of a measurement that both processes know.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) scenario: Scenario,
    /// A directory that is nobody else's.
    pub(crate) place: PathBuf,
}

impl Setup {
    /// A name that nobody else has at this time.
    pub(crate) fn unique_name(&self) -> String {
        let name = self.place.file_name().unwrap_or_default().to_string_lossy();
        name.chars().filter(char::is_ascii_alphanumeric).collect()
    }
}

/// A way to call another process.
pub(crate) trait System: Sync {
    /// Its name in the report. Variants of one system bear the same: the fastest of them counts
    /// in each round.
    fn name(&self) -> &'static str;

    /// What tells it from all others.
    fn id(&self) -> &'static str {
        self.name()
    }

    fn takes_part(&self, scenario: Scenario) -> bool;

    /// What must live in the caller's process before the callee is started.
    fn host(&self, _setup: &Setup) -> Result<Box<dyn Any>> {
        Ok(Box::new(()))
    }

    /// The callee's end; made in the callee's process.
    fn server(&self, setup: &Setup) -> Result<Box<dyn Server>>;

    /// The caller's end; made when the callee's stands.
    fn client(&self, setup: &Setup) -> Result<Box<dyn Client>>;
}

/// The callee's end.
pub(crate) trait Server {
    /// Answers calls until one says stop, and answers that, too.
    fn serve(&mut self) -> Result<()>;
}

/// The caller's end.
pub(crate) trait Client {
    /// Makes a call, waits for its answer and checks it. Where connecting is measured, connects
    /// first.
    fn call(&mut self, number: u64) -> Result<()>;

    /// What a call leaves to be done, which is not measured: letting connections go.
    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    /// Makes several calls, one after the other. This is here so that the loop is compiled
    /// together with each system's call.
    fn call_many(&mut self, first: u64, count: u64) -> Result<()> {
        for number in first..first + count {
            self.call(number)?;
        }
        Ok(())
    }
}

/// Every system.
pub(crate) fn all() -> &'static [&'static dyn System] {
    &[
        &limit::Spin::ONE_LINE,
        &limit::Spin::TWO_LINES,
        &limit::Futex,
        &exchange::Exchange::EAGER,
        &exchange::Exchange::PATIENT,
        &callgate::Callgate::FIRST,
        &callgate::Callgate::CONTROL,
        &callgate::Callgate::PARKED,
        &callgate::WithoutLoan,
        &callgate_loan::SmallLoan,
        &json::Records::EXACT,
        &json::Records::JSON,
        &json::UdsJson,
        &iceoryx2::Iceoryx2,
        &iceoryx2_event::Iceoryx2Event,
        &ipc_channel::IpcChannel,
        &pipe::Pipe,
        &uds::Uds::BLOCKING,
        &uds::Uds::POLLED,
    ]
}
