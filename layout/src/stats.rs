//! Statistics of a plugin's gates, in its status page, to be shown to people.
//!
//! ```text
//! 4096 + 512 n   record of gate n of the plugin's 128
//!            0   calls u64
//!            8   errors u64
//!           16   calls that came as JSON u64
//!           24   61 × u64: how many of the calls that were timed took how long
//! ```
//!
//! When the plugin announces a gate, it says which record belongs to it. The plugin alone writes these words: one
//! thread at a time (the one that holds the plugin's turn lock), or by locked adds if handlers run at the same time.
//! Readers do not check them: a plugin that writes nonsense is shown with nonsense.

use crate::atomic::Ordering;
use crate::view::{ReadView, WriteView};

/// Where the records begin: a page of their own.
const RECORDS_AT: usize = 4096;
/// Bytes of one record.
const RECORD_LEN: usize = 512;
/// How many of a plugin's gates have a record.
pub const RECORDS: u16 = 128;
/// Bytes of all records, with what lies before them.
pub const END: usize = RECORDS_AT + RECORDS as usize * RECORD_LEN;

const CALLS: usize = 0;
const ERRORS: usize = 8;
const JSON: usize = 16;
const TIMES: usize = 24;
/// Two buckets for each doubling from 32 ns on, one for shorter times, and the last for longer ones.
const BUCKETS: usize = (RECORD_LEN - TIMES) / 8;
const SHORTEST: u32 = 5;
/// One of this many calls is timed: reading a precise clock twice costs as much as half a call.
const SAMPLE: u64 = 64;

/// The statistics of a gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateStats {
    /// Calls that its handlers ran.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
    /// Calls that came as JSON, including those that were refused because of their contents.
    pub json: u64,
    /// Half of the timed calls took at most this many nanoseconds, with an error of up to a half.
    pub p50: u64,
    /// The same for 99 in a hundred.
    pub p99: u64,
}

// Checks the byte table above. A change of it is a change of the protocol version.
const _: () = {
    assert!(crate::control::VERSION == 12);
    assert!(ERRORS == 8 && JSON == 16 && TIMES == 24 && BUCKETS == 61);
    assert!(TIMES + 8 * BUCKETS == RECORD_LEN);
};

#[inline]
fn at(record: u16, offset: usize) -> usize {
    RECORDS_AT + usize::from(record.min(RECORDS - 1)) * RECORD_LEN + offset
}

fn bucket(nanos: u64) -> usize {
    let octave = nanos.checked_ilog2().unwrap_or(0);
    if octave < SHORTEST {
        return 0;
    }
    let half = (nanos >> (octave - 1)) & 1;
    (1 + 2 * (octave - SHORTEST) as usize + half as usize).min(BUCKETS - 1)
}

/// The longest time that counts in a bucket.
fn longest(bucket: usize) -> u64 {
    match bucket {
        0 => (1 << SHORTEST) - 1,
        bucket => {
            let (octave, half) = ((bucket - 1) as u32 / 2 + SHORTEST, (bucket - 1) as u64 % 2);
            ((3 + half) << (octave - 1)) - 1
        }
    }
}

/// Sets a record to zero, for a new gate.
pub(crate) fn clear(page: &WriteView, record: u16) {
    for word in (0..RECORD_LEN).step_by(8) {
        page.store64(at(record, word), 0, Ordering::Relaxed);
    }
}

/// Counts a call that begins, and returns whether to time it. `together`: other threads may count at the same time.
#[inline]
pub(crate) fn begin(page: &WriteView, record: u16, together: bool) -> bool {
    page.count(at(record, CALLS), together)
        .is_multiple_of(SAMPLE)
}

/// Counts a call that came as JSON.
#[cold]
pub(crate) fn json(page: &WriteView, record: u16, together: bool) {
    page.count(at(record, JSON), together);
}

