//! Frames that are refused, and the reasons that their authors read.

use super::*;

#[test]
fn what_is_no_object_with_a_type_is_refused_with_a_reason() {
    let cases: &[(&[u8], &str)] = &[
        (b"", "expected an object, found nothing"),
        (b"  \r", "expected an object, found nothing"),
        (b"hello", "expected an object, found what is not JSON"),
        (b"null", "expected an object, found null"),
        (
            b"[{\"type\":\"ready\"}]",
            "expected an object, found a list",
        ),
        (b"\"{}\"", "expected an object, found a string"),
        (b"-1", "expected an object, found a number"),
        (b"true", "expected an object, found a boolean"),
        (
            "\u{FEFF}{\"type\":\"ready\"}".as_bytes(),
            "expected an object, found what is not JSON",
        ),
        (b"{", "EOF while parsing an object at line 1 column 1"),
        (
            b"{\"type\":\"ready\"",
            "EOF while parsing an object at line 1 column 15",
        ),
        (
            b"{\"type\":\"ready\"}}",
            "trailing characters at line 1 column 17",
        ),
        (
            b"{\"type\":\"ready\"}{\"type\":\"pong\"}",
            "trailing characters at line 1 column 17",
        ),
        (
            b"{\"type\":\"ready\"}\x0c",
            "trailing characters at line 1 column 17",
        ),
        (
            b"\x0b{\"type\":\"ready\"}",
            "expected an object, found what is not JSON",
        ),
        (
            b"{'type':'ready'}",
            "key must be a string at line 1 column 2",
        ),
        (
            b"{\"type\":\"ready\",}",
            "trailing comma at line 1 column 17",
        ),
        (
            b"{\"type\":\"ready\",\"a\":01}",
            "invalid number at line 1 column 22",
        ),
        (
            b"{\"type\":\"ready\",\"a\":NaN}",
            "expected value at line 1 column 21",
        ),
        (b"{\"type\":\"ready\",\"a\":\"\0\"}", "control character"),
        (b"{\"type\":\"ready\",\"a\":\"\\x\"}", "invalid escape"),
        (
            b"{\"type\":\"ready\",\"\\ud800\":1}",
            "a field's name is no text",
        ),
        (
            b"{\"type\":\"\xFF\"}",
            "it is not UTF-8: invalid utf-8 sequence of 1 bytes from index 9",
        ),
        (
            b"{\"type\":\"\xC3",
            "it is not UTF-8: incomplete utf-8 byte sequence from index 9",
        ),
        (b"{}", "`type`: expected a string, found nothing"),
        (
            b"{\"Type\":\"ready\"}",
            "`type`: expected a string, found nothing",
        ),
        (b"{\"type\":null}", "`type`: expected a string, found null"),
        (b"{\"type\":7}", "`type`: expected a string, found 7"),
        (
            b"{\"type\":[\"ready\"]}",
            "`type`: expected a string, found a list",
        ),
        (
            b"{\"type\":\"\\ud800\"}",
            "`type`: expected a string without halves of surrogate pairs, found \"\\ud800\"",
        ),
    ];
    for (text, expected) in cases {
        let malformed = refused(text);
        assert!(
            malformed.reason.starts_with(expected),
            "{}: {malformed}",
            text.escape_ascii()
        );
        assert_eq!((malformed.kind, malformed.id), (None, None));
    }
}

