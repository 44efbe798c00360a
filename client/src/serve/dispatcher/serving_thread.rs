//! For which plugins a thread runs handlers while it waits inside a chain: those that it dispatches for,
//! or pumps.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::Dispatcher;

thread_local! {
    /// The plugins whose handlers this thread may run; `None` for most threads.
    static DISPATCHERS: RefCell<Option<Rc<[Arc<Dispatcher>]>>> = const { RefCell::new(None) };
}

/// From now on this thread runs handlers of a plugin while it waits inside a chain.
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

/// This thread runs no more handlers of a plugin.
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
    // Not while the list is borrowed: what a dispatcher holds may come back here when it is dropped.
    drop(old);
}

/// The plugins whose handlers this thread may run while it waits; `None` where there is none.
#[inline]
pub(crate) fn dispatchers() -> Option<Rc<[Arc<Dispatcher>]>> {
    DISPATCHERS
        .try_with(|dispatchers| dispatchers.borrow().clone())
        .ok()?
}
