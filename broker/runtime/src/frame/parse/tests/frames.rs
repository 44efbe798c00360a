//! Each frame of the protocol, with all of its fields and with as few as it may have.

use super::*;

#[test]
fn handshakes_and_pongs_need_nothing_else() {
    assert!(matches!(parsed(r#"{"type":"ready"}"#), Incoming::Ready));
    let more = r#" {"type":"ready","id":7,"sdk":{"version":"1.2"}} "#;
    assert!(matches!(parsed(more), Incoming::Ready));
    let escaped = r#"{"\u0074ype":"re\u0061dy"}"#;
    assert!(matches!(parsed(escaped), Incoming::Ready));
    assert!(matches!(
        parsed(r#"{"type":"serve_ready"}"#),
        Incoming::ServeReady
    ));
    let nonces = [
        (r#"{"type":"pong"}"#, None),
        (r#"{"type":"pong","nonce":0}"#, Some(0)),
        (
            r#"{"nonce":18446744073709551615,"type":"pong"}"#,
            Some(u64::MAX),
        ),
        // The pong counts as an answer whatever its nonce is.
        (r#"{"type":"pong","nonce":18446744073709551616}"#, None),
        (r#"{"type":"pong","nonce":"7"}"#, None),
        (r#"{"type":"pong","nonce":-1}"#, None),
        (r#"{"type":"pong","nonce":null}"#, None),
        (r#"{"type":"pong","nonce":{}}"#, None),
    ];
    for (text, expected) in nonces {
        let Incoming::Pong { nonce } = parsed(text) else {
            panic!("{text}");
        };
        assert_eq!(nonce, expected, "{text}");
    }
}

/// The id, and either the result or the code, message and context of the error.
fn response(text: &str) -> (String, Result<String, [String; 3]>) {
    let Incoming::Response(response) = parsed(text) else {
        panic!("{text}");
    };
    let outcome = response.outcome.map(|result| result.get().to_owned());
    let outcome = outcome.map_err(|failure| {
        let context = failure.context.map_or("none", RawValue::get);
        [&failure.code, &failure.message, context].map(str::to_owned)
    });
    (response.id.into_owned(), outcome)
}

#[test]
fn a_response_has_a_result_or_an_error() {
    let result = |text: &str| Ok(text.to_owned());
    let error = |texts: [&str; 3]| Err(texts.map(str::to_owned));
    let cases = [
        (r#""result":1"#, result("1")),
        (
            r#""result": { "a" : [1e999, 1.0] } "#,
            result(r#"{ "a" : [1e999, 1.0] }"#),
        ),
        // Some languages leave out the `result` of a function that returns nothing.
        (r#""more":1"#, result("null")),
        (r#""result":null"#, result("null")),
        (r#""result":1,"error":null"#, result("1")),
        (
            r#""error":{"code":"C","message":"m"}"#,
            error(["C", "m", "none"]),
        ),
        (
            r#""result":1,"error":{"message":"\u00e9\n","code":"","context":{"a":1},"stack":"s"}"#,
            error(["", "é\n", "{\"a\":1}"]),
        ),
        (
            r#""error":{"code":"C","message":"m","context":null}"#,
            error(["C", "m", "none"]),
        ),
        (
            r#""error":{"code":"C","message":"m","context":false}"#,
            error(["C", "m", "false"]),
        ),
    ];
    for (fields, expected) in cases {
        let text = String::from(r#"{"type":"response","id":"a","#) + fields + "}";
        assert_eq!(response(&text), ("a".to_owned(), expected), "{text}");
    }
}

#[test]
fn a_result_is_passed_on_as_it_was_written() {
    let results = [
        "123456789012345678901234567890.123456789",
        "-0",
        r#""\u0000\u2028\ud83d\ude00""#,
        "\"\u{2028}\u{2029}\"",
        "[ 1 ,\t2 ]",
        r#"{"__bin":"AAECAw=="}"#,
        r#"{"a":1,"a":2}"#,
    ];
    for result in results {
        let text = format!(r#"{{"type":"response","id":"a","result":{result}}}"#);
        assert_eq!(response(&text).1, Ok(result.to_owned()));
    }
}

/// Texts without escapes are borrowed from the frame, so that parsing copies nothing.
#[test]
fn what_needs_no_unescaping_is_borrowed() {
    let text = r#"{"type":"response","id":"an id","error":{"code":"C","message":"m"}}"#;
    let Incoming::Response(response) = parsed(text) else {
        panic!("{text}");
    };
    assert!(matches!(response.id, Cow::Borrowed(_)));
    let failure = response.outcome.unwrap_err();
    assert!(matches!(failure.code, Cow::Borrowed(_)));
    assert!(matches!(failure.message, Cow::Borrowed(_)));
}

#[test]
fn ids_are_any_texts_up_to_their_limit() {
    let longest = "é".repeat(NAME_CAP / 2);
    for id in ["", "7", "\u{0}\n", "\u{1F600}", &longest] {
        let text = json!({"type": "response", "id": id}).to_string();
        assert_eq!(response(&text).0, *id);
        let text = format!("{{\"type\":\"response\",\"id\":\"{}\"}}", escaped(id));
        assert_eq!(response(&text).0, *id);
    }
}

/// The text with each character written as an escape: short once decoded, long in the frame.
fn escaped(text: &str) -> String {
    let units = text.encode_utf16();
    units.fold(String::new(), |mut all, unit| {
        write!(all, "\\u{unit:04x}").unwrap();
        all
    })
}

#[test]
fn a_failed_delivery_has_a_reason() {
    let text = r#"{"type":"event.deliver.error","id":"e","error":"no \"x\""}"#;
    let Incoming::DeliverError(failed) = parsed(text) else {
        panic!("{text}");
    };
    assert_eq!((&*failed.id, &*failed.error), ("e", "no \"x\""));
}

#[test]
fn an_event_has_a_topic_and_may_have_the_rest() {
    let cases = [
        ("", (None, "null", None)),
        (
            r#","id":null,"payload":null,"version":null"#,
            (None, "null", None),
        ),
        (
            r#","id":"p","payload":{"n": 1},"version":2"#,
            (Some("p"), r#"{"n": 1}"#, Some("2")),
        ),
        (r#","payload":"x","version":1"#, (None, "\"x\"", None)),
        (r#","version":"1.0""#, (None, "null", Some("\"1.0\""))),
    ];
    for (fields, expected) in cases {
        let text = format!(r#"{{"type":"events.publish","topic":"chat.said"{fields}}}"#);
        let Incoming::Publish(publish) = parsed(&text) else {
            panic!("{text}");
        };
        assert_eq!(publish.topic, "chat.said");
        let version = publish.version.map(RawValue::get);
        let found = (publish.id.as_deref(), publish.payload.get(), version);
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn a_subscription_has_a_topic_and_may_have_a_queue() {
    let cases = [
        ("", (None, None, None)),
        (
            r#","overflow_policy":null,"queue_size":null"#,
            (None, None, None),
        ),
        (
            r#","id":"s","overflow_policy":"drop_oldest","queue_size":1"#,
            (Some("s"), Some(Overflow::DropOldest), Some(1)),
        ),
        (
            r#","overflow_policy":"drop_newest","queue_size":4294967295"#,
            (None, Some(Overflow::DropNewest), Some(u32::MAX)),
        ),
        (
            r#","overflow_policy":"mark_unhealth\u0079""#,
            (None, Some(Overflow::MarkUnhealthy), None),
        ),
    ];
    for (fields, expected) in cases {
        let text = format!(r#"{{"type":"events.subscribe","topic":"chat.*"{fields}}}"#);
        let Incoming::Subscribe(found) = parsed(&text) else {
            panic!("{text}");
        };
        assert_eq!(found.topic, "chat.*");
        let found = (found.id.as_deref(), found.overflow, found.queue_size);
        assert_eq!(found, expected, "{text}");
    }
    let text = r#"{"type":"events.unsubscribe","topic":"chat.*","id":"u"}"#;
    let Incoming::Unsubscribe(found) = parsed(text) else {
        panic!("{text}");
    };
    assert_eq!((found.id.as_deref(), &*found.topic), (Some("u"), "chat.*"));
}

proptest! {
    /// The values come from a plugin that writes compact JSON, and from one that formats its JSON by hand.
    #[test]
    fn a_response_survives_however_it_is_written(
        id in texts(),
        code in texts(),
        message in texts(),
        value in values(),
        is_error in any::<bool>(),
    ) {
        let error = json!({"code": code, "message": message, "context": value});
        let written = match is_error {
            true => json!({"type": "response", "id": id, "error": error}),
            false => json!({"type": "response", "id": id, "result": value}),
        };
        for text in [written.to_string(), loose(&written)] {
            let Incoming::Response(response) = parsed(&text) else {
                panic!("{text}");
            };
            prop_assert_eq!(&response.id, &id);
            match response.outcome {
                Ok(result) => {
                    prop_assert!(!is_error);
                    prop_assert_eq!(serde_json::from_str::<Value>(result.get()).unwrap(), value.clone());
                }
                Err(failure) => {
                    prop_assert!(is_error);
                    prop_assert_eq!((&*failure.code, &*failure.message), (&*code, &*message));
                    let context = failure.context.map_or("null", RawValue::get);
                    prop_assert_eq!(serde_json::from_str::<Value>(context).unwrap(), value.clone());
                }
            }
        }
    }
}
