use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::testing::{loose, raw, texts, values};
use super::NAMES;
use crate::frame::*;

const USER: User<'_> = User {
    id: "u-1",
    display_name: "Ada \"L\"",
    avatar_url: Some("a.png"),
    role: "admin",
};

fn line(frame: &Outgoing<'_>) -> String {
    String::from_utf8(frame.to_line(FRAME_CAP).unwrap()).unwrap()
}

fn failure() -> Failure<'static> {
    Failure {
        code: Cow::Borrowed("NOT_READY"),
        message: Cow::Borrowed("nobody\nprovides it"),
        context: Some(raw(r#"{"gate":"x.y"}"#)),
    }
}

/// Each kind of frame, and the line that a plugin receives for it.
fn examples() -> Vec<(Outgoing<'static>, &'static str)> {
    let failure: &Failure<'_> = Box::leak(Box::new(failure()));
    let bare: &Failure<'_> = Box::leak(Box::new(Failure {
        context: None,
        ..failure.clone()
    }));
    vec![
        (
            Outgoing::Request(Request {
                id: "7d",
                action: "say",
                params: r#"{"text": "é"}"#,
                user: USER,
                session_id: Some("s"),
            }),
            r#"{"type":"request","id":"7d","action":"say","params":{"text": "é"},"user":{"id":"u-1","displayName":"Ada \"L\"","avatarUrl":"a.png","role":"admin"},"session_id":"s"}"#,
        ),
        (
            Outgoing::Request(Request {
                id: "7d",
                action: "say",
                params: "{}",
                user: User {
                    avatar_url: None,
                    ..USER
                },
                session_id: None,
            }),
            r#"{"type":"request","id":"7d","action":"say","params":{},"user":{"id":"u-1","displayName":"Ada \"L\"","avatarUrl":null,"role":"admin"}}"#,
        ),
        (
            Outgoing::Response {
                id: "1",
                outcome: Ok(raw("[1e999]")),
            },
            r#"{"type":"response","id":"1","result":[1e999]}"#,
        ),
        (
            Outgoing::Response {
                id: "1",
                outcome: Err(failure),
            },
            r#"{"type":"response","id":"1","error":{"code":"NOT_READY","message":"nobody\nprovides it","context":{"gate":"x.y"}}}"#,
        ),
        (
            Outgoing::Response {
                id: "1",
                outcome: Err(bare),
            },
            r#"{"type":"response","id":"1","error":{"code":"NOT_READY","message":"nobody\nprovides it"}}"#,
        ),
        (
            Outgoing::Ack {
                id: "1",
                outcome: Ok(None),
            },
            r#"{"type":"event.ack","id":"1","ok":true}"#,
        ),
        (
            Outgoing::Ack {
                id: "1",
                outcome: Ok(Some("e-9")),
            },
            r#"{"type":"event.ack","id":"1","ok":true,"event_id":"e-9"}"#,
        ),
        (
            Outgoing::Ack {
                id: "1",
                outcome: Err(bare),
            },
            r#"{"type":"event.ack","id":"1","ok":false,"error":{"code":"NOT_READY","message":"nobody\nprovides it"}}"#,
        ),
        (
            Outgoing::Deliver {
                topic: "chat.said",
                version: None,
                id: "e-9",
                ts: u64::MAX,
                source_plugin: "chat",
                payload: raw("null"),
                subscription: "chat.*",
            },
            r#"{"type":"event.deliver","topic":"chat.said","version":1,"id":"e-9","ts":18446744073709551615,"source_plugin":"chat","payload":null,"subscription":"chat.*"}"#,
        ),
        (
            Outgoing::Deliver {
                topic: "t",
                version: Some(raw("\"2.0\"")),
                id: "e",
                ts: 0,
                source_plugin: "p",
                payload: raw("0"),
                subscription: "t",
            },
            r#"{"type":"event.deliver","topic":"t","version":"2.0","id":"e","ts":0,"source_plugin":"p","payload":0,"subscription":"t"}"#,
        ),
        (
            Outgoing::Ping { nonce: u64::MAX },
            r#"{"type":"ping","nonce":18446744073709551615}"#,
        ),
        (
            Outgoing::FileUploaded {
                filename: "a.png",
                path: "/tmp/a.png",
                size: u64::MAX,
                mime_type: "image/png",
                uploaded_by: "u-1",
                uploaded_at: raw("\"2026-11-30T12:00:00Z\""),
            },
            r#"{"type":"file.uploaded","filename":"a.png","path":"/tmp/a.png","size":18446744073709551615,"mimeType":"image/png","uploadedBy":"u-1","uploadedAt":"2026-11-30T12:00:00Z"}"#,
        ),
        (
            Outgoing::ConfigChanged {
                key: "k",
                value: raw("true"),
                changed_by_user_id: None,
                ts: u64::MAX,
            },
            r#"{"type":"core.plugin.config_changed","key":"k","value":true,"changed_by_user_id":null,"ts":18446744073709551615}"#,
        ),
    ]
}

