//! The stages of one piece of memory, the same for outboxes, extents, rings of events and cells.
//!
//! ```text
//! stage      entered by                                left by
//! Waiting    wanted and not charged yet (an extent)    its turn to allocate, and a charge
//! Writer     made, `Map` to its writer                 `Mapped` of the writer
//! Sealing    `Mapped` of the writer                    the shell has sealed it against further writers
//! Sealed     sealed, and allocated as it must be       its turn to be handed over
//! Reader     `Map` or `Peer` to its reader             `Mapped` of the reader
//! Ready      `Mapped` of the reader                    `Return`, or the end of the link
//! ```
//!
//! In `Writer` and `Reader` the plugin may say `Failed` instead. What happens then, what a deadline does, and when sealed memory is handed
//! over depends on the kind of memory: see [`link`](crate::link) for outboxes and `bus/extents.rs` for extents.

use callgate_layout::control::Role;

/// The stage of some memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Writer,
    Sealing,
    Sealed,
    Reader,
    Ready,
}

/// A plugin has acknowledged something without being asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl Stage {
    /// The role of the plugin whose answer is awaited.
    pub(crate) fn awaited(self) -> Option<Role> {
        match self {
            Stage::Writer => Some(Role::Writer),
            Stage::Reader => Some(Role::Reader),
            _ => None,
        }
    }

    /// Fails unless the plugin of this role may say now that it failed.
    pub(crate) fn may_fail(self, role: Role) -> Result<(), OutOfOrder> {
        match self.awaited() == Some(role) {
            true => Ok(()),
            false => Err(OutOfOrder),
        }
    }

    /// The plugin of this role has mapped the memory.
    pub(crate) fn mapped(&mut self, role: Role) -> Result<(), OutOfOrder> {
        self.may_fail(role)?;
        *self = match role {
            Role::Writer => Stage::Sealing,
            Role::Reader => Stage::Ready,
        };
        Ok(())
    }

    /// The shell has sealed the memory. Returns `false` if nobody waits for that any more.
    pub(crate) fn sealed(&mut self) -> bool {
        self.go_on(Stage::Sealing, Stage::Sealed)
    }

    /// The memory is sent to its reader. Returns `false` if it is not sealed.
    pub(crate) fn hand_over(&mut self) -> bool {
        self.go_on(Stage::Sealed, Stage::Reader)
    }

    fn go_on(&mut self, from: Stage, to: Stage) -> bool {
        let is_there = *self == from;
        if is_there {
            *self = to;
        }
        is_there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Stage; 6] = [
        Stage::Waiting,
        Stage::Writer,
        Stage::Sealing,
        Stage::Sealed,
        Stage::Reader,
        Stage::Ready,
    ];

    /// Memory that skips a stage could be read before it is sealed, or sealed before it is allocated.
    #[test]
    fn each_step_leads_from_one_stage_to_the_next() {
        type Take = fn(&mut Stage) -> bool;
        let steps: [(Take, Stage, Stage); 4] = [
            (
                |stage| stage.mapped(Role::Writer).is_ok(),
                Stage::Writer,
                Stage::Sealing,
            ),
            (Stage::sealed, Stage::Sealing, Stage::Sealed),
            (Stage::hand_over, Stage::Sealed, Stage::Reader),
            (
                |stage| stage.mapped(Role::Reader).is_ok(),
                Stage::Reader,
                Stage::Ready,
            ),
        ];
        for (take, from, to) in steps {
            for before in ALL {
                let mut stage = before;
                let is_taken = take(&mut stage);
                assert_eq!(is_taken, before == from, "{before:?}");
                assert_eq!(stage, if is_taken { to } else { before });
            }
        }
    }
}
