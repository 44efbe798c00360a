use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{BYTE_ORDER_MARK, KEPT_ROOM, MARK};
use crate::frame::*;

mod model;

/// A line that owns its text, so that it can be kept after `push` returned.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kept {
    Frame(Vec<u8>),
    Log(String),
    Cut(String),
    /// The stream was refused with an error.
    Fatal,
}

fn keep(line: Line<'_>) -> Kept {
    match line {
        Line::Frame(frame) => Kept::Frame(frame.to_vec()),
        Line::Large(large) => Kept::Frame(large.frame().to_vec()),
        Line::Log {
            text,
            is_cut: false,
        } => Kept::Log(text.into_owned()),
        Line::Log { text, is_cut: true } => Kept::Cut(text.into_owned()),
    }
}

/// All lines of a stream that arrives in these pieces.
fn lines<'p>(
    stream: Stream,
    limits: Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Vec<Kept> {
    let (mut splitter, mut lines) = (Splitter::new(stream, limits), Vec::new());
    for piece in pieces {
        if !push_all(&mut splitter, piece, &mut lines) {
            lines.push(Kept::Fatal);
            break;
        }
    }
    splitter.end(&mut |line| lines.push(keep(line)));
    lines
}

/// Pushes the rest again after each long frame. Returns false if the stream was refused.
fn push_all(splitter: &mut Splitter, mut piece: &[u8], lines: &mut Vec<Kept>) -> bool {
    loop {
        match splitter.push(piece, &mut |line| lines.push(keep(line))) {
            Ok(count) if count == piece.len() => return true,
            Ok(count) => piece = &piece[count..],
            Err(_) => return false,
        }
    }
}

fn stdout(bytes: &[u8]) -> Vec<Kept> {
    lines(Stream::Stdout, Limits::default(), [bytes])
}

fn frame(text: &str) -> Kept {
    Kept::Frame(text.as_bytes().to_vec())
}

fn log(text: &str) -> Kept {
    Kept::Log(text.to_owned())
}

#[test]
fn lines_with_the_mark_are_frames_and_all_others_are_log_lines() {
    let cases: &[(&[u8], &[Kept])] = &[
        (b"", &[]),
        (b"IPC:{}\n", &[frame("{}")]),
        (b"IPC:{}\r\n", &[frame("{}")]),
        (b"IPC:\n", &[frame("")]),
        (b"IPC: {} \r\r\n", &[frame(" {} \r")]),
        (b"a\nIPC:1\nb\n", &[log("a"), frame("1"), log("b")]),
        (b"\n\r\n\n", &[log(""), log(""), log("")]),
        (
            b"IPC\nIP\nipc:{}\n",
            &[log("IPC"), log("IP"), log("ipc:{}")],
        ),
        (b" IPC:{}\n", &[log(" IPC:{}")]),
        (b"Loading... IPC:{}\n", &[log("Loading... IPC:{}")]),
        (
            b"\x1b[32mIPC:{}\x1b[0m\n",
            &[log("\u{1b}[32mIPC:{}\u{1b}[0m")],
        ),
        (b"10%\r50%\r100%\n", &[log("10%\r50%\r100%")]),
        (b"\0a\0\nIPC:\0\n", &[log("\0a\0"), frame("\0")]),
        (
            "IPC:\"\u{2028}\u{2029}\u{85}\"\n".as_bytes(),
            &[frame("\"\u{2028}\u{2029}\u{85}\"")],
        ),
        ("\u{2028}IPC:\n".as_bytes(), &[log("\u{2028}IPC:")]),
        (b"\x0b\x0c\n", &[log("\u{b}\u{c}")]),
    ];
    for (bytes, expected) in cases {
        assert_eq!(stdout(bytes), *expected, "{}", bytes.escape_ascii());
    }
}

