//! The pulse of a dispatcher, for a broker that asks. It is computed from links and status pages, by a thread that
//! takes none of the dispatcher's locks.

use callgate_layout::control::Pulse;
use callgate_layout::{clock, ring, slot};

use super::grants::PeerGrants;
use super::linked::LinkedGates;

/// A link's part of a pulse.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Beat {
    /// Whether there are calls that were not taken.
    has_untaken: bool,
    /// How long the caller of a call that was taken will still wait, in nanoseconds.
    busy_for: u64,
}

/// The pulse of the dispatcher that serves all of these. Untaken calls only count if it has not looked since the
/// last question.
pub(crate) fn pulse<'a>(of: impl Iterator<Item = &'a LinkedGates>, has_looked: bool) -> Pulse {
    let mut pulse = Pulse::default();
    for linked in of {
        pulse.turns_ended = pulse.turns_ended.wrapping_add(linked.turns_ended());
        for peer in linked.peers() {
            let beat = beat(&peer);
            pulse.is_waiting |= beat.has_untaken && !has_looked;
            pulse.busy_for = pulse.busy_for.max(beat.busy_for);
        }
    }
    pulse
}

/// The calls that the peer has published are those that are answered, under way, or not taken. A peer that lies
/// about its ring could as well publish calls.
fn beat(peer: &PeerGrants) -> Beat {
    let link = peer.link();
    if link.is_gone() {
        return Beat::default();
    }
    let geometry = link.geometry();
    let published = ring::published(link.inbox(), geometry);
    let outbox = link.outbox().as_read();
    let slots = (0..geometry.entries()).map(|slot| slot as u8);
    let answered = slots
        .clone()
        .map(|slot| slot::state(outbox, geometry, slot));
    let answered = answered.fold(0, u32::wrapping_add);
    let (busy, later) = match peer.answers() {
        Some(answers) => (answers.busy(), answers.left_for_later() as u32),
        None => (0, 0),
    };
    let taken = answered.wrapping_add(busy.count_ones()).wrapping_add(later);
    let last = ring::latest(published.iter().copied());
    let last = last.map_or(0, |last| last.number);
    let now = clock::now();
    let left = slots.filter(|slot| busy >> slot & 1 == 1).map(|slot| {
        let of_slot = published.iter().filter(|call| call.slot == slot);
        match ring::latest(of_slot.copied()) {
            Some(call) => clock::from_tick(call.deadline, now).saturating_sub(now),
            // So many calls were made since that the entry has been used again: the deadline is unknown.
            None => u64::MAX,
        }
    });
    Beat {
        has_untaken: last.wrapping_sub(taken) as i32 > 0,
        busy_for: left.max().unwrap_or(0),
    }
}
