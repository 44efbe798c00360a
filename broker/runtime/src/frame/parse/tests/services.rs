//! Frames that are calls of gates.

use super::*;

fn service(text: &str) -> Service<'_> {
    match parsed(text) {
        Incoming::Service(service) => service,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_service_keeps_all_fields_but_type_and_id() {
    let cases = [
        (r#"{"type":"data.kv","id":"1"}"#, "{}"),
        (
            r#"{"type":"data.kv","id":"1","method":"get","key":"k"}"#,
            r#"{"method":"get","key":"k"}"#,
        ),
        (
            r#" { "key" : [ 1e999 , "\u0000" ] , "id" : "1" , "m\u0065thod" : null , "type" : "data.kv" } "#,
            r#"{"key":[ 1e999 , "\u0000" ],"m\u0065thod":null}"#,
        ),
        // Fields with names that the runtime's own frames use, and such names inside values.
        (
            r#"{"type":"x.y","id":"1","result":1,"error":"e","payload":{"type":1,"id":2}}"#,
            r#"{"result":1,"error":"e","payload":{"type":1,"id":2}}"#,
        ),
        (
            r#"{"\u0074ype":"x.y","\u0069d":"1","Type":1,"ID":2}"#,
            r#"{"Type":1,"ID":2}"#,
        ),
    ];
    for (text, expected) in cases {
        let found = service(text);
        assert_eq!(found.id.as_deref(), Some("1"));
        assert_eq!(found.arguments(), expected, "{text}");
    }
}

#[test]
fn the_fields_of_a_service_can_be_looked_at() {
    let text = r#"{"type":"data.read","id":"1","plugin":"ch\u0061t","table":["t"],"limit":null}"#;
    let found = service(text);
    assert_eq!(found.kind, "data.read");
    assert_eq!(found.text("plugin").as_deref(), Some("chat"));
    assert_eq!(found.text("table"), None);
    assert_eq!(found.text("where"), None);
    assert_eq!(found.field("table").map(RawValue::get), Some(r#"["t"]"#));
    assert_eq!(found.field("limit").map(RawValue::get), Some("null"));
    assert!(found.field("where").is_none());
}

#[test]
fn of_types_that_are_not_known_those_with_an_id_are_services() {
    for kind in ["", "request", "gate.of.a.host", "Ready", "ready "] {
        let text = json!({"type": kind, "id": "1"}).to_string();
        assert_eq!(service(&text).kind, *kind);
        for text in [json!({"type": kind}), json!({"type": kind, "id": null})] {
            let text = text.to_string();
            let Incoming::Unknown { kind: found } = parsed(&text) else {
                panic!("{text}");
            };
            assert_eq!(found, *kind);
        }
    }
}

/// A broadcast without an id was ignored, and a call that the plugin had no right to make was ignored with it.
#[test]
fn services_of_the_protocol_need_no_id() {
    let kinds = [
        "data.sql",
        "data.kv",
        "data.read",
        "data.config",
        "schedule.register",
        "schedule.unregister",
        "http.fetch",
        "storage.file",
        "broadcast.clients",
        "presence.list",
        "permissions.check",
        "resources.check",
        "voice.tokens",
        "core.anything",
    ];
    for kind in kinds {
        let text = json!({"type": kind, "a": 1}).to_string();
        let found = service(&text);
        assert_eq!((&*found.kind, &found.id), (kind, &None));
        assert_eq!(found.arguments(), r#"{"a":1}"#);
    }
}

/// Names are compared after decoding escapes. Otherwise the check could read one of two equal names, and the service the other.
#[test]
fn a_field_that_is_there_twice_is_refused() {
    let reason = |text: &str| refused(text).reason;
    let texts = [
        r#"{"type":"data.read","id":"1","plugin":"mine","plugin":"yours"}"#,
        r#"{"type":"data.read","id":"1","plugin":"mine","plug\u0069n":"yours"}"#,
    ];
    for text in texts {
        let reason = reason(text);
        assert!(
            reason.starts_with("the field `plugin` is there twice"),
            "{reason}"
        );
    }
    assert!(reason(r#"{"type":"ready","type":"pong"}"#).contains("`type`"));
    assert!(reason(r#"{"type":"x","id":"1","":1,"":1}"#).contains("``"));
    let error = r#"{"type":"response","id":"1","error":{"code":"A","code":"B","message":""}}"#;
    assert!(reason(error).contains("`code`"));
    // Inside values names may repeat: the service that reads the value decides.
    let inside = r#"{"type":"data.kv","id":"1","value":{"a":1,"a":2}}"#;
    assert_eq!(service(inside).arguments(), r#"{"value":{"a":1,"a":2}}"#);
}

/// A frame with this many fields besides `type` and `id`.
fn wide(fields: usize) -> String {
    let mut text = String::from(r#"{"type":"x.y","id":"1""#);
    for field in 0..fields {
        write!(text, r#","{field}":{field}"#).unwrap();
    }
    text + "}"
}

#[test]
fn a_frame_has_as_many_fields_as_allowed_and_no_more() {
    let text = wide(MOST_FIELDS - 2);
    let found = service(&text);
    assert_eq!(found.text("1021"), None);
    assert_eq!(found.field("1021").map(RawValue::get), Some("1021"));
    let arguments: Value = serde_json::from_str(&found.arguments()).unwrap();
    assert_eq!(arguments.as_object().unwrap().len(), MOST_FIELDS - 2);
    let reason = refused(wide(MOST_FIELDS - 1)).reason;
    assert!(
        reason.starts_with("it has more than 1024 fields"),
        "{reason}"
    );
    for fields in [5, 13, 14, 15, 16, 100] {
        let twice = wide(fields).replace("\"4\":", "\"0\":");
        assert!(refused(&twice).reason.contains("`0` is there twice"));
        let last = format!("\"{}\":", fields - 1);
        let twice = wide(fields).replace(&last, "\"id\":");
        assert!(refused(&twice).reason.contains("`id` is there twice"));
    }
}

proptest! {
    #[test]
    fn the_arguments_are_the_frame_without_type_and_id(
        fields in proptest::collection::btree_map(texts(), values(), 0..25),
        id in texts(),
    ) {
        let mut written = Value::Object(fields.into_iter().collect());
        written["type"] = "x.y".into();
        written["id"] = id.clone().into();
        let mut expected = written.clone();
        let left = expected.as_object_mut().unwrap();
        left.remove("type");
        left.remove("id");
        for text in [written.to_string(), loose(&written)] {
            let found = service(&text);
            prop_assert_eq!(found.id.as_deref(), Some(&*id));
            let arguments = found.arguments();
            prop_assert_eq!(serde_json::from_str::<Value>(&arguments).unwrap(), expected.clone());
            prop_assert!(arguments.len() <= text.len());
        }
    }

    /// Text that looks like a frame never makes the parser panic. The arguments of a call are one JSON value, and each refusal has a
    /// reason.
    #[test]
    fn any_bytes_are_a_frame_or_have_a_reason(
        text in "\\{\"type\":\"(ready|response|events.publish|x.y)\"[\\[\\]{}\":,\\\\0-9a-e\\x00é]{0,30}\\}",
    ) {
        match parse(text.as_bytes()) {
            Ok(Incoming::Service(service)) => {
                let arguments = service.arguments();
                let read = serde_json::from_str::<&RawValue>(&arguments);
                prop_assert!(read.is_ok(), "{}", arguments);
            }
            Ok(_) => {}
            Err(malformed) => prop_assert!(!malformed.reason.is_empty()),
        }
    }
}
