//! The stages of one piece of memory, the same for outboxes and extents.
//!
//! ```text
//! stage      entered by                                left by
//! Waiting    wanted and not charged yet (an extent)    its turn to allocate, and a charge
//! Writer     made, `Map` to its writer                 `Mapped` of the writer
//! Sealing    `Mapped` of the writer                    the shell has closed it to further writers
//! Sealed     closed, and all there that must be        its turn to be handed over
//! Reader     `Map` or `Peer` to its reader             `Mapped` of the reader
//! Ready      `Mapped` of the reader                    `Return`, or the end of the link
//! ```
//!
//! In `Writer` and `Reader` the plugin may say `Failed` instead. What then happens, what a deadline
//! does, and when sealed memory is handed over is the affair of its kind: of [`link`](crate::link) for
//! outboxes, of `bus/extents.rs` for extents.

use callgate_layout::control::Role;

/// How far some memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Waiting,
    Writer,
    Sealing,
    Sealed,
    Reader,
    Ready,
}

/// A plugin acknowledged what nobody asked it for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl Stage {
    /// Whose answer is awaited.
    pub(crate) fn awaited(self) -> Option<Role> {
        match self {
            Stage::Writer => Some(Role::Writer),
            Stage::Reader => Some(Role::Reader),
            _ => None,
        }
    }

    /// Whether who has this role may say that it failed.
    pub(crate) fn may_fail(self, role: Role) -> Result<(), OutOfOrder> {
        match self.awaited() == Some(role) {
            true => Ok(()),
            false => Err(OutOfOrder),
        }
    }

    /// Who has this role has mapped it.
    pub(crate) fn mapped(&mut self, role: Role) -> Result<(), OutOfOrder> {
        self.may_fail(role)?;
        *self = match role {
            Role::Writer => Stage::Sealing,
            Role::Reader => Stage::Ready,
        };
        Ok(())
    }

    /// The shell has sealed it; `false` where that is of no more interest.
    pub(crate) fn sealed(&mut self) -> bool {
        self.go_on(Stage::Sealing, Stage::Sealed)
    }

    /// It goes to its reader now.
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

    /// Memory that skipped a stage would be read before it is sealed, or sealed before it is there.
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
