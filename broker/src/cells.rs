//! Cells: which there are, which plugin writes each and which plugins read it, and in which memory its values lie. Pure; the records are in
//! `layout/src/control/cells.rs`.
//!
//! ```text
//! a writer's memory   entered by                          left by
//! Writer              `Write` to the plugin              its `Written`
//! Sealing             `Written`                           the shell has sealed it against further writers
//! Sealed              the same; readers are told `Read`   the next writer's memory is sealed, or the cell ends
//! ```
//!
//! A cell exists as long as a plugin has it open. It is read in the memory that was sealed last, even after its writer has ended.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use callgate_layout::control::Role;

use crate::id::PluginId;
use crate::quota::Charge;
use crate::stages::Stage;

/// A plugin, and the number under which it has a cell open.
pub(crate) type Place = (PluginId, u32);

/// The type of a cell's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) fingerprint: u128,
    pub(crate) signature: String,
    pub(crate) len: u32,
}

impl Kind {
    /// Whether both are the same type.
    fn is_like(&self, other: &Kind) -> bool {
        (self.fingerprint, self.len) == (other.fingerprint, other.len)
    }
}

/// One cell.
#[derive(Debug)]
pub(crate) struct Cell {
    /// The type that the cell's writer has said, also after its end. As long as nobody has written the cell: the type that the first reader
    /// has said.
    pub(crate) kind: Kind,
    writer: Option<Writer>,
    /// The memory in which the cell is read.
    memory: Option<Sealed>,
    /// The plugins that read the cell or wait for its first value, each with the type that it wants.
    readers: BTreeMap<Place, Kind>,
}

/// The plugin that writes a cell, or is setting that up.
#[derive(Debug)]
struct Writer {
    place: Place,
    name: String,
    memory: u64,
    stage: Stage,
}

/// Memory that was sealed, with the name of the plugin that writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) memory: u64,
    pub(crate) writer: String,
}

/// A cell that a plugin has open.
#[derive(Debug)]
struct Open {
    tag: Arc<str>,
    _charge: Charge,
}

/// A request to open a cell.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) place: Place,
    /// The plugin's name.
    pub(crate) name: String,
    pub(crate) writes: bool,
    pub(crate) waits: bool,
}

/// What has to be done for a plugin that has opened a cell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// The plugin writes: make memory of this number for it, and send it the memory of the writer before.
    Write { memory: u64, last: Option<u64> },
    /// The plugin reads this memory. `is_written` says whether the cell has a writer.
    Read { sealed: Sealed, is_written: bool },
    /// The plugin waits for the cell's first writer.
    Waits,
}

/// Why a cell cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NumberInUse,
    /// The cell has values of this type.
    Kind(Kind),
    /// This plugin writes the cell.
    Written(PluginId),
    /// Nobody has written the cell yet, and the plugin does not want to wait.
    Nothing,
}

/// Why a plugin's record about a cell breaks the protocol.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    NeverWas,
    NotAwaited,
}

/// The move of a cell into the memory of its new writer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) sealed: Sealed,
    /// The new writer.
    pub(crate) writer: Place,
    pub(crate) len: u32,
    pub(crate) readers: Vec<Place>,
    /// The memory in which the cell was read before.
    pub(crate) before: Option<u64>,
    /// The plugins that may have been sent that memory and not have read the record yet.
    pub(crate) users: BTreeSet<PluginId>,
}

/// What follows when a plugin closes a cell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// The readers whose cell has no writer any more.
    pub(crate) readers: Vec<Place>,
    /// Memory that is no longer used.
    pub(crate) memory: Vec<u64>,
    /// The one of these that its writer was sent and has not acknowledged.
    pub(crate) unmapped: Option<u64>,
}

/// All cells.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    all: BTreeMap<Arc<str>, Cell>,
    opens: BTreeMap<Place, Open>,
    /// Memory that is not sealed yet, with the tag of its cell.
    making: HashMap<u64, Arc<str>>,
    /// The highest number under which each plugin has opened a cell.
    highest: HashMap<PluginId, u32>,
    /// How many pieces of memory were made; gives the next number.
    made: u64,
}