#[test]
fn a_field_of_the_wrong_kind_is_named_with_what_was_expected() {
    let policies = "\"drop_oldest\", \"drop_newest\" or \"mark_unhealthy\"";
    let cases = [
        (r#""response""#, "`id`: expected a string, found nothing"),
        (
            r#""response","id":null"#,
            "`id`: expected a string, found null",
        ),
        (r#""response","id":7"#, "`id`: expected a string, found 7"),
        (
            r#""response","id":"i","error":"text""#,
            "`error`: expected an object with `code` and `message`, found \"text\"",
        ),
        (
            r#""response","id":"i","error":true"#,
            "`error`: expected an object with `code` and `message`, found true",
        ),
        (
            r#""response","id":"i","error":{}"#,
            "in `error`, `code`: expected a string, found nothing",
        ),
        (
            r#""response","id":"i","error":{"code":1}"#,
            "in `error`, `code`: expected a string, found 1",
        ),
        (
            r#""response","id":"i","error":{"code":"C"}"#,
            "in `error`, `message`: expected a string, found nothing",
        ),
        (
            r#""response","id":"i","error":{"code":"C","message":{}}"#,
            "in `error`, `message`: expected a string, found an object",
        ),
        (
            r#""event.deliver.error","error":"x""#,
            "`id`: expected a string, found nothing",
        ),
        (
            r#""event.deliver.error","id":"i""#,
            "`error`: expected a string, found nothing",
        ),
        (
            r#""event.deliver.error","id":"i","error":{"code":"C"}"#,
            "`error`: expected a string, found an object",
        ),
        (
            r#""events.publish","id":"i""#,
            "`topic`: expected a string, found nothing",
        ),
        (
            r#""events.publish","id":1,"topic":"t""#,
            "`id`: expected a string, found 1",
        ),
        (
            r#""events.publish","id":"i","topic":["t"]"#,
            "`topic`: expected a string, found a list",
        ),
        (
            r#""events.publish","id":"i","topic":"t","version":{}"#,
            "`version`: expected a number or a string, found an object",
        ),
        (
            r#""events.subscribe","id":"i""#,
            "`topic`: expected a string, found nothing",
        ),
        (
            r#""events.subscribe","id":"i","topic":"t","overflow_policy":"drop""#,
            "`overflow_policy`: expected POLICIES, found \"drop\"",
        ),
        (
            r#""events.subscribe","id":"i","topic":"t","overflow_policy":1"#,
            "`overflow_policy`: expected POLICIES, found 1",
        ),
        (
            r#""events.subscribe","id":"i","topic":"t","queue_size":0"#,
            "`queue_size`: expected a whole number from 1 to 4294967295, found 0",
        ),
        (
            r#""events.subscribe","id":"i","topic":"t","queue_size":4294967296"#,
            "`queue_size`: expected a whole number from 1 to 4294967295, found 4294967296",
        ),
        (
            r#""events.subscribe","id":"i","topic":"t","queue_size":"9""#,
            "`queue_size`: expected a whole number from 1 to 4294967295, found \"9\"",
        ),
        (
            r#""events.unsubscribe","id":"i","topic":1"#,
            "`topic`: expected a string, found 1",
        ),
        (
            r#""x.y","id":{}"#,
            "`id`: expected a string, found an object",
        ),
        (r#""data.kv","id":12"#, "`id`: expected a string, found 12"),
    ];
    for (fields, expected) in cases {
        let text = format!(r#"{{"type":{fields}}}"#);
        let malformed = refused(&text);
        assert_eq!(
            malformed.reason,
            expected.replace("POLICIES", policies),
            "{text}"
        );
        let kind = malformed.kind.expect("the type could be read");
        assert!(fields.starts_with(&format!("\"{kind}\"")), "{kind}");
        // The id is kept, so that the side that waits for the answer can be told.
        let id = fields.contains(r#""id":"i""#).then(|| "i".to_owned());
        assert_eq!(malformed.id, id, "{text}");
    }
}

#[test]
fn a_type_and_an_id_beyond_their_limit_are_refused() {
    let name = |length: usize| "é".repeat(length / 2) + &"x".repeat(length % 2);
    let text = json!({"type": name(NAME_CAP), "id": name(NAME_CAP)}).to_string();
    assert!(matches!(parsed(&text), Incoming::Service(_)));
    let text = json!({"type": name(NAME_CAP + 1), "id": "i"}).to_string();
    let reason = "`type`: expected a string of at most 256 bytes, found one of 257";
    assert_eq!(refused(&text).reason, reason);
    let text = json!({"type": "response", "id": name(NAME_CAP + 1)}).to_string();
    let reason = "`id`: expected a string of at most 256 bytes, found one of 257";
    assert_eq!(refused(&text).reason, reason);
}

/// A frame that is nested this deep.
fn nested(depth: usize) -> String {
    let (open, close) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
    format!(r#"{{"type":"response","id":"i","result":{open}{close}}}"#)
}

/// serde_json's own limit is one level lower, and it does not count levels inside values that are only skipped.
#[test]
fn the_deepest_frame_is_taken_and_one_level_more_is_refused() {
    let text = nested(DEEPEST);
    assert!(matches!(parsed(&text), Incoming::Response(_)));
    let deep = "it is nested deeper than 128";
    assert_eq!(refused(nested(DEEPEST + 1)).reason, deep);
    // As deep as the size of a frame allows: parsing it by recursion would overflow the stack.
    let deepest = format!("{{\"type\":{}", "[".repeat(FRAME_CAP - 8));
    assert_eq!(refused(deepest).reason, deep);
    let objects = "{\"a\":".repeat(DEEPEST + 1);
    assert_eq!(refused(objects).reason, deep);
}

/// Reasons go to logs: a reason that quoted the whole frame filled them.
#[test]
fn a_reason_is_short_whatever_the_frame_is() {
    let long = "é".repeat(100_000);
    let texts = [
        format!("\"{long}\""),
        format!(r#"{{"type":"ready","{long}":1,"{long}":1}}"#),
        format!(r#"{{"type":"events.subscribe","topic":"t","overflow_policy":"{long}"}}"#),
        format!(
            r#"{{"type":"events.subscribe","topic":"t","queue_size":{}}}"#,
            "9".repeat(100_000)
        ),
        format!(r#"{{"type":"{long}"}}"#),
        format!(r#"{{"type":"response","id":"i","error":{{"{long}":1,"{long}":1}}}}"#),
    ];
    for text in texts {
        let malformed = refused(&text);
        assert!(malformed.to_string().len() < 600, "{malformed}");
    }
}

/// Frames that only the runtime sends have no meaning from a child: they are of an unknown type or, with an id, calls of a service.
#[test]
fn the_runtimes_own_frames_are_none_of_a_child() {
    let frames = [
        Outgoing::Ping { nonce: 1 }.to_line(100).unwrap(),
        Outgoing::Ack {
            id: "a",
            outcome: Ok(None),
        }
        .to_line(100)
        .unwrap(),
    ];
    let kinds = frames.iter().map(|line| match parse(line) {
        Ok(Incoming::Unknown { kind }) => (kind.into_owned(), None),
        Ok(Incoming::Service(service)) => (service.kind.into_owned(), service.id),
        other => panic!("{other:?}"),
    });
    let kinds: Vec<_> = kinds.collect();
    assert_eq!(kinds[0], ("ping".to_owned(), None));
    assert_eq!(kinds[1], ("event.ack".to_owned(), Some("a".into())));
}
