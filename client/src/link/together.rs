//! Answers that a thread gives together: it publishes all of them first, and then rings each caller's bell once. It rings
//! before it waits for something, too.
//!
//! Each answer is published as usual, and then the thread looks how its caller is to be woken (REPLY-OR-WAITER). A
//! caller that is awake sees the answer at once. Only the ringing for callers that sleep is deferred. A bell that is
//! rung late, or after its caller has given it back, only causes one more look. If this process ends before it rings,
//! its callers learn of its end as usual.

use std::cell::RefCell;
use std::mem;
use std::sync::Arc;

use super::Link;

thread_local! {
    /// The bells to ring; `None` while answers are given one by one.
    static BELLS: RefCell<Option<Bells>> = const { RefCell::new(None) };
}

/// Each bell comes with its link, which keeps the memory of a peer that goes meanwhile.
type Bells = Vec<(Arc<Link>, u8)>;

/// Rings the bells when it is dropped, also if the work panics.
struct Together;

impl Drop for Together {
    fn drop(&mut self) {
        let bells = BELLS.try_with(RefCell::take).unwrap_or_default();
        ring_all(bells.unwrap_or_default());
    }
}

fn ring_all(bells: Bells) {
    for (link, bell) in bells {
        // In a forked child no bell is mapped; its parent rings.
        if link.is_here() {
            link.peer_bell().ring_callers(bell);
        }
    }
}

/// Rings the bells that are put off, because this thread is about to wait. What is answered after that is put off again.
#[cold]
pub(crate) fn ring_before_wait() {
    let put_off = |bells: &RefCell<Option<Bells>>| bells.borrow_mut().as_mut().map(mem::take);
    let bells = BELLS.try_with(put_off).ok().flatten();
    ring_all(bells.unwrap_or_default());
}

/// Runs `work`, whose answers are given together. Inside of another such call this one is a part of that.
pub(crate) fn answer_together<T>(work: impl FnOnce() -> T) -> T {
    let begin = |bells: &RefCell<Option<Bells>>| {
        let mut bells = bells.borrow_mut();
        let is_outermost = bells.is_none();
        bells.get_or_insert_default();
        is_outermost
    };
    let is_outermost = BELLS.try_with(begin).unwrap_or(false);
    // Inside of another call, that one rings.
    let _together = match is_outermost {
        true => Some(Together),
        false => None,
    };
    work()
}

/// Rings a caller's bell: at once, or after all answers that are given together are published.
pub(crate) fn ring(link: &Arc<Link>, bell: u8) {
    // A responder may be dropped while its thread ends, when these are gone already.
    let put_off = BELLS.try_with(|bells| put_off(&mut bells.borrow_mut(), link, bell));
    if !put_off.unwrap_or(false) {
        link.peer_bell().ring_callers(bell);
    }
}

/// Notes a bell, if answers are given together.
fn put_off(bells: &mut Option<Bells>, link: &Arc<Link>, bell: u8) -> bool {
    let Some(bells) = bells else {
        return false;
    };
    let mut known = bells.iter();
    if !known.any(|(other, known)| *known == bell && Arc::ptr_eq(other, link)) {
        bells.push((link.clone(), bell));
    }
    true
}
