//! Which plugin is charged for the memory of extents and of rings of events, and until when.
//!
//! An extent is charged twice: to the plugin that writes it, and to the bus. Both charges last until the kernel says that nobody holds the
//! memory any more (`reactor/watches.rs`), which can be long after the extent was returned, its link ended, or its writer died. The charge
//! of a plugin ends with its session, because its next incarnation begins with a quota of its own; the charge of the bus stays.
//!
//! A ring is charged in the same way to the plugin that sends, until neither the sender nor a listener holds it.
//!
//! A peer that keeps extents which were returned can use up at most half of its writer's quota: further extents between these two plugins
//! are refused then, so that the writer's other links go on.

use std::collections::BTreeMap;

use callgate_layout::events::RING_HEADER;
use callgate_layout::payload::charged_mib;

use crate::id::PluginId;
use crate::quota::{Charge, Quota};

/// The plugins that have some memory: its writer, then its reader.
pub(super) type Users = [PluginId; 2];

/// The charges for memory of the whole bus.
#[derive(Debug)]
pub(super) struct Charges {
    bus: Quota,
    /// The kernel gives memory files in units of so many MiB.
    unit_mib: u32,
    held: BTreeMap<u64, Held>,
    next: u64,
}

/// The charges for one extent; dropping them gives them back.
#[derive(Debug)]
pub(super) struct Charged {
    mib: u32,
    _plugin: Charge,
    _bus: Charge,
}

/// An extent that was let go and that some process may still hold.
#[derive(Debug)]
struct Held {
    users: Users,
    charged: Charged,
}

/// Why an extent cannot be charged now.
#[derive(Debug)]
pub(super) struct Short {
    pub(super) why: String,
    /// Whether it could be charged once nobody holds any more what was let go.
    pub(super) may_pass: bool,
}

impl Charges {
    pub(super) fn new() -> Charges {
        Charges {
            bus: Quota::new(u32::MAX),
            unit_mib: 1,
            held: BTreeMap::new(),
            next: 1,
        }
    }

    /// Sets how many MiB the bus may have, and in which units the kernel gives memory.
    pub(super) fn limit(&mut self, mib: u32, unit_mib: u32) {
        self.bus = Quota::new(mib);
        self.unit_mib = unit_mib.max(1);
    }

    /// Charges an extent of so many bytes to its writer, whose quota this is, and to the bus.
    pub(super) fn charge(&self, quota: &Quota, users: Users, len: u32) -> Result<Charged, Short> {
        let mib = match self.unit_mib {
            1 => charged_mib(len),
            // The headroom takes a huge page of its own.
            unit => len.div_ceil(1 << 20).next_multiple_of(unit),
        };
        self.charge_mib(quota, users, mib)
    }

    /// Charges a ring of so many bytes to the plugin that writes it, whose quota this is, and to the bus.
    pub(super) fn charge_ring(
        &self,
        quota: &Quota,
        sender: PluginId,
        len: u32,
    ) -> Result<Charged, Short> {
        let mib = match self.unit_mib {
            1 => (len - RING_HEADER as u32).div_ceil(1 << 20),
            unit => len.div_ceil(1 << 20).next_multiple_of(unit),
        };
        self.charge_mib(quota, [sender; 2], mib)
    }

    fn charge_mib(&self, quota: &Quota, users: Users, mib: u32) -> Result<Charged, Short> {
        let limit = quota.limit();
        let kept = self.held_by(|held| held.users == users);
        if kept > 0 && kept + mib > limit / 2 {
            let why = format!(
                "{kept} MiB that this plugin returned are still held by it or by the other plugin of \
                 the link, or by who listened; more than half of the {limit} MiB that it may have for large payloads \
                 cannot be kept that way"
            );
            let may_pass = mib <= limit;
            return Err(Short { why, may_pass });
        }
        let own = self.held_by(|held| held.users[0] == users[0]);
        let plugin = quota.charge_many(mib).ok_or_else(|| {
            let what = format!("the {limit} MiB that this plugin may have for large payloads");
            short(quota, &what, (mib, own))
        })?;
        let bus = self.bus.charge_many(mib).ok_or_else(|| {
            let limit = self.bus.limit();
            let what =
                format!("the {limit} MiB that all plugins of this bus have for them together");
            short(&self.bus, &what, (mib, self.held_by(|_| true)))
        })?;
        Ok(Charged {
            mib,
            _plugin: plugin,
            _bus: bus,
        })
    }

    /// Keeps memory charged that was let go. Returns the number under which [`Charges::freed`] ends the charge.
    pub(super) fn keep(&mut self, users: Users, charged: Charged) -> u64 {
        let serial = self.serial();
        self.held.insert(serial, Held { users, charged });
        serial
    }

    /// Returns a new number for memory that was let go.
    pub(super) fn serial(&mut self) -> u64 {
        let serial = self.next;
        self.next += 1;
        serial
    }

    /// The MiB that the kernel gives for so many bytes: at least 1, in whole units.
    pub(super) fn whole_mib(&self, len: u64) -> u64 {
        let mib = len.div_ceil(1 << 20).max(1);
        mib.next_multiple_of(self.unit_mib.into())
    }

    /// Nobody holds the memory of this number any more: ends its charge.
    pub(super) fn freed(&mut self, serial: u64) {
        self.held.remove(&serial);
    }

    /// The MiB that were let go and that some process may still hold.
    fn held_by(&self, is_meant: impl Fn(&Held) -> bool) -> u32 {
        let held = self.held.values().filter(|held| is_meant(held));
        held.map(|held| held.charged.mib).sum()
    }

    /// MiB that are charged to the bus.
    #[cfg(test)]
    pub(super) fn used(&self) -> u32 {
        self.bus.used()
    }
}

/// The refusal of `mib` MiB, of which quota `held` MiB were let go and may still be held.
fn short(quota: &Quota, what: &str, (mib, held): (u32, u32)) -> Short {
    let used = quota.used();
    let mut why = format!("{mib} MiB more would exceed {what}: {used} MiB are in use");
    if held > 0 {
        why += &format!(", and {held} MiB of these were returned, but somebody still holds them");
    }
    let rest = used.saturating_sub(held).saturating_add(mib);
    let may_pass = held > 0 && rest <= quota.limit();
    Short { why, may_pass }
}
