//! Recognises the most frequent frame, an answer with a result, without parsing all of it.

use memchr::memchr2;

use super::NAME_CAP;

/// The id and the result of a frame of these three fields in this order: `{"type":"response","id":ID,"result":RESULT}`, with spaces
/// between them or without. The result is not checked: if it is one JSON value, [`parse`](super::parse) reads the same from the frame.
/// `None` for all other frames, and for some of this kind.
pub(crate) fn plain_response(frame: &[u8]) -> Option<(&str, &[u8])> {
    let rest = after(frame, [b"{", b"\"type\"", b":", b"\"response\"", b","])?;
    let rest = after(rest, [b"\"id\"", b":"])?;
    let rest = after(rest, [b"\""])?;
    let (id, rest) = rest.split_at_checked(memchr2(b'"', b'\\', rest)?)?;
    let rest = after(rest.strip_prefix(b"\"")?, [b",", b"\"result\"", b":"])?;
    let is_plain = id.len() <= NAME_CAP && id.iter().all(|byte| (b' '..=b'~').contains(byte));
    let id = str::from_utf8(id).ok().filter(|_| is_plain)?;
    Some((id, trim(trim(rest).strip_suffix(b"}")?)))
}

/// The text without spaces at its beginning; other white space stays.
fn trim_start(mut text: &[u8]) -> &[u8] {
    while let [b' ', rest @ ..] = text {
        text = rest;
    }
    text
}

/// The text without spaces at both ends.
fn trim(text: &[u8]) -> &[u8] {
    let mut text = trim_start(text);
    while let [rest @ .., b' '] = text {
        text = rest;
    }
    text
}

/// What follows these tokens, before each of which there may be spaces.
fn after<'a, const N: usize>(mut rest: &'a [u8], tokens: [&[u8]; N]) -> Option<&'a [u8]> {
    for token in tokens {
        rest = trim_start(rest).strip_prefix(token)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use callgate_client::dynamic::CheckedResult;
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::testing::{texts, values};
    use super::*;
    use crate::frame::{Incoming, parse};

    #[test]
    fn an_answer_is_recognised_as_usual_libraries_write_it() {
        for frame in [
            r#"{"type":"response","id":"7d","result":{"a":[1,"}"]}}"#,
            r#"{"type": "response", "id": "7d", "result": {"a":[1,"}"]}}"#,
            r#" { "type" : "response" , "id" : "7d" , "result":{"a":[1,"}"]}} "#,
        ] {
            let (id, result) = plain_response(frame.as_bytes()).unwrap();
            let result = str::from_utf8(result).unwrap();
            assert_eq!((id, result), ("7d", r#"{"a":[1,"}"]}"#), "{frame}");
        }
    }

    #[test]
    fn what_is_more_than_an_answer_is_parsed() {
        for frame in [
            r#"{"type":"response","id":"7d"}"#,
            r#"{"type":"response","id":"7\u0064","result":1}"#,
            r#"{"type":"response","id":"7\,"result":1}"#,
            r#"{"type":"response","id":7,"result":1}"#,
            r#"{"type":"responses","id":"7","result":1}"#,
            r#"{"id":"7","type":"response","result":1}"#,
            "{\"type\":\"response\",\"id\":\"a\tb\",\"result\":1}",
            "\u{c}{\"type\":\"response\",\"id\":\"7\",\"result\":1}",
            r#"{"type":"response","id":"7","result":1"#,
        ] {
            assert_eq!(plain_response(frame.as_bytes()), None, "{frame}");
        }
        let long = "x".repeat(NAME_CAP + 1);
        let frame = format!(r#"{{"type":"response","id":"{long}","result":1}}"#);
        assert_eq!(plain_response(frame.as_bytes()), None);
    }

    /// A second result, or an error after the result, makes another frame of it.
    #[test]
    fn what_follows_the_result_is_no_part_of_a_value() {
        for more in [r#","error":null"#, r#","result":2"#, ",", "}", r#","#] {
            let frame = format!(r#"{{"type":"response","id":"7","result":1{more}}}"#);
            let (_, result) = plain_response(frame.as_bytes()).unwrap();
            assert!(CheckedResult::new(result).is_err(), "{frame}");
        }
    }

    proptest! {
        /// Whatever is taken without parsing is what parsing finds.
        #[test]
        fn it_reads_what_parsing_reads(
            id in texts(),
            (value, more) in (values(), values()),
            cut in 0..4_usize,
            garbage in "[\\PC\u{0}-\u{20}]{0,3}",
        ) {
            let frame = json!({"type": "response", "id": id, "result": value}).to_string();
            let frames = [
                format!(r#"{{"type":"response","id":{},"result":{value}}}"#, json!(id)),
                format!(r#"{{"type":"response","id":{},"result":{value},"error":{more}}}"#, json!(id)),
                format!(r#"{{"type":"response","id":{},"result":{value}{garbage}}}"#, json!(id)),
                format!(r#"{{"type":"response","id":{},"result":{garbage}{value}}}{garbage}"#, json!(id)),
            ];
            for frame in [frame].iter().chain(&frames[cut..=cut]) {
                let Some((id, result)) = plain_response(frame.as_bytes()) else {
                    continue;
                };
                if CheckedResult::new(result).is_err() {
                    continue;
                }
                let Ok(Incoming::Response(parsed)) = parse(frame.as_bytes()) else {
                    panic!("{frame}");
                };
                prop_assert_eq!(id, &*parsed.id);
                let expected = parsed.outcome.expect("a result").get();
                let found = str::from_utf8(result).unwrap();
                let white = [' ', '\t', '\n', '\r'];
                prop_assert_eq!(found.trim_matches(white), expected);
            }
        }

        /// The same, where one byte of the frame is another one.
        #[test]
        fn a_frame_with_one_byte_changed_is_read_as_parsing_reads_it(
            value in values(),
            (at, byte) in (0..60_usize, prop::sample::select(b"\"\\{}[],: a\t".as_slice())),
        ) {
            let mut frame = format!(r#"{{"type":"response","id":"7d","result":{value}}}"#).into_bytes();
            let at = at % frame.len();
            frame[at] = byte;
            if let Some((id, result)) = plain_response(&frame)
                && let Ok(text) = str::from_utf8(result)
                && CheckedResult::new(result).is_ok()
            {
                let Ok(Incoming::Response(parsed)) = parse(&frame) else {
                    panic!("{}", String::from_utf8_lossy(&frame));
                };
                prop_assert_eq!(id, &*parsed.id);
                let white = [' ', '\t', '\n', '\r'];
                prop_assert_eq!(text.trim_matches(white), parsed.outcome.expect("a result").get());
            }
        }
    }
}