impl Cells {
    /// All cells, in the order of their tags.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Cell)> {
        self.all.iter()
    }

    /// Opens a cell, and creates it if there is none of this tag.
    pub(crate) fn open(
        &mut self,
        wish: Wish,
        (tag, kind): (&str, Kind),
        charge: Charge,
    ) -> Result<Opened, Refused> {
        let place = wish.place;
        if self.opens.contains_key(&place) {
            return Err(Refused::NumberInUse);
        }
        let highest = self.highest.entry(place.0).or_insert(place.1);
        *highest = place.1.max(*highest);
        let found = self.all.get(tag);
        // A plugin that only waits has written nothing, so others may wait for another type.
        let taken = found.filter(|cell| cell.is_taken());
        if let Some(cell) = taken.filter(|cell| !cell.kind.is_like(&kind)) {
            return Err(Refused::Kind(cell.kind.clone()));
        }
        let memory = found.and_then(|cell| cell.memory.as_ref());
        let writer = found.and_then(|cell| cell.writer.as_ref());
        match writer {
            Some(writer) if wish.writes => return Err(Refused::Written(writer.place.0)),
            _ if !wish.writes && !wish.waits && memory.is_none() => return Err(Refused::Nothing),
            _ => {}
        }
        let number = self.made;
        let (tag, cell) = self.entry(tag, &kind);
        let opened = match wish.writes {
            true => cell.write((wish, kind), number),
            false => cell.read(place, kind),
        };
        if let Opened::Write { memory, .. } = opened {
            self.made += 1;
            self.making.insert(memory, tag.clone());
        }
        let open = Open {
            tag,
            _charge: charge,
        };
        self.opens.insert(place, open);
        Ok(opened)
    }

    /// Whether a plugin writes a cell of this tag, or has written it. Plugins that only wait for one do not take the tag.
    pub(crate) fn is_taken(&self, tag: &str) -> bool {
        self.all.get(tag).is_some_and(Cell::is_taken)
    }

    /// The plugins that wait for a cell of this tag with values of another type, if it was not written yet.
    pub(crate) fn misled(&self, tag: &str, kind: &Kind) -> Vec<Place> {
        let cell = self.all.get(tag).filter(|cell| !cell.is_taken());
        let readers = cell.into_iter().flat_map(|cell| &cell.readers);
        let misled = readers.filter(|(_, wanted)| !wanted.is_like(kind));
        misled.map(|(place, _)| *place).collect()
    }

    fn entry(&mut self, tag: &str, kind: &Kind) -> (Arc<str>, &mut Cell) {
        let known = self.all.get_key_value(tag).map(|(tag, _)| tag.clone());
        let tag = known.unwrap_or_else(|| tag.into());
        let cell = self.all.entry(tag.clone()).or_insert_with(|| Cell {
            kind: kind.clone(),
            writer: None,
            memory: None,
            readers: BTreeMap::new(),
        });
        (tag, cell)
    }

    /// A writer has mapped its memory. Returns that memory, to be sealed; `None` if the writer has closed the cell.
    pub(crate) fn written(&mut self, place: Place) -> Result<Option<u64>, Wrong> {
        let Some(open) = self.opens.get(&place) else {
            return self.has_ended(place).map(|()| None);
        };
        let cell = self.all.get_mut(&open.tag);
        let writer = cell.and_then(|cell| cell.writer.as_mut());
        let writer = writer.filter(|writer| writer.place == place);
        let writer = writer.ok_or(Wrong::NotAwaited)?;
        let mapped = writer.stage.mapped(Role::Writer);
        mapped.map_err(|_| Wrong::NotAwaited)?;
        Ok(Some(writer.memory))
    }

    /// Memory was sealed: the cell moves into it. `None` if its writer has ended meanwhile.
    pub(crate) fn sealed(&mut self, memory: u64) -> Option<Moved> {
        let tag = self.making.get(&memory)?;
        let cell = self.all.get_mut(tag)?;
        let writer = cell.writer.as_mut()?;
        if !writer.stage.sealed() {
            return None;
        }
        self.making.remove(&memory);
        let sealed = Sealed {
            memory,
            writer: writer.name.clone(),
        };
        let place = writer.place;
        let before = cell.memory.replace(sealed.clone());
        Some(Moved {
            sealed,
            writer: place,
            len: cell.kind.len,
            readers: cell.readers.keys().copied().collect(),
            before: before.map(|before| before.memory),
            users: cell.users(),
        })
    }

    /// The writer for whom this memory was made, until it is sealed.
    pub(crate) fn writer_of(&self, memory: u64) -> Option<Place> {
        self.writer(memory).map(|writer| writer.place)
    }

    /// Whether this memory is being sealed.
    pub(crate) fn is_sealing(&self, memory: u64) -> bool {
        let writer = self.writer(memory);
        writer.is_some_and(|writer| writer.stage == Stage::Sealing)
    }

    /// The writer for whom this memory was made, until it is sealed.
    fn writer(&self, memory: u64) -> Option<&Writer> {
        let tag = self.making.get(&memory)?;
        self.all.get(tag)?.writer.as_ref()
    }

    /// A plugin closes a cell. Returns what follows from that; `None` if it does not have the cell open any more.
    pub(crate) fn close(&mut self, place: Place) -> Result<Option<Left>, Wrong> {
        let Some(open) = self.opens.remove(&place) else {
            return self.has_ended(place).map(|()| None);
        };
        let mut left = Left::default();
        let Some(cell) = self.all.get_mut(&open.tag) else {
            return Ok(Some(left));
        };
        cell.readers.remove(&place);
        if let Some(writer) = cell.writer.take_if(|writer| writer.place == place) {
            match writer.stage {
                Stage::Sealed => left.readers.extend(cell.readers.keys().copied()),
                // The memory was not sealed, so no reader was told of it.
                _ => {
                    self.making.remove(&writer.memory);
                    left.memory.push(writer.memory);
                    left.unmapped = (writer.stage == Stage::Writer).then_some(writer.memory);
                }
            }
        }
        if cell.writer.is_none() && cell.readers.is_empty() {
            left.memory
                .extend(cell.memory.take().map(|sealed| sealed.memory));
            self.all.remove(&open.tag);
        }
        Ok(Some(left))
    }

    /// The cells that a plugin has open: number, tag, and whether the plugin writes it.
    pub(crate) fn opens_of(&self, plugin: PluginId) -> Vec<(u32, Arc<str>, bool)> {
        let opens = self.opens.range((plugin, 0)..=(plugin, u32::MAX));
        opens
            .map(|(place, open)| (place.1, open.tag.clone(), self.writes(*place, &open.tag)))
            .collect()
    }

    fn writes(&self, place: Place, tag: &str) -> bool {
        let writer = self.all.get(tag).and_then(|cell| cell.writer.as_ref());
        writer.is_some_and(|writer| writer.place == place)
    }

    /// Whether a plugin writes the cell of this tag, or is setting that up.
    pub(crate) fn is_written_by(&self, plugin: PluginId, tag: &str) -> bool {
        let cell = self.all.get(tag);
        cell.and_then(Cell::writer) == Some(plugin)
    }

    /// Forgets a plugin that has ended. Its cells were closed before.
    pub(crate) fn forget(&mut self, plugin: PluginId) {
        self.highest.remove(&plugin);
    }

    /// Fails if no cell was ever open under this number.
    fn has_ended(&self, (plugin, number): Place) -> Result<(), Wrong> {
        let highest = self.highest.get(&plugin);
        match highest.is_some_and(|highest| number <= *highest) {
            true => Ok(()),
            false => Err(Wrong::NeverWas),
        }
    }
}