#[test]
fn each_frame_is_one_line_with_the_fields_of_the_protocol() {
    for (frame, expected) in examples() {
        assert_eq!(line(&frame), format!("{expected}\n"));
    }
}

/// Asserts that a line was written into the buffer that was made for it, and that this was not much too large.
fn assert_has_room(frame: &Outgoing<'_>) {
    let room = frame.length() + 1;
    let bytes = frame.to_line(FRAME_CAP).unwrap();
    assert_eq!(bytes.capacity(), room, "{frame:?}");
    assert!(room - bytes.len() < NAMES, "{frame:?}");
}

/// The buffer grew three times while a frame was written, and each time all of it was copied.
#[test]
fn a_frame_without_escapes_is_written_into_one_buffer() {
    for (frame, _) in examples() {
        assert_has_room(&frame);
    }
}

/// The examples are so short that a text that was not counted found room among the names.
#[test]
fn each_long_text_of_a_frame_is_counted_once() {
    let long = "x".repeat(1000);
    let long = long.as_str();
    let quoted = format!("\"{long}\"");
    let failure = Failure {
        code: long.into(),
        message: long.into(),
        context: Some(raw(&quoted)),
    };
    assert_has_room(&Outgoing::Request(Request {
        id: long,
        action: long,
        params: &quoted,
        user: User {
            id: long,
            display_name: long,
            avatar_url: Some(long),
            role: long,
        },
        session_id: Some(long),
    }));
    for outcome in [Ok(raw(&quoted)), Err(&failure)] {
        assert_has_room(&Outgoing::Response { id: long, outcome });
    }
    for outcome in [Ok(Some(long)), Err(&failure)] {
        assert_has_room(&Outgoing::Ack { id: long, outcome });
    }
}

#[test]
fn each_long_text_of_an_event_is_counted_once() {
    let long = "x".repeat(1000);
    let long = long.as_str();
    let quoted = format!("\"{long}\"");
    assert_has_room(&Outgoing::Deliver {
        topic: long,
        version: Some(raw(&quoted)),
        id: long,
        ts: 0,
        source_plugin: long,
        payload: raw(&quoted),
        subscription: long,
    });
    assert_has_room(&Outgoing::FileUploaded {
        filename: long,
        path: long,
        size: 0,
        mime_type: long,
        uploaded_by: long,
        uploaded_at: raw(&quoted),
    });
    assert_has_room(&Outgoing::ConfigChanged {
        key: long,
        value: raw(&quoted),
        changed_by_user_id: Some(long),
        ts: 0,
    });
}

