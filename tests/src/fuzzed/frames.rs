//! What a plugin writes to its standard output, compared with how serde_json reads it.

use callgate_client::__private::serde::de::IgnoredAny;
use callgate_runtime::__private::{Told, told};
use serde_json::Value;

/// Splits a stream into lines, as a whole and in pieces, and reads its frames. The first bytes are two sizes of
/// pieces and the two limits in units of eight bytes.
pub(super) fn split(input: &[u8]) {
    let Some((head, stream)) = input.split_first_chunk::<4>() else {
        return;
    };
    let [first, second, frame, log_line] = head.map(usize::from);
    let (frame, log_line) = (frame.max(1) * 8, log_line * 8);
    let whole = told(stream, &[stream.len()], frame, log_line);
    for sizes in [&[first, second][..], &[1]] {
        let in_pieces = told(stream, sizes, frame, log_line);
        assert_eq!(in_pieces, whole, "pieces of {sizes:?}");
    }
    for line in whole {
        check(line);
    }
}

fn check(line: Told) {
    match line {
        Told::Log(text, _) => assert!(!text.contains('\n')),
        Told::Malformed(frame, reason) => {
            assert!(!reason.is_empty());
            assert!(!is_handshake(&frame), "{reason}");
        }
        Told::Service(frame, arguments) => {
            assert_is_json(&frame);
            assert_is_json(arguments.as_bytes());
            service(&frame, &arguments);
        }
        Told::Response(frame, line) => {
            assert_is_json(&frame);
            response(&frame, &line);
        }
        Told::Other(frame) => assert_is_json(&frame),
        Told::Fatal => {}
    }
}

fn is_handshake(frame: &[u8]) -> bool {
    [&br#"{"type":"ready"}"#[..], br#"{"type":"serve_ready"}"#].contains(&frame)
}

fn assert_is_json(text: &[u8]) {
    let read = serde_json::from_slice::<IgnoredAny>(text);
    assert!(read.is_ok(), "{}: {read:?}", text.escape_ascii());
}

/// The text as serde_json reads it; `None` for numbers beyond a float's range, single halves of surrogate pairs and
/// the deepest frames, which serde_json refuses.
fn value(text: &[u8]) -> Option<Value> {
    serde_json::from_slice(text).ok()
}

fn service(frame: &[u8], arguments: &str) {
    let Some(Value::Object(mut fields)) = value(frame) else {
        return;
    };
    assert!(fields.remove("type").is_some_and(|kind| kind.is_string()));
    assert!(!fields.remove("id").is_some_and(|id| id.is_number()));
    assert_eq!(value(arguments.as_bytes()), Some(Value::Object(fields)));
}

/// The answer to a request is passed on as the answer to a service call: both are the same frame.
fn response(frame: &[u8], line: &[u8]) {
    let (end, body) = line.split_last().expect("it is not too large");
    assert_eq!(*end, b'\n');
    assert!(!body.contains(&b'\n') && !body.contains(&b'\r'));
    assert_is_json(body);
    let Some(said) = value(frame) else {
        return;
    };
    let passed_on = value(body).expect("it has no more than the frame");
    assert_eq!(
        (&said["id"], "response"),
        (&passed_on["id"], passed_on["type"].as_str().unwrap_or(""))
    );
    if said["error"].is_null() {
        assert_eq!(said["result"], passed_on["result"]);
    } else {
        for field in ["code", "message", "context"] {
            assert_eq!(said["error"][field], passed_on["error"][field]);
        }
    }
}
