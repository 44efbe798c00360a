//! The cells that a plugin has open: the records about them, and what the broker of one membership was told.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use callgate_layout::Code;
use callgate_layout::cells::cell_len;
use callgate_layout::control::CellToBroker;
use parking_lot::{Condvar, Mutex};

use crate::base::error::{Error, Result};
use crate::link::together;
use crate::session::connection::{Connection, Returned};
use crate::session::numbers::{MembershipId, Numbers};
use crate::shares::cells::{ReadCell, WrittenCell};

/// The type and size of a cell's values.
#[derive(Clone, Debug)]
pub(crate) struct Values {
    pub(crate) fingerprint: u128,
    pub(crate) signature: String,
    /// Bytes of one value.
    pub(crate) len: u32,
}

/// Whether the plugin writes or reads the cell.
pub(crate) enum Side {
    Writes(WrittenCell),
    Reads(Arc<ReadCell>),
}

/// A cell that a plugin has open.
pub(crate) struct OpenCell {
    pub(crate) tag: Arc<str>,
    values: Values,
    pub(crate) side: Side,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The cell's number in this plugin.
    number: u32,
    /// The membership whose broker was told of it last, and the number of that request.
    said: (MembershipId, u32),
    standing: Standing,
    /// Whether the broker shall wait for the first writer.
    waits: bool,
    is_over: bool,
}

/// The state of an open cell.
#[derive(Clone)]
enum Standing {
    /// The broker was asked, and has sent no memory yet.
    Asked,
    Open,
    Failed(Error),
}

impl OpenCell {
    /// A cell of which no broker was told yet.
    pub(crate) fn new(tag: Arc<str>, values: Values, (side, waits): (Side, bool)) -> OpenCell {
        OpenCell {
            tag,
            values,
            side,
            state: Mutex::new(State {
                number: 0,
                said: (MembershipId::default(), 0),
                standing: Standing::Asked,
                waits,
                is_over: false,
            }),
            changed: Condvar::new(),
        }
    }

    /// The size of the cell's memory, in bytes.
    pub(crate) fn memory_len(&self) -> u32 {
        cell_len(self.values.len)
    }

    /// Whether the broker of a membership still has to be told of it.
    pub(crate) fn is_to_say(&self, to: MembershipId) -> bool {
        let state = self.state.lock();
        let has_failed = matches!(state.standing, Standing::Failed(_));
        !state.is_over && !has_failed && state.said.0 != to
    }

    /// Notes that that broker was told, by this request.
    pub(crate) fn said(&self, to: MembershipId, request: u32) {
        self.state.lock().said = (to, request);
    }

    /// The record that tells a broker of it.
    pub(crate) fn record(&self, request: u32) -> CellToBroker {
        CellToBroker::Open {
            request,
            tag: self.tag.to_string(),
            fingerprint: self.values.fingerprint,
            signature: self.values.signature.clone(),
            len: self.values.len,
            writes: matches!(self.side, Side::Writes(_)),
            waits: self.state.lock().waits,
        }
    }

