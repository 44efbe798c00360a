//! The files of all plugins: opened when they are needed, closed when they are not used, and moved aside if they are damaged.
//!
//! | what | when its file is damaged |
//! |---|---|
//! | the call that finds the damage | fails with `STORE_DAMAGED`, which names the file and its new name |
//! | the file | is renamed and kept; the services do not open it again |
//! | the next call | finds an empty store |

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use callgate_client::HandlerError;
use redb::Database;
use serde_json::json;

use crate::limits::Limits;
use crate::pairs;
use crate::refusal::{invalid, over_quota};

/// What the pairs in a file are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Pairs that the plugin stores itself.
    Kv,
    /// Settings of the plugin that its host has set.
    Config,
}

impl Kind {
    const ALL: [Kind; 2] = [Kind::Kv, Kind::Config];

    fn folder(self) -> &'static str {
        match self {
            Kind::Kv => "kv",
            Kind::Config => "config",
        }
    }
}

/// What to do if the file is not there: make it or leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Make,
    Leave,
}

/// The ending of the names of files.
const ENDING: &str = "redb";
/// The most bytes of a file's name without its ending. File systems take 255 with the longest ending.
const NAME: usize = 200;
/// Memory for the cache of an open file.
const CACHE: usize = 256 << 10;

/// The files of all plugins.
pub(crate) struct Stores {
    folder: PathBuf,
    open: HashMap<PathBuf, Open>,
    /// Files that were opened before, and were checked as a whole by that.
    checked: HashSet<PathBuf>,
    most_open: usize,
    idle: Duration,
    /// How many files of one kind there may be.
    most: usize,
}

struct Open {
    database: Database,
    used: Instant,
}

/// Why a file cannot be used.
enum Trouble {
    /// Its content is not valid.
    Damaged(String),
    Failed(redb::Error),
}

impl From<redb::Error> for Trouble {
    fn from(error: redb::Error) -> Trouble {
        let is_damage = match &error {
            redb::Error::Io(error) => matches!(
                error.kind(),
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof
            ),
            redb::Error::Corrupted(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TypeDefinitionChanged { .. }
            | redb::Error::TableDoesNotExist(_) => true,
            _ => false,
        };
        match is_damage {
            true => Trouble::Damaged(error.to_string()),
            false => Trouble::Failed(error),
        }
    }
}

impl Stores {
    /// Makes the folders, which only this user can access.
    pub(crate) fn new(folder: &Path, limits: &Limits) -> io::Result<Stores> {
        for kind in Kind::ALL {
            let folder = folder.join(kind.folder());
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)?;
        }
        Ok(Stores {
            folder: folder.to_owned(),
            open: HashMap::new(),
            checked: HashSet::new(),
            most_open: limits.open_stores,
            idle: limits.idle,
            most: limits.stores,
        })
    }

