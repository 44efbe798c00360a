//! The allocator of payload blocks.

use std::sync::Arc;

use callgate_layout::blocks::{self, Blocks, Region};
use loom::sync::Mutex;
use loom::thread;

use crate::bench::{Link, Without, check, geometry};

/// BLOCKS-FREED: without release and acquire a block's next holder would write where the last one
/// may still write or read. The payload watch sees it if two ever hold a block at once.
#[test]
fn a_block_is_held_by_one_at_a_time() {
    check(None, || {
        let link = Link::new(1, Without::Nothing);
        let blocks = Arc::new(Blocks::new(Region::outbox(geometry(1))));
        // Three blocks are left for two threads that want two each, one after the other.
        let rest = blocks.allocate(61 * 8).unwrap();
        let work = |value: u64| {
            let (link, blocks) = (link.clone(), blocks.clone());
            move || {
                for len in [16, 8] {
                    let Some(run) = blocks.allocate(len) else {
                        continue;
                    };
                    let bytes = [value.to_ne_bytes(); 2].concat();
                    blocks::write(
                        &link.calls,
                        Region::outbox(link.geometry),
                        run,
                        &bytes[..len],
                    );
                    let mut back = [0; 16];
                    let inbox = link.calls.as_read();
                    blocks::read(
                        inbox,
                        Region::outbox(link.geometry),
                        run.first(),
                        &mut back[..len],
                    );
                    assert_eq!(back[..len], bytes[..len]);
                    blocks.free(run);
                }
            }
        };
        let other = thread::spawn(work(1));
        work(2)();
        other.join().unwrap();
        blocks.free(rest);
        assert_eq!(blocks.taken(), 0);
    });
}

/// Blocks that were freed can be taken at once.
#[test]
fn a_freed_block_is_found() {
    check(None, || {
        let blocks = Arc::new(Blocks::new(Region::outbox(geometry(1))));
        let all = Mutex::new(blocks.allocate(512));
        let other = thread::spawn({
            let blocks = blocks.clone();
            move || blocks.free(all.lock().unwrap().take().unwrap())
        });
        let run = loop {
            match blocks.allocate(512) {
                Some(run) => break run,
                None => thread::yield_now(),
            }
        };
        other.join().unwrap();
        blocks.free(run);
        assert_eq!(blocks.taken(), 0);
    });
}
