//! VERSION-PUBLISHED: a broker that registers versions of a share, and a user that sleeps on its page.

use std::sync::Arc;

use callgate_layout::shares::page::{PageReader, PageWriter};
use callgate_layout::view::{Use, WriteView};
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread;

use crate::bench::{Futex, Without, check};

/// The memory that broker and user share.
struct Share {
    writer: PageWriter,
    reader: PageReader,
    queue: Futex,
    /// The version with which the broker answers a `Fetch`.
    registered: AtomicU64,
}

impl Share {
    fn new() -> Arc<Share> {
        let page = WriteView::heap([Use::Wide]);
        let reader = PageReader::new(page.as_read().clone());
        Arc::new(Share {
            writer: PageWriter::new(page),
            reader,
            queue: Futex::new(),
            registered: AtomicU64::new(0),
        })
    }
}

/// The broker publishes two versions; the user sleeps until it has the last one, and looks again before it sleeps.
fn follow(without: Without) {
    let share = Share::new();
    let broker = thread::spawn({
        let share = share.clone();
        move || {
            for number in 1..=2 {
                share.registered.store(number, Ordering::Relaxed);
                share.writer.store(number);
                share.queue.wake();
            }
        }
    });
    let mut had = 0;
    while had < 2 {
        let number = share.reader.number();
        if number != had {
            had = share.registered.load(Ordering::Relaxed);
            assert!(
                had >= number,
                "a number stood on the page before its version was there"
            );
            continue;
        }
        share.queue.wait(|| match without {
            Without::SecondLook => true,
            _ => share.reader.number() == number,
        });
    }
    broker.join().unwrap();
}

#[test]
fn no_version_is_slept_through_and_each_is_there() {
    check(None, || follow(Without::Nothing));
}

#[test]
#[should_panic(expected = "deadlock")]
fn without_the_second_look_a_version_is_slept_through() {
    check(None, || follow(Without::SecondLook));
}
