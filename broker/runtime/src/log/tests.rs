use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;

use super::ring::{MOST_BYTES, MOST_LINES};
use super::{LogLine, LogStream, PluginLog};
use crate::frame::{LOG_LINE_CAP, Stream};

const PATIENCE: Duration = Duration::from_secs(20);

fn push(log: &PluginLog, text: &str) {
    log.push(SystemTime::UNIX_EPOCH, LogStream::Stdout, text, false);
}

fn filled(lines: usize) -> PluginLog {
    let log = PluginLog::new();
    for number in 1..=lines {
        push(&log, &format!("line {number}"));
    }
    log
}

fn texts(lines: &[LogLine]) -> Vec<&str> {
    lines.iter().map(|line| &*line.text).collect()
}

#[test]
fn the_last_five_hundred_lines_are_kept() {
    let log = filled(501);
    let all = log.last(usize::MAX);
    assert_eq!(all.len(), 500);
    assert_eq!((&*all[0].text, all[0].number), ("line 2", 2));
    assert_eq!((&*all[499].text, all[499].number), ("line 501", 501));
    assert_eq!(texts(&log.last(2)), ["line 500", "line 501"]);
    assert!(log.last(0).is_empty());
    assert!(filled(0).last(5).is_empty());
}

#[test]
fn no_more_than_a_mebibyte_is_kept() {
    let log = PluginLog::new();
    let line = "x".repeat(LOG_LINE_CAP);
    for _ in 0..17 {
        push(&log, &line);
    }
    assert_eq!(log.last(500).len(), 16);
    push(&log, "a short one");
    // One line more than the byte limit allows, so the oldest line was dropped.
    assert_eq!(log.last(500).len(), 16);
}

/// A line without a line break was kept in full, and all other lines were dropped for it.
#[test]
fn a_long_line_is_cut_between_characters_and_says_so() {
    let log = PluginLog::new();
    push(&log, "before");
    push(&log, &format!("x{}", "ä".repeat(1 << 20)));
    let lines = log.last(5);
    assert_eq!(&*lines[0].text, "before");
    assert_eq!(lines[1].text.len(), LOG_LINE_CAP - 1);
    assert!(lines[1].is_cut && !lines[0].is_cut);
}

#[test]
fn the_last_words_are_those_of_one_stream() {
    let log = PluginLog::new();
    for (stream, text) in [
        (LogStream::from(Stream::Stderr), "first"),
        (LogStream::from(Stream::Stdout), "hello"),
        (LogStream::Stderr, "second"),
        (LogStream::Stderr, "third"),
        (LogStream::Runtime, "it ended"),
    ] {
        log.push(SystemTime::UNIX_EPOCH, stream, text, false);
    }
    let last = |most| texts(&log.last_of(LogStream::Stderr, most)).join(" ");
    assert_eq!(last(2), "second third");
    assert_eq!(last(9), "first second third");
    assert_eq!(last(0), "");
}

#[test]
fn a_follower_gets_each_line_once() {
    let log = filled(3);
    let mut follower = log.follow(2);
    assert_eq!(texts(&follower.take(1).lines), ["line 2"]);
    assert_eq!(texts(&follower.take(9).lines), ["line 3"]);
    assert_eq!(follower.take(9), super::Taken::default());
    push(&log, "line 4");
    let taken = follower.take(9);
    assert_eq!((texts(&taken.lines), taken.lost), (vec!["line 4"], 0));
}

#[test]
fn a_slow_follower_is_told_how_many_lines_it_missed() {
    let log = filled(10);
    let mut follower = log.follow(10);
    for number in 11..=1000 {
        push(&log, &format!("line {number}"));
    }
    let nothing = follower.take(0);
    assert_eq!((nothing.lines.len(), nothing.lost), (0, 500));
    let taken = follower.take(3);
    assert_eq!(
        (texts(&taken.lines), taken.lost),
        (vec!["line 501", "line 502", "line 503"], 0)
    );
    let by_number = log.after(7, 1);
    assert_eq!(
        (texts(&by_number.lines), by_number.lost),
        (vec!["line 501"], 493)
    );
}

#[test]
fn a_follower_waits_for_a_line_and_for_the_end() {
    let log = filled(1);
    let mut follower = log.follow(0);
    assert!(!follower.wait(Instant::now() + Duration::from_millis(1)));
    let writer = {
        let log = log.clone();
        thread::spawn(move || push(&log, "line 2"))
    };
    assert!(follower.wait(Instant::now() + PATIENCE));
    writer.join().expect("it ends");
    let taken = follower.take(9);
    assert!(!taken.is_last && texts(&taken.lines) == ["line 2"]);
    let closer = thread::spawn(move || {
        push(&log, "line 3");
        push(&log, "line 4");
        log.close();
    });
    closer.join().expect("it ends");
    assert!(follower.wait(Instant::now() + PATIENCE));
    assert!(!follower.take(1).is_last);
    assert!(follower.take(1).is_last);
    assert!(follower.wait(Instant::now() + PATIENCE) && follower.take(1).is_last);
}

/// The thread that pushed lines waited for readers, so a follower that took no lines would have stopped the plugin.
#[test]
fn followers_that_take_nothing_do_not_stop_the_writer() {
    let log = PluginLog::new();
    let followers: Vec<_> = (0..100).map(|_| log.follow(0)).collect();
    for _ in 0..10_000 {
        push(&log, "a line");
    }
    for mut follower in followers {
        assert_eq!(follower.take(1).lost, 9_500);
    }
}

/// The numbers in a request come from the program that asks, and may be any.
#[test]
fn any_number_may_be_asked_for() {
    let log = filled(600);
    for number in [0, 99, 100, 600, 601, u64::MAX - 1, u64::MAX] {
        let taken = log.after(number, usize::MAX);
        let first = taken.lines.first().map(|line| line.number);
        assert!(
            first.is_none_or(|first| first > number),
            "{number}: {first:?}"
        );
        assert_eq!(taken.lost, 100_u64.saturating_sub(number), "{number}");
    }
}

proptest! {
    #[test]
    fn both_limits_hold_and_no_line_is_missing_in_between(
        sizes in prop::collection::vec(prop_oneof![0_usize..80, 0_usize..200_000], 0..700),
    ) {
        let log = PluginLog::new();
        let text: Arc<str> = "x".repeat(200_000).into();
        for size in &sizes {
            push(&log, &text[..*size]);
        }
        let kept = log.last(usize::MAX);
        let bytes: usize = kept.iter().map(|line| line.text.len()).sum();
        prop_assert!(kept.len() <= MOST_LINES && bytes <= MOST_BYTES);
        prop_assert_eq!(kept.last().map_or(0, |line| line.number), sizes.len() as u64);
        prop_assert!(kept.windows(2).all(|pair| pair[0].number + 1 == pair[1].number));
        // One line more would not have fit.
        if let Some(before) = sizes.len().checked_sub(kept.len() + 1) {
            let size = sizes[before].min(LOG_LINE_CAP);
            prop_assert!(kept.len() == MOST_LINES || bytes + size > MOST_BYTES);
        }
    }
}
