//! The shares that a plugin uses, by tag. A thread that asks for a share which the plugin holds finds it here,
//! without asking the broker, without system call or allocation, and without a lock that another thread holds for
//! long.

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
    /// Decides which thread asks the broker about a tag.
    pub(crate) turns: Turns,
    /// The followers of versions.
    pub(crate) follows: Follows,
    /// The tags that the program watches.
    pub(crate) watches: Watches,
}

/// What the plugin has of one share.
struct Slot {
    used: Weak<Used>,
    page: PageReader,
    /// The version to which `values` belong.
    name: VersionName,
    /// The values that guards hold, one for each type.
    values: Vec<Value>,
}

struct Value {
    of: TypeId,
    held: Weak<dyn Any + Send + Sync>,
}

/// The state of a tag in the table.
pub(crate) enum Found {
    Nothing,
    Used(Arc<Used>),
    /// The last user in this plugin has dropped it, and is about to tell the broker.
    Leaving,
}

impl Table {
    /// Returns the newest version in this type, if a guard holds it; `None` if the broker has to be asked.
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

    /// A handle of this table for the uses in it, which remove themselves when they end.
    pub(crate) fn finds(self: &Arc<Table>) -> Weak<dyn Finds> {
        let finds: Arc<dyn Finds> = self.clone();
        Arc::downgrade(&finds)
    }

    /// Looks a tag up.
    pub(crate) fn look(&self, tag: &str) -> Found {
        match self.slots.read().get(tag) {
            None => Found::Nothing,
            Some(slot) => slot.used.upgrade().map_or(Found::Leaving, Found::Used),
        }
    }

    /// The use of a tag; `None` if there is none, or it is just ending.
    pub(crate) fn used(&self, tag: &str) -> Option<Arc<Used>> {
        match self.look(tag) {
            Found::Used(used) => Some(used),
            Found::Nothing | Found::Leaving => None,
        }
    }

    /// All uses.
    pub(crate) fn all(&self) -> Vec<Arc<Used>> {
        let slots = self.slots.read();
        slots
            .values()
            .filter_map(|slot| slot.used.upgrade())
            .collect()
    }

    /// Adds a share that the plugin uses from now on, with the page that its place names.
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

    /// Adds a value, and returns it. If another thread has added one of the same version and type, returns that one
    /// instead.
    pub(crate) fn put<T: ShareType + ?Sized>(&self, held: Arc<Held<T>>) -> Arc<Held<T>> {
        let (of, used) = (TypeId::of::<T>(), Arc::downgrade(&held.used));
        let mut slots = self.slots.write();
        let Some(slot) = slots.get_mut(&*held.used.tag) else {
            return held;
        };
        // The tag has another use by now, whose page this version does not belong to.
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
            // Unlock first: what is dropped from here on may lock the table.
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

    /// Notes the page that the next broker has for a use.
    pub(crate) fn moved(&self, used: &Arc<Used>) {
        let Some(place) = used.place() else {
            return;
        };
        let mut slots = self.slots.write();
        if let Some(slot) = slots.get_mut(&*used.tag)
            && std::ptr::eq(slot.used.as_ptr(), &**used)
        {
            if slot.name.incarnation != place.incarnation {
                // Version numbers of another broker count anew, so an old number could equal that of the newest
                // version there.
                slot.name = VersionName {
                    incarnation: place.incarnation,
                    number: 0,
                };
                slot.values.clear();
            }
            slot.page = place.page;
        }
    }

    /// Removes a use, so that its tag does not find it any more. Guards keep what they hold.
    pub(crate) fn remove(&self, used: &Arc<Used>) {
        self.left(&used.tag, used);
    }

    /// Empties the table, because the plugin has closed.
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
