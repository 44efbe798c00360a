//! Cells, as programs hold them.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use callgate_layout::cells::MAX_VALUE;
use callgate_layout::{Code, Encodings};

use super::{Shares, check_tag};
use crate::base::deadline::answer_due;
use crate::base::error::{Error, Result};
use crate::base::types::{GateType, schema_of};
use crate::serve::offered::Types;
use crate::session::cells::{OpenCell, Side, Values};
use crate::session::plugin_state::PluginState;
use crate::shares::cells::{Copier, ReadCell, WrittenCell};

/// A cell that a plugin has open, for as long as a handle of it lives.
struct Handle {
    state: Arc<PluginState>,
    cell: Arc<OpenCell>,
}

impl Handle {
    /// Opens a cell, and waits for its memory until then.
    fn open(
        state: &Arc<PluginState>,
        (tag, values): (&str, Values),
        (side, waits): (Side, bool),
        until: Instant,
    ) -> Result<Handle> {
        state.check_here()?;
        let cell = Arc::new(OpenCell::new(tag.into(), values, (side, waits)));
        // From here on dropping it closes the cell again.
        let handle = Handle {
            state: state.clone(),
            cell,
        };
        handle.state.open_cell(&handle.cell, until)?;
        Ok(handle)
    }

    fn at_tag(&self, error: Error) -> Error {
        error.at_gate(self.cell.tag.clone())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.state.is_here() {
            self.state.close_cell(&self.cell);
        }
    }
}

/// What the values of a cell of this type are.
fn values_of<T: GateType>(tag: &str) -> Result<Values> {
    let refuse = |text: String| Err(Error::new(Code::InvalidArgument, text).at_gate(tag));
    let signature = schema_of::<T>();
    let types = Types::of(&signature, Encodings::ARCHIVE);
    let shape = types.map_err(|error| error.at_gate(tag))?.shape;
    let len = size_of::<T::Archived>();
    if !signature.is_of_fixed_size() {
        return refuse(format!(
            "a cell has values of a fixed size (numbers, bool, char, arrays, tuples, structs, enums and options of such), not {}: \
             publish it as a share",
            shape.signature
        ));
    }
    if !(1..=MAX_VALUE as usize).contains(&len) {
        return refuse(format!(
            "a value of a cell takes 1 to {MAX_VALUE} bytes, and one of the type {} takes {len}",
            shape.signature
        ));
    }
    Ok(Values {
        fingerprint: shape.fingerprint,
        signature: shape.signature,
        len: len as u32,
    })
}

impl Shares {
    /// Writes a cell: a value of a fixed size that changes all the time, and that other plugins copy ([`Shares::cell`]). It comes to be where
    /// there is none, and begins with the value of the writer before, if there was one and somebody has had the cell open since.
    ///
    /// What is written when this has returned is read by who reads the cell, whatever becomes of this plugin.
    ///
    /// Of the options only the [timeout](Shares::timeout) concerns cells. A cell has a tag of its own, as a share has.
    ///
    /// `T` is a type whose values have all the same size: numbers, `bool`, `char`, arrays, tuples, structs, enums and options of such;
    /// 4,096 bytes at most.
    ///
    /// # Errors
    ///
    /// `ALREADY_PROVIDED` where it is written already, by whatever plugin; `SHARE_TYPE_MISMATCH` where the cell has another type, or there
    /// is a share of that tag; `INVALID_ARGUMENT` for a tag or a type that cannot be; `PERMISSION_DENIED`, `OVERLOADED` over the limit of
    /// shares, `SYSTEM`, `BROKER_GONE`.
    pub fn cell_writer<T: GateType>(&self, tag: &str) -> Result<CellWriter<T>> {
        check_tag(tag).map_err(|error| error.at_gate(tag))?;
        CellWriter::open(&self.state, tag, self.options.timeout)
    }

    /// Reads a cell. Where there is no cell of that tag, a [`Shares::cell_writer`] is waited for, as long as the
    /// [timeout](Shares::timeout) says; not for the first value, without which [`Cell::get`] is `NOT_READY`.
    ///
    /// # Errors
    ///
    /// `NOT_READY` where nobody has come in time to write it; the others as of [`Shares::cell_writer`], but for `ALREADY_PROVIDED`.
    pub fn cell<T: GateType>(&self, tag: &str) -> Result<Cell<T>> {
        check_tag(tag).map_err(|error| error.at_gate(tag))?;
        Cell::open(&self.state, tag, (self.options.timeout, true))
    }

