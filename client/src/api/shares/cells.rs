//! Handles with which programs write and read cells.

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

/// A cell that a plugin has opened for writing or reading. Dropping the handle closes it.
struct Handle {
    state: Arc<PluginState>,
    cell: Arc<OpenCell>,
}

impl Handle {
    /// Opens a cell, and waits for its memory until the deadline.
    fn open(
        state: &Arc<PluginState>,
        (tag, values): (&str, Values),
        (side, waits): (Side, bool),
        until: Instant,
    ) -> Result<Handle> {
        state.check_here()?;
        let cell = Arc::new(OpenCell::new(tag.into(), values, (side, waits)));
        // From here on, dropping `handle` closes the cell again.
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

/// Describes the values of a cell of this type: shape and size. `INVALID_ARGUMENT` for a type that cells cannot have.
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
    /// Opens a cell for writing: a value of a fixed size that changes all the time, and that other plugins copy
    /// ([`Shares::cell`]). If there is no cell of this tag, one is made. If there is, it begins with the last value of the
    /// writer before, provided that some plugin has had the cell open since.
    ///
    /// A value that was written stays readable for plugins that have the cell open, whatever becomes of this plugin.
    ///
    /// Of the options only the [timeout](Shares::timeout) applies to cells. Cells and shares have their tags in common: one
    /// tag is one or the other.
    ///
    /// `T` is a type whose values all have the same size: numbers, `bool`, `char`, arrays, tuples, structs, enums and
    /// options of such; 4,096 bytes at most.
    ///
    /// # Errors
    ///
    /// `ALREADY_PROVIDED` if a plugin, this one included, writes the cell already; `SHARE_TYPE_MISMATCH` if the cell has
    /// another type, or the tag is a share's; `INVALID_ARGUMENT` for a tag or type that is not allowed;
    /// `PERMISSION_DENIED`; `OVERLOADED` over the limit of shares; `SYSTEM`; `BROKER_GONE`.
    pub fn cell_writer<T: GateType>(&self, tag: &str) -> Result<CellWriter<T>> {
        check_tag(tag).map_err(|error| error.at_gate(tag))?;
        CellWriter::open(&self.state, tag, self.options.timeout)
    }

    /// Opens a cell for reading. If there is no cell of that tag, waits for a plugin that calls [`Shares::cell_writer`], as
    /// long as the [timeout](Shares::timeout) allows. It does not wait for the first value; until that is written,
    /// [`Cell::get`] is `NOT_READY`.
    ///
    /// # Errors
    ///
    /// `NOT_READY` if no plugin has opened it for writing in time; otherwise as [`Shares::cell_writer`], except
    /// `ALREADY_PROVIDED`.
    pub fn cell<T: GateType>(&self, tag: &str) -> Result<Cell<T>> {
        check_tag(tag).map_err(|error| error.at_gate(tag))?;
        Cell::open(&self.state, tag, (self.options.timeout, true))
    }

    /// Opens a cell for reading, if there is one; `None` if no plugin writes it and no other plugin has it open.
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

/// Writes a cell: a value of a fixed size that changes all the time, and that other plugins copy with [`Cell`]. One plugin
/// at a time may write a cell, for as long as it has this handle.
///
/// Any number of threads may write; the cell's value is the one that was written last. It stays readable after this plugin
/// has ended, in whatever way, as long as some plugin has the cell open; the next writer begins with it.
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

    /// Writes a value. Whoever reads from here on finds this value or a newer one.
    ///
    /// It makes no system call and allocates nothing, and it waits for no reader; only threads that write the same cell
    /// wait for each other. If the broker has ended, plugins that have the cell open still see what is written, and the
    /// last value is carried over to the next broker.
    ///
    /// # Errors
    ///
    /// Nothing was written then, nor will be: `PERMISSION_DENIED`; `ALREADY_PROVIDED` if another plugin opened the cell for
    /// writing at the next broker before this one; `CLOSED` when the plugin has closed, or in a forked child.
    #[inline]
    pub fn set(&self, value: &T) -> Result<()> {
        let Side::Writes(written) = &self.handle.cell.side else {
            return Ok(());
        };
        written
            .set(value)
            .map_err(|error| self.handle.at_tag(error))
    }

    /// The reason why nothing can be written any more; `None` while writing works.
    pub fn ended(&self) -> Option<Error> {
        match &self.handle.cell.side {
            Side::Writes(written) => written.ended(),
            Side::Reads(_) => None,
        }
    }
}

/// Reads a cell: copies the value that its writer wrote last.
///
/// Each thread that reads should have its own clone, because a clone remembers where the cell's memory lies. So a read
/// takes no lock, and costs little more than copying the value.
///
/// When the writer ends, its last value stays readable ([`Cell::is_current`] then is `false`). The same handle goes on to
/// read the next writer's values, and those of a writer at the next broker.
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

    /// Copies the newest value. It is never torn, and never older than one that this handle has returned before.
    ///
    /// It makes no system call, allocates nothing, and waits for nobody.
    ///
    /// # Errors
    ///
    /// `NOT_READY` if no value was written yet; `BUSY` if the writer wrote the cell during each of 64 attempts to copy it;
    /// `PROTOCOL`, with the writer's name, if the bytes are no value of the type; `PERMISSION_DENIED`; `CLOSED` when the
    /// plugin has closed, or in a forked child.
    #[inline]
    pub fn get(&mut self) -> Result<T> {
        self.copier.get()
    }

    /// Whether a plugin writes the cell now, according to the last news from the broker. After the end of a broker this
    /// keeps its value until writers have had time to come to the next one. In a forked child it is `false`.
    pub fn is_current(&self) -> bool {
        self.cell.shown().is_current
    }

    /// The name of the plugin that writes the cell, or that wrote it last; empty in a forked child.
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
