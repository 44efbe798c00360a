//! The roles `share-writer NAME TAG FILE`, which publishes versions, and `share-reader NAME TAG FILE`, which follows them.
//!
//! The writer writes the number of each version that it has published into the file. So a reader that has read a
//! number there knows that it must be given this version or a later one.
//!
//! The writer answers `run PER_SECOND LEN` and `stop` with how many versions it has published in all, and `one LEN`
//! with the number of the version that it has published. The reader follows from its start on, and answers `seen`
//! with how many versions it was given and the number of the last. A fault ends its process.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use callgate_client::{Plugin, Publisher, Result, Versions};

use super::{Content, answer, number};

/// How long a reader waits for the next version before it looks at the file again.
const WAIT: Duration = Duration::from_millis(500);

/// The most time that a delayed writer makes up for.
const MOST_BEHIND: Duration = Duration::from_millis(200);

/// The number of the newest version, in a file.
struct Note(File);

impl Note {
    fn open(path: &str) -> Note {
        let options = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        Note(options.expect("the file"))
    }

    fn write(&self, number: u64) {
        self.0
            .write_all_at(&number.to_le_bytes(), 0)
            .expect("it is written");
    }

    fn read(&self) -> u64 {
        let mut bytes = [0; 8];
        match self.0.read_exact_at(&mut bytes, 0) {
            Ok(()) => u64::from_le_bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            Err(error) => panic!("the file: {error}"),
        }
    }
}

struct Writer {
    tag: String,
    publisher: Publisher<Content>,
    note: Note,
    count: AtomicU64,
    is_over: AtomicBool,
}

pub(super) fn write(name: &str, more: &[String]) -> Result<()> {
    let [tag, file] = more else {
        panic!("usage: callgate-peer share-writer NAME TAG FILE");
    };
    let plugin = Plugin::connect(name)?;
    let writer = Arc::new(Writer {
        tag: tag.clone(),
        publisher: plugin.shares().publisher(tag)?,
        note: Note::open(file),
        count: AtomicU64::default(),
        is_over: AtomicBool::default(),
    });
    let mut thread = None;
    answer(|words| writer.obey(words, &mut thread));
    Ok(())
}

impl Writer {
    fn obey(self: &Arc<Writer>, words: &[&str], thread: &mut Option<JoinHandle<()>>) -> String {
        match words[0] {
            "run" => {
                let pause = Duration::from_secs(1) / number(words, 1) as u32;
                let (writer, len) = (self.clone(), number(words, 2) as usize);
                *thread = Some(thread::spawn(move || writer.run(pause, len)));
            }
            "stop" => {
                self.is_over.store(true, Ordering::Relaxed);
                let ended = thread.take().map(JoinHandle::join);
                ended.expect("it runs").expect("no panic");
                self.is_over.store(false, Ordering::Relaxed);
            }
            "one" => return self.publish(number(words, 1) as usize).to_string(),
            other => panic!("{other}"),
        }
        self.count.load(Ordering::Relaxed).to_string()
    }

    /// Publishes at such intervals, on average: it makes up for delays, up to a limit.
    fn run(&self, interval: Duration, len: usize) {
        let mut next = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            self.publish(len);
            let earliest = Instant::now().checked_sub(MOST_BEHIND);
            next = earliest.map_or(next, |earliest| next.max(earliest)) + interval;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    fn publish(&self, len: usize) -> u64 {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        let content = Content::new(&self.tag, count, len);
        let newest = self.publisher.publish(&content).expect("it is published");
        self.note.write(newest.version());
        newest.version()
    }
}

pub(super) fn read(name: &str, more: &[String]) -> Result<()> {
    let [tag, file] = more else {
        panic!("usage: callgate-peer share-reader NAME TAG FILE");
    };
    let plugin = Plugin::connect(name)?;
    let versions = plugin.shares().versions(tag)?;
    let seen = Arc::<(AtomicU64, AtomicU64)>::default();
    let (told, tag, note) = (seen.clone(), tag.clone(), Note::open(file));
    thread::spawn(move || follow(&versions, &tag, &note, &told));
    answer(|_| {
        let (count, last) = &*seen;
        format!(
            "{} {}",
            count.load(Ordering::Relaxed),
            last.load(Ordering::Relaxed)
        )
    });
    Ok(())
}

/// Takes each version that it is given. Checks that it is whole, newer than the last one, and at least as new as the
/// version that the file named before it was asked for.
fn follow(versions: &Versions<Content>, tag: &str, note: &Note, seen: &(AtomicU64, AtomicU64)) {
    let mut last = 0;
    loop {
        let published = note.read();
        let new = versions
            .changed(WAIT)
            .unwrap_or_else(|error| panic!("{tag} after {last}: {error}"));
        let Some(share) = new else {
            assert!(
                last >= published,
                "{tag}: nothing new after {last}, {published} is there"
            );
            continue;
        };
        let version = share.version();
        share.check(tag);
        assert!(version > last, "{tag}: {version} after {last}");
        assert!(
            version >= published,
            "{tag}: {version} where {published} was there"
        );
        last = version;
        seen.1.store(version, Ordering::Relaxed);
        seen.0.fetch_add(1, Ordering::Relaxed);
    }
}