/// Counts how a call ended: whether it failed, and how many nanoseconds it took if it was timed.
#[cold]
pub(crate) fn end(
    page: &WriteView,
    record: u16,
    (failed, nanos): (bool, Option<u64>),
    together: bool,
) {
    if failed {
        page.count(at(record, ERRORS), together);
    }
    if let Some(nanos) = nanos {
        page.count(at(record, TIMES + 8 * bucket(nanos)), together);
    }
}

/// Reads a record; `None` if there is none with that number.
pub fn read(status: &ReadView, record: u16) -> Option<GateStats> {
    if record >= RECORDS || status.len() < END {
        return None;
    }
    let word = |offset| status.load64(at(record, offset), Ordering::Relaxed);
    let times: [u64; BUCKETS] = core::array::from_fn(|bucket| word(TIMES + 8 * bucket));
    Some(GateStats {
        calls: word(CALLS),
        errors: word(ERRORS),
        json: word(JSON),
        p50: quantile(&times, 50),
        p99: quantile(&times, 99),
    })
}

/// The longest time in the bucket at which so many hundredths are reached; 0 if nothing was timed.
fn quantile(times: &[u64; BUCKETS], hundredths: u128) -> u64 {
    let all: u128 = times.iter().map(|count| u128::from(*count)).sum();
    let wanted = (all * hundredths).div_ceil(100);
    let mut before = 0;
    let reached = |count: &u64| {
        before += u128::from(*count);
        before >= wanted && all > 0
    };
    times.iter().position(reached).map_or(0, longest)
}

#[cfg(all(test, not(callgate_loom)))]
mod tests {
    use super::*;
    use crate::sys::mapping::Mapping;
    use crate::sys::memfd;
    use proptest::prelude::{prop_assert, proptest};

    proptest! {
        #[test]
        fn a_bucket_is_never_more_than_half_as_long_again(nanos in 32_u64..1 << 35) {
            let most = longest(bucket(nanos));
            prop_assert!(most >= nanos && most < nanos + nanos.div_ceil(2) + 1, "{nanos} {most}");
        }

        #[test]
        fn quantiles_of_anything_are_found(times: [u64; 31], p in 0_u128..=100) {
            let mut all = [0; BUCKETS];
            all[..31].copy_from_slice(&times);
            prop_assert!(quantile(&all, p) <= longest(30));
        }
    }

    #[test]
    fn quantiles_are_where_they_should_be() {
        let mut times = [0; BUCKETS];
        assert_eq!(quantile(&times, 50), 0);
        times[bucket(100)] = 98;
        times[bucket(1_000_000)] = 2;
        assert_eq!(quantile(&times, 50), longest(bucket(100)));
        assert_eq!(quantile(&times, 99), longest(bucket(1_000_000)));
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    /// A gate that uses the record of an earlier gate begins with zero calls.
    #[test]
    fn a_record_that_is_used_again_starts_at_nothing() {
        let file = memfd::create("status", END).expect("a memory file");
        let mapping = Mapping::writable(file, END).expect("a map");
        let page = WriteView::new(mapping).expect("a writable map");
        let count = |record| {
            for nanos in [1, 100, u64::MAX] {
                begin(&page, record, false);
                json(&page, record, false);
                end(&page, record, (true, Some(nanos)), false);
            }
        };
        let all = [0, 5, 6, 7, RECORDS - 1];
        all.into_iter().for_each(count);
        let before = read(page.as_read(), 5);
        let counted = before.expect("a record");
        assert_eq!((counted.calls, counted.errors, counted.json), (3, 3, 3));
        for cleared in [6, RECORDS - 1] {
            clear(&page, cleared);
            assert_eq!(read(page.as_read(), cleared), Some(GateStats::default()));
        }
        assert!(
            [0, 5, 7].map(|other| read(page.as_read(), other)) == [before; 3],
            "its neighbours stay as they are"
        );
        assert_eq!(read(page.as_read(), RECORDS), None);
        // A number that does not exist counts in the last record, and not after it.
        count(RECORDS);
        count(u16::MAX);
        let last = read(page.as_read(), RECORDS - 1).expect("a record");
        assert_eq!((last.calls, last.json), (6, 6));
    }
}