impl Cell {
    /// The plugin that writes the cell, or is setting that up.
    pub(crate) fn writer(&self) -> Option<PluginId> {
        self.writer.as_ref().map(|writer| writer.place.0)
    }

    /// The plugins that have the cell open for reading.
    pub(crate) fn readers(&self) -> impl Iterator<Item = PluginId> {
        self.readers.keys().map(|(plugin, _)| *plugin)
    }

    fn is_taken(&self) -> bool {
        self.writer.is_some() || self.memory.is_some()
    }

    fn write(&mut self, (wish, kind): (Wish, Kind), memory: u64) -> Opened {
        self.kind = kind;
        let last = self.memory.as_ref().map(|sealed| sealed.memory);
        self.writer = Some(Writer {
            place: wish.place,
            name: wish.name,
            memory,
            stage: Stage::Writer,
        });
        Opened::Write { memory, last }
    }

    fn read(&mut self, place: Place, kind: Kind) -> Opened {
        self.readers.insert(place, kind);
        let is_written = |writer: &Writer| writer.stage == Stage::Sealed;
        match &self.memory {
            Some(sealed) => Opened::Read {
                sealed: sealed.clone(),
                is_written: self.writer.as_ref().is_some_and(is_written),
            },
            None => Opened::Waits,
        }
    }

    fn users(&self) -> BTreeSet<PluginId> {
        self.readers().chain(self.writer()).collect()
    }
}