    /// Runs a function with a plugin's file. `None` if the file is not there and is not to be made.
    pub(crate) fn with<T>(
        &mut self,
        (kind, plugin): (Kind, &str),
        missing: Missing,
        act: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<Option<T>, HandlerError> {
        let path = self.path(kind, plugin)?;
        if !self.open.contains_key(&path) {
            let is_there = path.exists();
            if !is_there && missing == Missing::Leave {
                return Ok(None);
            }
            if !is_there && self.count(kind) >= self.most {
                return Err(over_quota("stores", self.most as u64));
            }
            self.open(&path, is_there)?;
        }
        let Some(open) = self.open.get_mut(&path) else {
            return Ok(None);
        };
        open.used = Instant::now();
        let outcome = guarded(|| act(&open.database));
        let outcome = outcome.map_err(|trouble| self.give_up(&path, trouble));
        outcome.map(Some)
    }

    fn open(&mut self, path: &Path, is_there: bool) -> Result<(), HandlerError> {
        self.make_room();
        let is_checked = self.checked.contains(path);
        let database = guarded(|| match is_there {
            true => open(path, is_checked),
            false => make(path),
        });
        let database = database.map_err(|trouble| self.give_up(path, trouble))?;
        self.checked.insert(path.to_owned());
        let used = Instant::now();
        self.open.insert(path.to_owned(), Open { database, used });
        Ok(())
    }

    /// When the next file will have been idle for long enough to be closed.
    pub(crate) fn next(&self) -> Option<Instant> {
        let used = self.open.values().map(|open| open.used).min();
        used.map(|used| used + self.idle)
    }

    /// Closes files that have been idle for long enough.
    pub(crate) fn sweep(&mut self, now: Instant) {
        let idle = self.idle;
        self.open.retain(|_, open| open.used + idle > now);
    }

    /// If as many files are open as may be, closes the one that was not used for the longest time.
    fn make_room(&mut self) {
        if self.open.len() < self.most_open {
            return;
        }
        let oldest = self.open.iter().min_by_key(|(_, open)| open.used);
        if let Some(path) = oldest.map(|(path, _)| path.clone()) {
            self.open.remove(&path);
        }
    }

    /// Closes a file that cannot be used, and moves it aside if it is damaged.
    fn give_up(&mut self, path: &Path, trouble: Trouble) -> HandlerError {
        let open = self.open.remove(path);
        // Closing the file may panic over the same damage.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(open)));
        match trouble {
            Trouble::Failed(error) => {
                tracing::error!(file = %path.display(), %error, "a store cannot be used");
                HandlerError::new("STORE_FAILED", format!("the store cannot be used: {error}"))
            }
            Trouble::Damaged(why) => move_aside(path, &why),
        }
    }

    /// Returns how many files of a kind there are.
    fn count(&self, kind: Kind) -> usize {
        let entries = fs::read_dir(self.folder.join(kind.folder()));
        entries.map_or(0, |entries| {
            let paths = entries.flatten().map(|entry| entry.path());
            paths
                .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
                .count()
        })
    }

    fn path(&self, kind: Kind, plugin: &str) -> Result<PathBuf, HandlerError> {
        let name = file_name(plugin);
        if name.len() > NAME {
            let text = "the name of the calling plugin, which is too long for that of a file";
            return Err(invalid("plugin", text));
        }
        let file = format!("{name}.{ENDING}");
        Ok(self.folder.join(kind.folder()).join(file))
    }
}

/// The name of a plugin's file: the plugin's name, in which everything but letters, digits, `-` and `_` is written as `%` and two
/// hexadecimal digits.
fn file_name(plugin: &str) -> String {
    let bytes = plugin.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    bytes.collect()
}

/// Opens a file. The first time, it is checked as a whole: otherwise bytes that another program has written into it could be taken for
/// data.
fn open(path: &Path, is_checked: bool) -> Result<Database, redb::Error> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    builder.set_check_integrity_on_open(!is_checked);
    Ok(builder.open(path)?)
}

/// Makes a file. It gets its name only when its tables are there, so that a file of this name always has them.
fn make(path: &Path) -> Result<Database, redb::Error> {
    let unfinished = path.with_extension("new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE);
    let database = builder.create(&unfinished)?;
    pairs::found(&database)?;
    fs::rename(&unfinished, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok(database)
}

/// Runs a function that may panic over a damaged file.
fn guarded<T>(act: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, Trouble> {
    match catch_unwind(AssertUnwindSafe(act)) {
        Ok(outcome) => outcome.map_err(Trouble::from),
        Err(_) => Err(Trouble::Damaged("reading it panicked".to_owned())),
    }
}

#[cold]
fn move_aside(path: &Path, why: &str) -> HandlerError {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let aside = path.with_extension(format!("damaged-{}", now.as_millis()));
    let moved = fs::rename(path, &aside);
    let (from, to) = (path.display().to_string(), aside.display().to_string());
    tracing::error!(
        file = from,
        moved_to = to,
        ?moved,
        why,
        "a store is damaged"
    );
    let text = match &moved {
        Ok(()) => format!("{from} is damaged ({why}) and is now {to}; the store is empty"),
        Err(error) => format!("{from} is damaged ({why}), and cannot be moved aside: {error}"),
    };
    let context = json!({ "file": from, "moved_to": moved.is_ok().then_some(to) });
    HandlerError::new("STORE_DAMAGED", text).with_context(context)
}
