//! The shares that a plugin uses, by their tags: who asks for one that is held finds it without the broker, a lock that others hold for
//! long, a system call or memory.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::{Arc, Weak};

use callgate_layout::control::VersionName;
use callgate_layout::shares::page::PageReader;
use parking_lot::RwLock;

use super::follow::Follows;
use super::held::Held;
use super::kind::ShareType;
use super::turns::Turns;
use super::used::{Finds, Used};
use super::watched::Watches;

/// The shares that a plugin uses.
#[derive(Default)]
pub(crate) struct Table {
    slots: RwLock<HashMap<Arc<str>, Slot>>,
    /// Whose thread asks the broker about a tag.
    pub(crate) turns: Turns,
    /// Who follows versions.
    pub(crate) follows: Follows,
    /// Tags that the program is told of.
    pub(crate) watches: Watches,
}

/// What is held of one share.
struct Slot {
    used: Weak<Used>,
    page: PageReader,
    /// The version whose values these are.
    name: VersionName,
    /// A value for each type in which it is held.
    values: Vec<Value>,
}

struct Value {
    of: TypeId,
    held: Weak<dyn Any + Send + Sync>,
}

/// What there is of a tag.
pub(crate) enum Found {
    Nothing,
    Used(Arc<Used>),
    /// The last one that used it is about to tell the broker.
    Leaving,
}

impl Table {
    /// What is held of the newest version, in this type; `None` where the broker is to be asked.
    #[inline]
    pub(crate) fn find<T: ShareType + ?Sized>(
        &self,
        tag: &str,
        exact: bool,
    ) -> Option<Arc<Held<T>>> {
        let slots = self.slots.read();
        let slot = slots.get(tag)?;
        if slot.page.number() != slot.name.number {
            return None;
        }
        let held = slot.value(TypeId::of::<T>())?;
        drop(slots);
        let held = held.downcast::<Held<T>>().ok()?;
        (!exact || !held.is_converted).then_some(held)
    }

    /// The same as those that are found have it.
    pub(crate) fn finds(self: &Arc<Table>) -> Weak<dyn Finds> {
        let finds: Arc<dyn Finds> = self.clone();
        Arc::downgrade(&finds)
    }

    /// What there is of a tag.
    pub(crate) fn look(&self, tag: &str) -> Found {
        match self.slots.read().get(tag) {
            None => Found::Nothing,
            Some(slot) => slot.used.upgrade().map_or(Found::Leaving, Found::Used),
        }
    }

    /// The use of a tag, if there is one.
    pub(crate) fn used(&self, tag: &str) -> Option<Arc<Used>> {
        match self.look(tag) {
            Found::Used(used) => Some(used),
            Found::Nothing | Found::Leaving => None,
        }
    }

    /// All that are used.
    pub(crate) fn all(&self) -> Vec<Arc<Used>> {
        let slots = self.slots.read();
        slots
            .values()
            .filter_map(|slot| slot.used.upgrade())
            .collect()
    }

    /// A share is used, as its place says.
    pub(crate) fn put_used(&self, used: &Arc<Used>) {
        let Some(place) = used.place() else {
            return;
        };
        let slot = Slot {
            used: Arc::downgrade(used),
            page: place.page,
            name: VersionName {
                incarnation: place.incarnation,
                number: 0,
            },
            values: Vec::new(),
        };
        let before = self.slots.write().insert(used.tag.clone(), slot);
        drop(before);
    }

    /// A value is held of a share. Where another thread holds one of the same version and type already, that is given back.
    pub(crate) fn put<T: ShareType + ?Sized>(&self, held: Arc<Held<T>>) -> Arc<Held<T>> {
        let (of, used) = (TypeId::of::<T>(), Arc::downgrade(&held.used));
        let mut slots = self.slots.write();
        let Some(slot) = slots.get_mut(&*held.used.tag) else {
            return held;
        };
        // The newest version of another use is found there.
        if !Weak::ptr_eq(&slot.used, &used) {
            return held;
        }
        if slot.name != held.name {
            if slot.name.incarnation == held.name.incarnation && slot.name.number > held.name.number
            {
                return held;
            }
            slot.name = held.name;
            slot.values.clear();
        }
        slot.values.retain(|value| value.held.strong_count() > 0);
        let same = slot
            .value(of)
            .and_then(|same| same.downcast::<Held<T>>().ok());
        if let Some(same) = &same
            && same.is_converted == held.is_converted
        {
            // What is dropped from here on may lock the table.
            drop(slots);
            return same.clone();
        }
        slot.values.retain(|value| value.of != of);
        let any: Arc<dyn Any + Send + Sync> = held.clone();
        let held_weak = Arc::downgrade(&any);
        slot.values.push(Value {
            of,
            held: held_weak,
        });
        drop(slots);
        drop(same);
        held
    }

    /// The next broker knows a use, and has another page for it.
    pub(crate) fn moved(&self, used: &Arc<Used>) {
        let Some(place) = used.place() else {
            return;
        };
        let mut slots = self.slots.write();
        if let Some(slot) = slots.get_mut(&*used.tag)
            && std::ptr::eq(slot.used.as_ptr(), &**used)
        {
            if slot.name.incarnation != place.incarnation {
                // Its number may be that of the newest version there.
                slot.name = VersionName {
                    incarnation: place.incarnation,
                    number: 0,
                };
                slot.values.clear();
            }
            slot.page = place.page;
        }
    }

    /// A use is not found by its tag any more; who holds something of it keeps that.
    pub(crate) fn remove(&self, used: &Arc<Used>) {
        self.left(&used.tag, used);
    }

    /// The plugin has closed: nothing is found any more.
    pub(crate) fn clear(&self) {
        let before = std::mem::take(&mut *self.slots.write());
        drop(before);
        self.turns.changed();
        self.follows.changed();
    }
}

impl Finds for Table {
    fn left(&self, tag: &str, used: &Used) {
        let mut slots = self.slots.write();
        if slots
            .get(tag)
            .is_some_and(|slot| std::ptr::eq(slot.used.as_ptr(), used))
        {
            slots.remove(tag);
        }
        drop(slots);
        self.turns.changed();
    }
}

impl Slot {
    #[inline]
    fn value(&self, of: TypeId) -> Option<Arc<dyn Any + Send + Sync>> {
        let value = self.values.iter().find(|value| value.of == of)?;
        value.held.upgrade()
    }
}
