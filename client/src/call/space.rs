//! What a call needs from its link before it is sent: a slot, and space for its payload; and waiting for these.

use std::time::{Duration, Instant};

use callgate_layout::Code;
use callgate_layout::clock;
use callgate_layout::envelope::Chain;
use callgate_layout::payload::{Space, extent_len_for};
use callgate_layout::pending::{SlotWait, Ticket};

use super::target::{Destination, Target, cancelled, unavailable};
use crate::base::archive::MAX_LEN;
use crate::base::deadline::NO_TIME;
use crate::base::error::{Error, Result, forked};
use crate::link::extents::{Late, too_large};
use crate::link::{Link, together};
use crate::serve::round;

#[inline(always)]
pub(super) fn take_ticket(target: &Target<'_>, chain: Option<Chain>) -> Result<Ticket> {
    match try_ticket(&target.to, chain) {
        Some(ticket) => Ok(ticket),
        None => wait_for_ticket(target, chain),
    }
}

/// Takes a slot if one is free. A call outside of chains gets one of those that its gate may have; a call that a
/// handler makes gets any, because earlier calls of its chain wait for it.
#[inline(always)]
fn try_ticket(to: &Destination<'_>, chain: Option<Chain>) -> Option<Ticket> {
    let pending = to.link.pending();
    match chain {
        None => pending.take_for(to.index),
        Some(_) => pending.take(to.index),
    }
}

#[cold]
fn wait_for_ticket(target: &Target<'_>, chain: Option<Chain>) -> Result<Ticket> {
    let found = match chain {
        Some(_) => wait_for(target, || try_ticket(&target.to, chain)),
        None => wait_in_turn(target),
    };
    found.ok_or_else(|| no_space_for(target, Short::Pending))
}

/// Waits for a slot for a call that begins a chain. Other calls can overtake it only for a short time.
fn wait_in_turn(target: &Target<'_>) -> Option<Ticket> {
    let link = target.to.link;
    let mut wait = SlotWait::begin(target.to.index, clock::now());
    let found = wait_for(target, || wait.take(link.pending(), clock::now));
    link.end_slot_wait(wait);
    found
}

/// Waits until `attempt` returns something, the link ends or closes, or the deadline passes.
pub(super) fn wait_for<T>(
    target: &Target<'_>,
    mut attempt: impl FnMut() -> Option<T>,
) -> Option<T> {
    let link = target.to.link;
    if let Some(found) = attempt() {
        return Some(found);
    }
    // What a handler has left for the end of its round is done before it waits.
    round::end();
    together::ring_before_wait();
    let mut got = None;
    link.wait_for_space(
        target.to.deadline,
        || target.cancelled_word(),
        || {
            got = attempt();
            (got.is_some() || !link.is_open() || target.is_cancelled()).then_some(())
        },
    );
    got
}

/// What a call did not find.
#[derive(Clone, Copy, Debug)]
pub(super) enum Short {
    /// Memory for its payload, in the outbox or in an extent.
    Payload,
    /// Memory in an extent, because its payload fits nothing else.
    Extent,
    /// A slot.
    Pending,
}

/// The error of a call that could not be sent by its deadline.
pub(super) fn no_space_for(target: &Target<'_>, what: Short) -> Error {
    match target.is_cancelled() && target.to.link.is_open() {
        true => cancelled(target.to.link),
        false => no_space(target.to.link, what),
    }
}

impl Short {
    /// What is missing if no memory was found for a payload of this length.
    pub(super) fn of(link: &Link, len: usize) -> Short {
        match len > link.blocks_len() {
            true => Short::Extent,
            false => Short::Payload,
        }
    }
}

/// The error for a link on which nothing could be sent.
pub(super) fn no_space(link: &Link, what: Short) -> Error {
    if !link.is_open() {
        return unavailable(link);
    }
    if let Short::Extent = what
        && let Some(late) = link.extents().late(Instant::now())
    {
        return not_mapped(link, late);
    }
    let (peer, under_way) = (link.peer().name(), link.pending().in_flight());
    let text = match what {
        Short::Payload | Short::Extent => {
            let (taken, most) = link.taken_mib();
            format!(
                "no payload memory for plugin `{peer}` came free before the deadline: {taken} MiB are taken \
                 of the {most} MiB that payloads to one plugin may take, half of this plugin's limit of \
                 extents; loans hold them, and calls (under way: {under_way}); nothing was sent"
            )
        }
        Short::Pending => format!(
            "no pending call to plugin `{peer}` came free before the deadline: {under_way} calls are under way \
             (of a link's {}, one gate has at most half and calls outside of chains three quarters), \
             nothing was sent",
            link.geometry().entries()
        ),
    };
    Error::new(Code::Overloaded, text)
}

/// The error of a call that waited for an extent until its deadline because somebody did not answer. It does wait
/// until then, because they may answer at any moment.
fn not_mapped(link: &Link, late: Late) -> Error {
    let within = |time: Duration| format!("within {:.1} s", time.as_secs_f64());
    let text = match late {
        Late::Peer(time) => {
            let (peer, within) = (link.peer(), within(time));
            format!(
                "plugin `{}` (pid {}) did not map the memory for this payload {within}; it, or the broker, may be \
                 stopped or too busy; nothing was sent",
                peer.name(),
                peer.pid,
            )
        }
        Late::Here(time) => format!(
            "the memory for this payload was not made and allocated {}; the broker or this process may be \
             stopped or too busy; nothing was sent",
            within(time)
        ),
    };
    Error::new(Code::Timeout, text)
}

/// Takes space for a payload, which the caller then fills. `target`, which has the deadline, is only asked for if
/// there is no space yet.
pub(crate) fn loan<'a>(
    link: &Link,
    len: usize,
    target: impl FnOnce() -> Target<'a>,
) -> Result<Space> {
    check_here(link)?;
    if let Some(space) = link.extents().take(len) {
        return Ok(space);
    }
    if extent_len_for(len).is_none() {
        let what = format!("loan's {len} bytes");
        return Err(too_large(Code::RequestTooLarge, &what, MAX_LEN));
    }
    let target = target();
    let found = match target.to.deadline {
        NO_TIME => link.take_space(len),
        _ => wait_for(&target, || link.take_space(len)),
    };
    found.unwrap_or_else(|| Err(no_space_for(&target, Short::Extent)))
}

/// Fails in a forked child: the link belongs to its parent.
#[inline]
pub(super) fn check_here(link: &Link) -> Result<()> {
    if link.is_here() {
        return Ok(());
    }
    Err(forked())
}
