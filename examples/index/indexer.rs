//! The indexer: makes the index if there is none, and publishes a new version whenever the file has changed.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use callgate_client::{HandlerError, Plugin, Publisher, Share};

use crate::cli::Role;
use crate::error::Error;
use crate::watch::Watch;
use crate::words::{Index, Source, TAG};

/// The gate that returns the number of the version that matches the file. It is provided once there is an index.
pub(crate) const GATE: &str = "Index.Current";

/// Runs the indexer until the bus ends.
pub(crate) fn run(path: PathBuf) -> Result<(), Error> {
    let plugin = Plugin::connect(Role::Indexer.name())?;
    // Begin to watch before the first look at the file, so that no change is missed.
    let watch = Watch::new(&path).map_err(|reason| Error::file(&path, reason))?;
    let mut index = Indexer::new(&plugin, path)?;
    index.refresh()?;
    let current = index.current.clone();
    let _gate = plugin.provide(GATE, move || current.load(Ordering::Acquire))?;
    thread::spawn(move || {
        while watch.wait().is_ok() {
            // A file that is gone or cannot be read leaves the last index as it is.
            if let Err(error) = index.refresh() {
                let _ = writeln!(std::io::stderr(), "indexer: {error}");
            }
        }
    });
    plugin.wait_closed();
    Ok(())
}

struct Indexer {
    path: PathBuf,
    publisher: Publisher<Index>,
    newest: Share<Index>,
    /// The number of the newest version.
    current: Arc<AtomicU64>,
}

impl Indexer {
    /// Finds the index of an earlier run, or makes one.
    fn new(plugin: &Plugin, path: PathBuf) -> Result<Indexer, Error> {
        // Persistent: the index outlives this process, the readers and the broker.
        let shares = plugin.shares().persistent();
        let newest = shares.try_get_or_create(TAG, || read(&path))?;
        Ok(Indexer {
            publisher: shares.publisher(TAG)?,
            current: Arc::new(AtomicU64::new(newest.version())),
            newest,
            path,
        })
    }

    /// Publishes a new version of the index if the file has changed.
    fn refresh(&mut self) -> Result<(), Error> {
        let now = Source::look(&self.path).map_err(|reason| Error::file(&self.path, reason))?;
        if !self.newest.is_of(&now) {
            let index =
                Index::read(&self.path).map_err(|reason| Error::file(&self.path, reason))?;
            self.newest = self.publisher.publish(&index)?;
        }
        self.current.store(self.newest.version(), Ordering::Release);
        Ok(())
    }
}

fn read(path: &Path) -> Result<Index, HandlerError> {
    let failed = |error| HandlerError::new("FILE", format!("{}: {error}", path.display()));
    Index::read(path).map_err(failed)
}