/// Windows editors and some shells write a byte order mark, and the handshake after it was taken for a log line.
#[test]
fn a_byte_order_mark_is_passed_over_at_the_start_alone() {
    let bom = "\u{FEFF}";
    let first = format!("{bom}IPC:{{}}\n");
    assert_eq!(stdout(first.as_bytes()), [frame("{}")]);
    let bytewise = first.as_bytes().chunks(1);
    let limits = Limits::default();
    assert_eq!(lines(Stream::Stdout, limits, bytewise), [frame("{}")]);
    let second = format!("{bom}{bom}IPC:\n{bom}IPC:\n");
    let marked = log(&format!("{bom}IPC:"));
    assert_eq!(stdout(second.as_bytes()), [marked.clone(), marked]);
    assert_eq!(stdout(bom.as_bytes()), []);
    assert_eq!(stdout(format!("{bom}\n").as_bytes()), [log("")]);
    // The beginning of a byte order mark, and then something else.
    assert_eq!(stdout(b"\xEF\xBBx\n"), [log("\u{FFFD}x")]);
    assert_eq!(stdout(b"\xEF\xBB"), [log("\u{FFFD}")]);
}

/// A child that was killed in the middle of a write left half a frame that was valid JSON all the same.
#[test]
fn what_has_no_line_break_at_the_end_is_logged_and_is_no_frame() {
    assert_eq!(stdout(b"IPC:1\nIPC:12"), [frame("1"), log("IPC:12")]);
    assert_eq!(stdout(b"IPC:{}\r"), [log("IPC:{}")]);
    assert_eq!(stdout(b"half"), [log("half")]);
    let long = [b"IPC:", &[b'x'; LOG_LINE_CAP][..]].concat();
    let expected = format!("IPC:{}", "x".repeat(LOG_LINE_CAP - 4));
    assert_eq!(stdout(&long), [Kept::Cut(expected)]);
}

#[test]
fn a_code_point_may_come_in_pieces() {
    let text = "IPC:\"é\u{1F600}\"\né\u{1F600}\n";
    let expected = [frame("\"é\u{1F600}\""), log("é\u{1F600}")];
    for size in 1..text.len() {
        let pieces = text.as_bytes().chunks(size);
        let found = lines(Stream::Stdout, Limits::default(), pieces);
        assert_eq!(found, expected, "pieces of {size}");
    }
}

#[test]
fn what_is_not_utf8_is_replaced_in_log_lines_and_left_in_frames() {
    let bytes = b"a\xFFb\xC3\nIPC:\"\xFF\"\n";
    let expected = [log("a\u{FFFD}b\u{FFFD}"), Kept::Frame(b"\"\xFF\"".to_vec())];
    assert_eq!(stdout(bytes), expected);
}

#[test]
fn on_stderr_no_line_is_a_frame() {
    let found = lines(
        Stream::Stderr,
        Limits::default(),
        [&b"IPC:{}\r\nx\nIPC:"[..]],
    );
    assert_eq!(found, [log("IPC:{}"), log("x"), log("IPC:")]);
}

fn line(start: &str, length: usize, end: &str) -> Vec<u8> {
    [start.as_bytes(), &vec![b'x'; length], end.as_bytes()].concat()
}

/// Two places counted the length of a frame differently, and one of them refused a frame exactly as long as the limit.
#[test]
fn a_frame_of_the_cap_is_given_and_one_byte_more_is_fatal() {
    let full = Kept::Frame(vec![b'x'; FRAME_CAP]);
    let good = || b"IPC:1\n".to_vec();
    let cases = [
        (line("IPC:", FRAME_CAP, "\n"), vec![full.clone()]),
        (line("IPC:", FRAME_CAP, "\r\n"), vec![full]),
        (line("IPC:", FRAME_CAP + 1, "\n"), vec![Kept::Fatal]),
        (line("IPC:", FRAME_CAP, "\r\r\n"), vec![Kept::Fatal]),
        // The error comes as soon as the limit is passed, before the line ends.
        (line("IPC:", FRAME_CAP + 1, ""), vec![Kept::Fatal]),
        (
            [good(), line("IPC:", FRAME_CAP + 1, "\nIPC:2\n")].concat(),
            vec![frame("1"), Kept::Fatal],
        ),
    ];
    for (number, (bytes, expected)) in cases.iter().enumerate() {
        for size in [bytes.len(), 4096] {
            let found = lines(Stream::Stdout, Limits::default(), bytes.chunks(size));
            assert!(found == *expected, "case {number}, pieces of {size}");
        }
    }
}

