//! Time on the wire: ticks of 2^20 nanoseconds of the monotonic clock, cut to 32 bits.
//!
//! The clock is the same for all processes of a machine and of a time namespace. A tick is 1.05 ms; ticks wrap after
//! 52 days, so a deadline may lie at most [`MAX_AHEAD_NS`] ahead.

use std::fs;

use crate::control::Clock;
use crate::sys::time;

/// The furthest deadline: 24 days.
pub const MAX_AHEAD_NS: u64 = 24 * 24 * 3600 * 1_000_000_000;

const TICK_BITS: u32 = 20;

/// Nanoseconds of the monotonic clock, precise; about 20 ns to read. (Every kernel has had both of
/// these clocks since 2.6.32, and gives them to everybody.)
pub fn now() -> u64 {
    time::read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of the monotonic clock as of the last timer tick, up to 4 ms ago (10 where the
/// kernel ticks at 100 Hz); about 5 ns to read.
#[inline]
pub fn coarse_now() -> u64 {
    time::read(libc::CLOCK_MONOTONIC_COARSE)
}

/// Nanoseconds since 1970 as of the last timer tick, as [`coarse_now`]; about 5 ns to read. It goes back where somebody
/// sets the clock.
#[inline]
pub fn coarse_wall() -> u64 {
    time::read(libc::CLOCK_REALTIME_COARSE)
}

/// The facts about this process's monotonic clock that it sends in its hello.
pub fn facts() -> Clock {
    Clock {
        offset: offset(),
        now: now(),
    }
}

/// How far this process's time namespace sets the clock ahead of the machine's, in nanoseconds.
fn offset() -> Option<i64> {
    let own = match fs::read_link("/proc/self/ns/time") {
        Ok(own) => own,
        // A kernel without time namespaces has one clock for all processes. Without /proc the offset is unknown.
        Err(_) => return fs::exists("/proc/self/ns").ok()?.then_some(0),
    };
    // `timens_offsets` shows the offsets of the children's namespace: they hold here only if both are the same.
    if own != fs::read_link("/proc/self/ns/time_for_children").ok()? {
        return None;
    }
    offset_in(&fs::read_to_string("/proc/self/timens_offsets").ok()?)
}

fn offset_in(offsets: &str) -> Option<i64> {
    let line = offsets
        .lines()
        .find_map(|line| line.strip_prefix("monotonic"));
    let mut numbers = line?.split_whitespace().map(str::parse::<i64>);
    let (seconds, nanos) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    seconds.checked_mul(1_000_000_000)?.checked_add(nanos)
}

/// The tick of a deadline, rounded up: never earlier than asked.
#[inline]
pub fn to_tick(nanos: u64) -> u32 {
    ((nanos >> TICK_BITS) + 1) as u32
}

/// The deadline that a tick stands for, told from the time now.
#[inline]
pub fn from_tick(tick: u32, now: u64) -> u64 {
    let ahead = tick.wrapping_sub((now >> TICK_BITS) as u32) as i32;
    let ahead = i64::from(ahead) << TICK_BITS;
    ((now >> TICK_BITS) << TICK_BITS).saturating_add_signed(ahead)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_deadline_survives_the_wire(now in 0u64..1 << 60, ahead in 0..MAX_AHEAD_NS) {
            let back = from_tick(to_tick(now + ahead), now);
            prop_assert!(back > now + ahead && back <= now + ahead + (1 << 20));
        }
    }

    #[test]
    fn offsets_are_read_as_the_kernel_writes_them() {
        let text = "monotonic      100000         7\nboottime           -3         0\n";
        assert_eq!(offset_in(text), Some(100_000_000_000_007));
        assert_eq!(
            offset_in("monotonic  -2  500000000\n"),
            Some(-1_500_000_000)
        );
        for text in ["", "boottime 1 2\n", "monotonic\n", "monotonic 1 x\n"] {
            assert_eq!(offset_in(text), None);
        }
    }

    /// A clock that stands still lets no deadline pass.
    #[test]
    fn both_clocks_go_on_as_time_does() {
        let before = (now(), coarse_now());
        std::thread::sleep(std::time::Duration::from_millis(40));
        let after = (now(), coarse_now());
        assert!(after.0 - before.0 >= 40_000_000, "{before:?} {after:?}");
        // It may be 10 ms behind.
        assert!(after.1 - before.1 >= 20_000_000, "{before:?} {after:?}");
        let facts = facts();
        assert!(facts.now >= after.0 && facts.now <= now());
    }

    /// A process that cannot tell may call nobody whose clock is set ahead, and is called by none.
    #[test]
    fn a_process_knows_how_far_its_clock_is_ahead() {
        match fs::read_to_string("/proc/self/timens_offsets") {
            Ok(text) => assert_eq!(facts().offset, offset_in(&text)),
            Err(_) => assert_eq!(facts().offset, Some(0)),
        }
    }

    #[test]
    fn the_coarse_wall_clock_tells_the_time() {
        let now = std::time::SystemTime::now();
        let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
        let coarse = std::time::Duration::from_nanos(coarse_wall());
        assert!(now.abs_diff(coarse) < std::time::Duration::from_secs(60));
    }

    #[test]
    fn the_coarse_clock_is_not_ahead() {
        let coarse = coarse_now();
        assert!(coarse <= now() && coarse > 0);
    }
}
