//! The dispatchers whose handlers a thread runs while it waits inside a chain: those of which it is a serving or
//! pumping thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::Dispatcher;

thread_local! {
    /// The dispatchers whose handlers this thread may run; `None` for most threads.
    static DISPATCHERS: RefCell<Option<Rc<[Arc<Dispatcher>]>>> = const { RefCell::new(None) };
}

/// From now on this thread runs a dispatcher's handlers while it waits inside a chain.
pub(crate) fn serve_here(dispatcher: &Arc<Dispatcher>) {
    change(|dispatchers| {
        if !dispatchers
            .iter()
            .any(|other| Arc::ptr_eq(other, dispatcher))
        {
            dispatchers.push(dispatcher.clone());
        }
    });
}

/// From now on this thread runs no more handlers of a dispatcher.
pub(crate) fn leave_here(dispatcher: &Arc<Dispatcher>) {
    change(|dispatchers| dispatchers.retain(|other| !Arc::ptr_eq(other, dispatcher)));
}

fn change(how: impl FnOnce(&mut Vec<Arc<Dispatcher>>)) {
    let old = DISPATCHERS.try_with(|dispatchers| {
        let mut new = dispatchers
            .borrow()
            .as_deref()
            .map_or(Vec::new(), <[_]>::to_vec);
        new.retain(|dispatcher| !dispatcher.changes().is_closing());
        how(&mut new);
        dispatchers.replace((!new.is_empty()).then(|| new.into()))
    });
    // Dropped when the list is not borrowed any more: what a dispatcher holds may come back here when it is
    // dropped.
    drop(old);
}

/// The dispatchers whose handlers this thread may run while it waits; `None` if there are none.
#[inline]
pub(crate) fn dispatchers() -> Option<Rc<[Arc<Dispatcher>]>> {
    DISPATCHERS
        .try_with(|dispatchers| dispatchers.borrow().clone())
        .ok()?
}