#[test]
fn a_log_line_of_the_cap_is_whole_and_one_byte_more_is_cut() {
    let text = "x".repeat(LOG_LINE_CAP);
    let cases = [
        (line("", LOG_LINE_CAP, "\n"), log(&text)),
        (line("", LOG_LINE_CAP, "\r\n"), log(&text)),
        (line("", LOG_LINE_CAP, ""), log(&text)),
        (line("", LOG_LINE_CAP + 1, "\n"), Kept::Cut(text.clone())),
        (line("", LOG_LINE_CAP, "\r\r\n"), Kept::Cut(text.clone())),
        (line("", LOG_LINE_CAP + 1, ""), Kept::Cut(text.clone())),
        (line("", FRAME_CAP, "\n"), Kept::Cut(text.clone())),
    ];
    for (number, (bytes, expected)) in cases.iter().enumerate() {
        for stream in [Stream::Stdout, Stream::Stderr] {
            for size in [bytes.len(), 4096] {
                let found = lines(stream, Limits::default(), bytes.chunks(size));
                assert!(
                    found == [expected.clone()],
                    "case {number}, {stream:?}, pieces of {size}"
                );
            }
        }
    }
}

#[test]
fn a_cut_line_ends_with_a_whole_code_point() {
    let limits = Limits {
        log_line: 5,
        ..Limits::default()
    };
    let cut = |text: &[u8]| lines(Stream::Stderr, limits, [text]);
    let is = |text: &str| [Kept::Cut(text.to_owned())];
    assert_eq!(cut("abcdé\n".as_bytes()), is("abcd"));
    assert_eq!(cut("abc€\n".as_bytes()), is("abc"));
    assert_eq!(cut("ab\u{1F600}\n".as_bytes()), is("ab"));
    assert_eq!(cut("abcéd\n".as_bytes()), is("abcé"));
    // An invalid byte is replaced; it does not count as the beginning of a code point that the cut removes.
    assert_eq!(cut(b"abcd\xFFe\n"), is("abcd\u{FFFD}"));
    assert_eq!(
        cut(b"\x80\x80\x80\x80\x80\x80\n"),
        is("\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}")
    );
}

/// A program that prints dots and never ends the line made the runtime grow until the kernel ended it.
#[test]
fn stderr_without_a_line_break_is_cut_once_and_takes_no_more_memory() {
    let mut splitter = Splitter::new(Stream::Stderr, Limits::default());
    let (piece, mut found) = (vec![b'.'; 100_000], Vec::new());
    for _ in 0..200 {
        let pushed = splitter.push(&piece, &mut |line| found.push(keep(line)));
        assert!(pushed.is_ok());
        assert!(splitter.kept.capacity() <= LOG_LINE_CAP + 1);
    }
    let pushed = splitter.push(b"end\nnext\n", &mut |line| found.push(keep(line)));
    assert!(pushed.is_ok());
    assert_eq!(found, [Kept::Cut(".".repeat(LOG_LINE_CAP)), log("next")]);
}

#[test]
fn stdout_without_a_line_break_is_cut_once_and_fatal_at_the_cap() {
    let mut splitter = Splitter::new(Stream::Stdout, Limits::default());
    let mut found = Vec::new();
    let mut push = |splitter: &mut Splitter, bytes: &[u8]| {
        splitter.push(bytes, &mut |line| found.push(keep(line)))
    };
    for _ in 0..FRAME_CAP / 1024 {
        assert_eq!(push(&mut splitter, &[b'.'; 1024]), Ok(1024));
        assert!(splitter.kept.capacity() <= LOG_LINE_CAP + 1);
    }
    let fatal = Err(FrameTooLarge { cap: FRAME_CAP });
    assert_eq!(push(&mut splitter, b"."), fatal);
    // After the error nothing on this stream is interpreted.
    assert_eq!(push(&mut splitter, b"\nIPC:1\n"), fatal);
    splitter.end(&mut |line| found.push(keep(line)));
    assert_eq!(found, [Kept::Cut(".".repeat(LOG_LINE_CAP))]);
}