    /// Notes that it has memory, which the broker has sealed.
    pub(crate) fn opened(&self) {
        let mut state = self.state.lock();
        if matches!(state.standing, Standing::Asked) {
            state.standing = Standing::Open;
            // Of the next broker, too.
            state.waits = true;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Notes that the plugin does not have the cell, or has lost it. Returns whether a thread was waiting for it to
    /// be opened.
    pub(crate) fn failed(&self, error: &Error) -> bool {
        let mut state = self.state.lock();
        let was_asked = matches!(state.standing, Standing::Asked);
        if !matches!(state.standing, Standing::Failed(_)) {
            state.standing = Standing::Failed(error.clone());
        }
        drop(state);
        self.changed.notify_all();
        self.end(error);
        was_asked
    }

    /// Fails it if no answer has come, because no broker will answer any more.
    pub(crate) fn fail_if_asked(&self, error: &Error) {
        let is_asked = matches!(self.state.lock().standing, Standing::Asked);
        if is_asked {
            self.failed(error);
        }
    }

    /// Waits until it has memory or has failed; `None` if the time is up before.
    pub(crate) fn await_opened(&self, until: Instant) -> Option<Result<()>> {
        together::ring_before_wait();
        let mut state = self.state.lock();
        loop {
            match &state.standing {
                Standing::Open => return Some(Ok(())),
                Standing::Failed(error) => return Some(Err(error.clone())),
                Standing::Asked => {}
            }
            if self.changed.wait_until(&mut state, until).timed_out() {
                return None;
            }
        }
    }

    /// Closes it. Returns the membership whose broker was told of it, and the number of that request.
    pub(crate) fn close(&self) -> (MembershipId, u32) {
        let mut state = self.state.lock();
        state.is_over = true;
        state.said
    }

    /// Makes all further writes or reads fail with this error.
    pub(crate) fn end(&self, why: &Error) {
        match &self.side {
            Side::Writes(written) => written.end(why),
            Side::Reads(read) => read.end(why),
        }
    }

    /// Notes that a membership has ended.
    pub(crate) fn leave(&self, membership: MembershipId) {
        if let Side::Writes(written) = &self.side {
            written.leave(membership.number());
        }
    }

    /// Notes that writers have had time to come back to this membership's broker.
    pub(crate) fn settle(&self, membership: MembershipId) {
        if let Side::Reads(read) = &self.side {
            read.settle(membership.number());
        }
    }

    /// The error for a cell that got no memory in time.
    pub(crate) fn is_late(&self) -> Error {
        let text = match self.side {
            Side::Writes(_) => "the broker has not answered in time",
            Side::Reads(_) => "nobody has written the cell in time",
        };
        Error::new(Code::NotReady, text)
    }
}

/// The cells that a plugin has open. They outlive brokers: each new one is told of all of them.
pub(crate) struct OpenCells {
    all: Mutex<HashMap<u32, Arc<OpenCell>>>,
    numbers: Numbers,
}

impl OpenCells {
    pub(crate) fn new() -> OpenCells {
        OpenCells {
            all: Mutex::default(),
            numbers: Numbers::new(),
        }
    }

    /// Adds a cell.
    pub(crate) fn add(&self, cell: &Arc<OpenCell>) {
        let mut all = self.all.lock();
        cell.state.lock().number = self.numbers.insert(&mut all, cell.clone());
    }

    pub(crate) fn remove(&self, cell: &OpenCell) {
        let number = cell.state.lock().number;
        self.all.lock().remove(&number);
    }

    /// All cells, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<OpenCell>> {
        let all: Vec<(u32, Arc<OpenCell>)> = {
            let all = self.all.lock();
            all.iter()
                .map(|(number, cell)| (*number, cell.clone()))
                .collect()
        };
        let mut all = all;
        all.sort_by_key(|(number, _)| *number);
        all.into_iter().map(|(_, cell)| cell).collect()
    }
}

/// The cells that the broker of one membership was told of, by the numbers of those requests.
#[derive(Default)]
pub(crate) struct ToldCells(Mutex<HashMap<u32, Arc<OpenCell>>>);

impl ToldCells {
    /// Notes that the broker is about to be told of a cell. Returns the number for that request.
    pub(crate) fn telling(&self, connection: &Connection, cell: &Arc<OpenCell>) -> u32 {
        let request = connection.number_of_return(Returned::Cell);
        self.0.lock().insert(request, cell.clone());
        request
    }

    pub(crate) fn get(&self, request: u32) -> Option<Arc<OpenCell>> {
        self.0.lock().get(&request).cloned()
    }

    /// Removes a cell that the broker has closed, or was not told of.
    pub(crate) fn remove(&self, connection: &Connection, request: u32) -> Option<Arc<OpenCell>> {
        let cell = self.0.lock().remove(&request)?;
        connection.forget_return(request);
        Some(cell)
    }

    /// Removes a cell that the plugin has closed.
    pub(crate) fn forget(&self, cell: &Arc<OpenCell>) {
        self.0.lock().retain(|_, other| !Arc::ptr_eq(other, cell));
    }

    /// Whether peers there may read cells that this plugin writes.
    pub(crate) fn are_written(&self) -> bool {
        let told = self.0.lock();
        told.values()
            .any(|cell| matches!(cell.side, Side::Writes(_)))
    }
}
