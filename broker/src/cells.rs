//! Cells: which there are, who writes and who reads each, and in which memory it lies. Pure; the records stand in
//! `layout/src/control/cells.rs`.
//!
//! ```text
//! a writer's memory   entered by                          left by
//! Writer              `Write` to who opened the cell      its `Written`
//! Sealing             `Written`                           the shell has closed it to further writers
//! Sealed              the same; readers are told `Read`   the next writer's is sealed, or the cell is gone
//! ```
//!
//! A cell is there as long as somebody has it open. What was sealed last is what it is read in, also when its writer has gone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use callgate_layout::control::Role;

use crate::id::PluginId;
use crate::quota::Charge;
use crate::stages::Stage;

/// A cell that a plugin has open, by the number that this gave it.
pub(crate) type Place = (PluginId, u32);

/// What the values of a cell are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) fingerprint: u128,
    pub(crate) signature: String,
    pub(crate) len: u32,
}

impl Kind {
    /// Whether values of the one are values of the other.
    fn is_like(&self, other: &Kind) -> bool {
        (self.fingerprint, self.len) == (other.fingerprint, other.len)
    }
}

/// One cell.
#[derive(Debug)]
pub(crate) struct Cell {
    /// Of who writes it, or has; of one that nobody has written, of who waited for it first.
    pub(crate) kind: Kind,
    writer: Option<Writer>,
    /// What it is read in.
    memory: Option<Sealed>,
    /// Those that read it, or wait for that, each with what it wants.
    readers: BTreeMap<Place, Kind>,
}

/// Who writes a cell, or is about to.
#[derive(Debug)]
struct Writer {
    place: Place,
    name: String,
    memory: u64,
    stage: Stage,
}

/// Memory that was sealed, with the name of its writer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sealed {
    pub(crate) memory: u64,
    pub(crate) writer: String,
}

/// What a plugin has open.
#[derive(Debug)]
struct Open {
    tag: Arc<str>,
    _charge: Charge,
}

/// Who opens a cell, and for what.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) place: Place,
    /// The plugin's name.
    pub(crate) name: String,
    pub(crate) writes: bool,
    pub(crate) waits: bool,
}

/// What is to be done for one who has opened a cell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// It writes: memory of this number is to be made for it; beside it the memory of the writer before.
    Write { memory: u64, last: Option<u64> },
    /// It reads this; whether somebody writes it.
    Read { sealed: Sealed, is_written: bool },
    /// It reads what the first writer will write.
    Waits,
}

/// Why a cell cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    NumberInUse,
    /// It has values of this kind.
    Kind(Kind),
    /// This plugin writes it.
    Written(PluginId),
    /// Nobody has written it, and who wants to read does not wait.
    Nothing,
}

/// A plugin named a cell that it cannot mean.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    NeverWas,
    NotAwaited,
}

/// A cell lies in other memory from now on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) sealed: Sealed,
    /// Who writes it.
    pub(crate) writer: Place,
    pub(crate) len: u32,
    pub(crate) readers: Vec<Place>,
    /// What it lay in before.
    pub(crate) before: Option<u64>,
    /// Who may have been sent that and not have read it.
    pub(crate) users: BTreeSet<PluginId>,
}

/// A plugin has a cell open no more.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    /// Those whose cell has no writer now.
    pub(crate) readers: Vec<Place>,
    /// Memory that is of no more use.
    pub(crate) memory: Vec<u64>,
    /// That of it which its writer has not said to have mapped.
    pub(crate) unmapped: Option<u64>,
}

/// All cells.
#[derive(Debug, Default)]
pub(crate) struct Cells {
    all: BTreeMap<Arc<str>, Cell>,
    opens: BTreeMap<Place, Open>,
    /// Memory that is not sealed yet, with the cell that it is for.
    making: HashMap<u64, Arc<str>>,
    /// The highest number under which each plugin has opened a cell.
    highest: HashMap<PluginId, u32>,
    /// How much memory there was.
    made: u64,
}

impl Cells {
    /// All of them by tag, each with the plugin that writes it and those that read it.
    pub(crate) fn all(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, &Cell)> {
        self.all.iter()
    }

    /// Opens a cell, which comes to be where there is none.
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
        // Who waits has written nothing: others may wait for something else.
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

    /// Whether somebody writes a cell of this tag, or has written it. Who only waits for one keeps the tag from nobody.
    pub(crate) fn is_taken(&self, tag: &str) -> bool {
        self.all.get(tag).is_some_and(Cell::is_taken)
    }

    /// Those that wait for a cell of this tag with other values, of which none was written.
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

    /// A writer has mapped its memory, which is to be sealed; `None` where the cell is open no more.
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

    /// Memory was sealed: what it lies in from now on. `None` where its writer has gone meanwhile.
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

    /// Who is to map this memory, or has, before it is sealed.
    pub(crate) fn writer_of(&self, memory: u64) -> Option<Place> {
        self.writer(memory).map(|writer| writer.place)
    }

    /// Whether the shell seals this memory, which its writer has mapped.
    pub(crate) fn is_sealing(&self, memory: u64) -> bool {
        let writer = self.writer(memory);
        writer.is_some_and(|writer| writer.stage == Stage::Sealing)
    }

    /// The writer for whom memory is made.
    fn writer(&self, memory: u64) -> Option<&Writer> {
        let tag = self.making.get(&memory)?;
        self.all.get(tag)?.writer.as_ref()
    }

    /// A plugin uses a cell no longer. `None` where it was open no more.
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
                // Nobody was told of it.
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

    /// The cells that a plugin has open: their numbers and tags, and whether it writes them.
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

    /// Whether a plugin writes the cell of this tag, or is about to.
    pub(crate) fn is_written_by(&self, plugin: PluginId, tag: &str) -> bool {
        let cell = self.all.get(tag);
        cell.and_then(Cell::writer) == Some(plugin)
    }

    /// A plugin has gone, which had its cells closed before.
    pub(crate) fn forget(&mut self, plugin: PluginId) {
        self.highest.remove(&plugin);
    }

    /// Whether a number is one under which a cell was open.
    fn has_ended(&self, (plugin, number): Place) -> Result<(), Wrong> {
        let highest = self.highest.get(&plugin);
        match highest.is_some_and(|highest| number <= *highest) {
            true => Ok(()),
            false => Err(Wrong::NeverWas),
        }
    }
}

impl Cell {
    /// Who writes it, or is about to.
    pub(crate) fn writer(&self) -> Option<PluginId> {
        self.writer.as_ref().map(|writer| writer.place.0)
    }

    /// Those that have it open to read it.
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