    /// Reads a cell, if there is one: `None` where nobody writes it and nobody else has it open.
    ///
    /// # Errors
    ///
    /// As [`Shares::cell`], without `NOT_READY`.
    pub fn try_cell<T: GateType>(&self, tag: &str) -> Result<Option<Cell<T>>> {
        check_tag(tag).map_err(|error| error.at_gate(tag))?;
        match Cell::open(&self.state, tag, (self.options.timeout, false)) {
            Ok(cell) => Ok(Some(cell)),
            Err(error) if error.code() == Code::NotReady => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Writes a cell: a value of a fixed size that changes all the time, and that other plugins copy with [`Cell`]. One plugin at a time
/// writes it, as long as this lives.
///
/// Any number of threads may write; the value that was written last is the cell's. It stays readable after this plugin has
/// ended, however it has, as long as somebody has the cell open; the next writer begins with it.
///
/// ```no_run
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = callgate_client::Plugin::connect("Rack")?;
/// let meter = plugin.shares().cell_writer::<[f32; 2]>("Rack.Level")?;
/// meter.set(&[0.25, 0.5])?;
/// # Ok(()) }
/// ```
#[must_use = "dropping it lets another plugin write the cell"]
pub struct CellWriter<T> {
    handle: Handle,
    _values: PhantomData<fn(T)>,
}

impl<T: GateType> CellWriter<T> {
    fn open(state: &Arc<PluginState>, tag: &str, timeout: Duration) -> Result<CellWriter<T>> {
        let values = values_of::<T>(tag)?;
        let side = Side::Writes(WrittenCell::new::<T>(values.len as usize));
        let handle = Handle::open(state, (tag, values), (side, true), answer_due(timeout));
        Ok(CellWriter {
            handle: handle.map_err(|error| error.at_gate(tag))?,
            _values: PhantomData,
        })
    }

    /// The cell's tag.
    pub fn tag(&self) -> &str {
        &self.handle.cell.tag
    }

    /// Writes a value: whoever reads from here on finds this one, or a newer one.
    ///
    /// There is no system call and no allocation in it, and it waits for no reader; only threads that write the same cell
    /// wait for each other. Where the broker has ended, those who have the cell open still see what is written, and the next broker's
    /// readers begin with the last value.
    ///
    /// # Errors
    ///
    /// Nothing was written then, nor will be: `PERMISSION_DENIED`, `ALREADY_PROVIDED` where another plugin was at the next broker
    /// before this one, `CLOSED` when the plugin has closed or in a forked child.
    #[inline]
    pub fn set(&self, value: &T) -> Result<()> {
        let Side::Writes(written) = &self.handle.cell.side else {
            return Ok(());
        };
        written
            .set(value)
            .map_err(|error| self.handle.at_tag(error))
    }

    /// Why nothing can be written any more, where that is so.
    pub fn ended(&self) -> Option<Error> {
        match &self.handle.cell.side {
            Side::Writes(written) => written.ended(),
            Side::Reads(_) => None,
        }
    }
}

/// Reads a cell: copies the value that its writer wrote last.
///
/// Each thread that reads has a clone of its own, which keeps where the cell lies. So a read takes no lock, and costs little more than
/// copying the value.
///
/// When its writer ends, the last value stays ([`Cell::is_current`]); of the next writer, the same handle reads on. So it does when the
/// broker is replaced.
///
/// ```no_run
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = callgate_client::Plugin::connect("Display")?;
/// let mut meter = plugin.shares().cell::<[f32; 2]>("Rack.Level")?;
/// let [left, right] = meter.get()?;
/// # Ok(()) }
/// ```
pub struct Cell<T> {
    copier: Copier,
    cell: Arc<ReadCell>,
    handle: Arc<Handle>,
    _values: PhantomData<fn() -> T>,
}

impl<T: GateType> Cell<T> {
    fn open(
        state: &Arc<PluginState>,
        tag: &str,
        (timeout, waits): (Duration, bool),
    ) -> Result<Cell<T>> {
        let values = values_of::<T>(tag)?;
        let cell = Arc::new(ReadCell::new(tag.into(), values.len as usize));
        let side = Side::Reads(cell.clone());
        let handle = Handle::open(state, (tag, values), (side, waits), answer_due(timeout));
        Ok(Cell {
            copier: Copier::new(cell.clone()),
            cell,
            handle: Arc::new(handle.map_err(|error| error.at_gate(tag))?),
            _values: PhantomData,
        })
    }

    /// The cell's tag.
    pub fn tag(&self) -> &str {
        &self.handle.cell.tag
    }

    /// Copies the newest value, which is whole, and no older than any that this handle has given.
    ///
    /// There is no system call and no allocation in it, and it waits for nobody.
    ///
    /// # Errors
    ///
    /// `NOT_READY` where nothing was written yet; `BUSY` where the cell was written each of 64 times that it was copied;
    /// `PROTOCOL`, naming the writer, where that has written what is no value of the type; `PERMISSION_DENIED`, `CLOSED` when the
    /// plugin has closed or in a forked child.
    #[inline]
    pub fn get(&mut self) -> Result<T> {
        self.copier.get()
    }

    /// Whether the plugin that writes the cell is there, as far as the broker has said. Where the broker has ended, that is as it
    /// was, until writers have had time to come to the next one. In a forked child it is not.
    pub fn is_current(&self) -> bool {
        self.cell.shown().is_current
    }

    /// The name of the plugin that writes the cell, or has written it last; empty in a forked child.
    pub fn writer(&self) -> Arc<str> {
        self.cell.shown().writer
    }
}

impl<T> Clone for Cell<T> {
    fn clone(&self) -> Cell<T> {
        Cell {
            copier: Copier::new(self.cell.clone()),
            cell: self.cell.clone(),
            handle: self.handle.clone(),
            _values: PhantomData,
        }
    }
}

impl<T> std::fmt::Debug for CellWriter<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CellWriter")
            .field("tag", &self.handle.cell.tag)
            .finish_non_exhaustive()
    }
}

impl<T> std::fmt::Debug for Cell<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.cell.shown();
        f.debug_struct("Cell")
            .field("tag", &self.handle.cell.tag)
            .field("writer", &shown.writer)
            .field("is_current", &shown.is_current)
            .finish_non_exhaustive()
    }
}