/// Buffers double when they grow, so a frame of the largest size took twice its memory, and two hundred plugins that had each sent one
/// kept it.
#[test]
fn a_frame_takes_no_more_memory_than_the_cap_and_gives_it_back() {
    let mut splitter = Splitter::new(Stream::Stdout, Limits::default());
    let (mut most, mut frames) = (0, 0);
    for piece in line("IPC:", FRAME_CAP, "\n").chunks(10_000) {
        let pushed = splitter.push(piece, &mut |line| {
            frames += usize::from(keep(line) == Kept::Frame(vec![b'x'; FRAME_CAP]));
        });
        assert!(pushed.is_ok());
        most = most.max(splitter.kept.capacity());
    }
    assert_eq!(frames, 1);
    let allowed = FRAME_CAP + "IPC:\r".len();
    assert!((FRAME_CAP..=allowed).contains(&most), "{most}");
    assert!(splitter.kept.capacity() <= KEPT_ROOM);
}

/// The loop parsed a frame of 4 MiB itself, and all other plugins waited meanwhile.
#[test]
fn a_long_frame_is_given_away_and_what_follows_waits() {
    let limits = Limits {
        lent: 8,
        ..Limits::default()
    };
    let mut splitter = Splitter::new(Stream::Stdout, limits);
    let mut found = Vec::new();
    let mut push = |splitter: &mut Splitter, bytes: &[u8]| {
        let count = splitter.push(bytes, &mut |line| {
            let is_large = matches!(line, Line::Large(_));
            found.push((is_large, keep(line)));
        });
        count.unwrap()
    };
    // A line that arrives in one piece is not copied, so it is handed out as a slice.
    assert_eq!(push(&mut splitter, b"IPC:12345678\nIPC:1"), 18);
    assert_eq!(push(&mut splitter, b"2345\r\nnext\n"), 6);
    assert_eq!(push(&mut splitter, b"next\nIPC:1"), 10);
    assert_eq!(push(&mut splitter, b"234\n"), 4);
    let expected = [
        (false, frame("12345678")),
        (true, frame("12345")),
        (false, log("next")),
        (false, frame("1234")),
    ];
    assert_eq!(found, expected);
}

/// Each new piece of a line made the splitter search the line from its beginning: a child that wrote single bytes used up the loop's time.
#[test]
fn a_line_that_comes_byte_by_byte_is_looked_through_once() {
    let bytes = line("IPC:", FRAME_CAP, "\n");
    let found = lines(Stream::Stdout, Limits::default(), bytes.chunks(1));
    assert!(found == [Kept::Frame(vec![b'x'; FRAME_CAP])]);
}

/// Streams that mostly consist of bytes with a meaning: marks, line breaks, byte order marks, incomplete code points.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let known: &[&[u8]] = &[
        b"IPC:",
        b"IPC:",
        b"IP",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b"\0",
        b"{}",
        b"\xEF\xBB\xBF",
        b"\xEF\xBB",
        b"\xE2\x80\xA8",
        b"\xF0\x9F\x98\x80",
        b"\xF0\x9F",
        b"\xC3",
        b"\xFF",
        b"\x1b[0m",
        b"lorem ipsum",
    ];
    let known = select(known).prop_map(<[u8]>::to_vec);
    let piece = prop_oneof![4 => known, 1 => vec(any::<u8>(), 0..6)];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_pieces_of_any_bytes_are_the_lines_of_the_model(
        bytes in streams(),
        sizes in vec(0_usize..9, 1..20),
        (frame, log_line, lent) in (MARK.len()..30, 0_usize..40, 0_usize..30),
        is_stdout in any::<bool>(),
    ) {
        let stream = if is_stdout { Stream::Stdout } else { Stream::Stderr };
        let limits = Limits { frame, log_line, lent };
        let (mut pieces, mut rest) = (Vec::new(), &bytes[..]);
        for size in sizes {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        pieces.push(rest);
        let expected = model::lines(stream, limits, &bytes);
        prop_assert_eq!(&lines(stream, limits, [&bytes[..]]), &expected);
        prop_assert_eq!(&lines(stream, limits, bytes.chunks(1)), &expected);
        prop_assert_eq!(lines(stream, limits, pieces), expected);
    }
}