#[test]
fn a_frame_of_the_cap_is_written_and_one_byte_more_is_not() {
    for (frame, expected) in examples() {
        let length = expected.len();
        assert_eq!(frame.to_line(length).map(|line| line.len()), Ok(length + 1));
        for cap in [length - 1, length / 2, 1, 0] {
            assert_eq!(frame.to_line(cap), Err(TooLarge { cap }), "{expected}");
        }
    }
    // `{"type":"response","id":"","result":""}` has 39 bytes.
    let text = |length: usize| format!("\"{}\"", "x".repeat(length - 39));
    let (full, over) = (text(FRAME_CAP), text(FRAME_CAP + 1));
    let to_line = |text: &str| {
        let outcome = Ok(raw(text));
        Outgoing::Response { id: "", outcome }.to_line(FRAME_CAP)
    };
    assert_eq!(to_line(&full).unwrap().len(), FRAME_CAP + 1);
    assert_eq!(to_line(&over), Err(TooLarge { cap: FRAME_CAP }));
}

/// The length counts after escaping, and the buffer stops at the cap: refusing a frame never takes more memory than the cap.
#[test]
fn a_text_that_grows_when_it_is_escaped_counts_as_it_is_written() {
    let id = "\u{1}".repeat(100);
    let frame = Outgoing::Ack {
        id: &id,
        outcome: Ok(None),
    };
    assert_eq!(frame.to_line(600), Err(TooLarge { cap: 600 }));
    assert_eq!(
        line(&frame).len(),
        600 + r#"{"type":"event.ack","id":"","ok":true}"#.len() + 1
    );
}

/// JSON that an author had formatted over several lines arrived at the plugin as several lines, none of them a frame.
#[test]
fn line_breaks_between_what_belongs_together_become_spaces() {
    let frame = Outgoing::Response {
        id: "a\nb\r",
        outcome: Ok(raw("[\n1,\r\n\t\"\\n\\r\u{2028}\"\r]")),
    };
    let expected =
        "{\"type\":\"response\",\"id\":\"a\\nb\\r\",\"result\":[ 1,  \t\"\\n\\r\u{2028}\" ]}\n";
    assert_eq!(line(&frame), expected);
}

proptest! {
    #[test]
    fn any_frame_is_one_line_that_says_the_same(
        (id, other, code, message) in (texts(), texts(), texts(), texts()),
        (value, more) in (values(), values()),
        number in any::<u64>(),
        is_loose in any::<bool>(),
    ) {
        let write = |value: &Value| if is_loose { loose(value) } else { value.to_string() };
        let (text, more_text) = (write(&value), write(&more));
        let failure = Failure {
            code: code.as_str().into(),
            message: message.as_str().into(),
            context: Some(raw(&more_text)),
        };
        let error = json!({"code": code, "message": message, "context": more});
        let user = User { id: &code, display_name: &message, avatar_url: Some(&id), role: &other };
        let user_value = json!({"id": code, "displayName": message, "avatarUrl": id, "role": other});
        let cases = [
            (
                Outgoing::Request(Request { id: &id, action: &other, params: &text, user, session_id: Some(&code) }),
                json!({"type": "request", "id": id, "action": other, "params": value, "user": user_value, "session_id": code}),
            ),
            (
                Outgoing::Response { id: &id, outcome: Err(&failure) },
                json!({"type": "response", "id": id, "error": error}),
            ),
            (
                Outgoing::Ack { id: &id, outcome: Err(&failure) },
                json!({"type": "event.ack", "id": id, "ok": false, "error": error}),
            ),
            (
                Outgoing::Deliver {
                    topic: &other, version: None, id: &id, ts: number, source_plugin: &code, payload: raw(&text), subscription: &message,
                },
                json!({"type": "event.deliver", "topic": other, "version": 1, "id": id, "ts": number,
                    "source_plugin": code, "payload": value, "subscription": message}),
            ),
            (
                Outgoing::ConfigChanged { key: &id, value: raw(&text), changed_by_user_id: Some(&other), ts: number },
                json!({"type": "core.plugin.config_changed", "key": id, "value": value, "changed_by_user_id": other, "ts": number}),
            ),
        ];
        for (frame, expected) in cases {
            let line = line(&frame);
            let (body, after) = line.split_once('\n').unwrap();
            prop_assert_eq!(after, "");
            prop_assert!(!body.contains('\r'));
            prop_assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
        }
    }
}
