//! Handlers of every shape, called with archives as a dispatcher calls them.

use callgate_layout::buffer::Buffer;
use serde_json::json;

use super::*;
use crate::link::peer::Caller;
use crate::{Code, Error, SortedMap, gate_type};

#[gate_type]
struct Track {
    title: String,
    gain: f32,
}

fn call_with<A: Arguments, R: GateType>(handler: &dyn ErasedHandler, args: A) -> Result<R> {
    let caller = Caller {
        name: "Rack".to_owned(),
        display_name: "The rack".to_owned(),
        version: "1.0".to_owned(),
        pid: 42,
        plugin: 7,
    };
    let mut request = Buffer::new();
    archive::serialize_vec(&args, &mut request, None, archive::MAX_LEN).unwrap();
    let mut reply = ReplyBuffer::new();
    handler.call(
        &Context::here(&caller, "Rack.Gate", u64::MAX, None),
        &request,
        Some(&mut reply),
    )?;
    archive::deserialize(archive::access::<R>(reply.bytes())?)
}

fn track() -> Track {
    Track {
        title: "Bass".to_owned(),
        gain: 0.5,
    }
}

#[test]
fn owned_parameters_and_views_mix() {
    let handler = erase(|a: i32, b: i32| a + b);
    assert_eq!(call_with::<_, i32>(&*handler, (2, 3)).unwrap(), 5);
    let handler = erase(|track: View<'_, Track>, by: f32, name: View<'_, String>| {
        format!("{}/{name:?}: {}", track.title, track.gain.to_native() * by)
    });
    let text: String = call_with(&*handler, (track(), 3.0_f32, "x".to_owned())).unwrap();
    assert_eq!(text, "Bass/\"x\": 1.5");
    let handler = erase(|track: View<'_, Track>| track.to_owned().map(|track| track.gain));
    assert_eq!(call_with::<_, f32>(&*handler, (track(),)).unwrap(), 0.5);
}

#[test]
fn a_handler_has_no_parameters_or_eight() {
    call_with::<_, ()>(&*erase(|| ()), ()).unwrap();
    let handler = erase(
        |a: u8, b: u16, c: u32, d: u64, e: i8, f: View<'_, Vec<u8>>, g: Option<u8>, h: (u8,)| {
            u64::from(a)
                + u64::from(b)
                + u64::from(c)
                + d
                + e as u64
                + f.len() as u64
                + u64::from(g.unwrap_or(0))
                + u64::from(h.0)
        },
    );
    let args = (
        1_u8,
        2_u16,
        3_u32,
        4_u64,
        5_i8,
        vec![0_u8; 6],
        Some(7_u8),
        (8_u8,),
    );
    assert_eq!(call_with::<_, u64>(&*handler, args).unwrap(), 36);
}

#[test]
fn the_context_may_come_first() {
    let handler = erase(|context: Context<'_>| context.caller().name().to_owned());
    assert_eq!(call_with::<_, String>(&*handler, ()).unwrap(), "Rack");
    let handler = erase(|context: Context<'_>, text: View<'_, String>, n: u64| {
        context.gate().len() as u64 + text.len() as u64 + n
    });
    assert_eq!(
        call_with::<_, u64>(&*handler, ("abc".to_owned(), 1_u64)).unwrap(),
        13
    );
}

#[test]
fn functions_and_results_are_handlers_too() {
    fn half(n: u32) -> Result<u32, HandlerError> {
        if n.is_multiple_of(2) {
            Ok(n / 2)
        } else {
            Err(HandlerError::new("ODD", "it is odd"))
        }
    }
    assert_eq!(call_with::<_, u32>(&*erase(half), (8_u32,)).unwrap(), 4);
    let error = call_with::<_, u32>(&*erase(half), (7_u32,)).unwrap_err();
    assert_eq!(
        (error.code(), error.message()),
        (Code::HandlerError, "it is odd")
    );
    assert_eq!(error.context(), Some(&json!({ "handler_code": "ODD" })));
    assert!(error.may_have_run());
}

#[test]
fn the_question_mark_takes_any_error() {
    let handler = erase(|text: String| -> Result<i32, HandlerError> { Ok(text.parse()?) });
    let error = call_with::<_, i32>(&*handler, ("x".to_owned(),)).unwrap_err();
    assert_eq!(error.message(), "invalid digit found in string");
    let fails_with = |error: Error| {
        let handler = erase(move || Err::<(), _>(error.clone()));
        let error = call_with::<_, ()>(&*handler, ()).unwrap_err();
        assert_eq!(error.code(), Code::HandlerError);
        (error.message().to_owned(), error.context().unwrap().clone())
    };
    let absent = || Error::new(Code::NotReady, "nobody there");
    assert_eq!(
        fails_with(absent()),
        (
            "nobody there".to_owned(),
            json!({ "handler_code": "NOT_READY" })
        )
    );
    // A context without members is kept as one.
    let text = "a handler's use of gate `A.B` failed: NOT_READY: nobody there".to_owned();
    let context = json!({ "handler_code": "NOT_READY", "inner_gate": "A.B", "context": [1] });
    let absent = absent().at_gate("A.B").with_context(json!([1]));
    assert_eq!(fails_with(absent), (text, context));
}

#[test]
fn signatures_name_the_types_that_travel() {
    fn signatures<M, H: Handler<M>>(_: H) -> (String, String) {
        (H::function_signature().text(), H::action_signature().text())
    }
    let of = signatures(
        |_: Context<'_>,
         _: View<'_, Track>,
         _: u32|
         -> Result<Vec<Result<u8, String>>, HandlerError> { Ok(Vec::new()) },
    );
    assert_eq!(of.0, "(Track, u32) -> Vec<Result<u8, String>>");
    assert_eq!(of.1, "(Track, u32)");
}

#[test]
fn a_forged_request_never_reaches_the_handler() {
    let handler = erase(|bytes: Vec<u8>| assert!(bytes.is_empty(), "ran on a forged request"));
    let caller = Caller {
        name: String::new(),
        display_name: String::new(),
        version: String::new(),
        pid: 0,
        plugin: 0,
    };
    let mut forged = Buffer::new();
    forged.extend(&[0xff; 8]).unwrap();
    let context = Context::here(&caller, "Rack.Gate", 0, None);
    let error = handler
        .call(&context, &forged, Some(&mut ReplyBuffer::new()))
        .unwrap_err();
    assert_eq!(error.code(), Code::Protocol);
}

#[test]
fn a_reply_that_outgrows_the_slot_goes_elsewhere_and_the_next_returns() {
    let mut reply = ReplyBuffer::new();
    let mut read = |value: Vec<u8>| {
        reply.put(&value).unwrap();
        assert_eq!(reply.bytes().as_ptr().addr() % 16, 0);
        let archived = archive::access::<Vec<u8>>(reply.bytes()).unwrap();
        assert_eq!(archived.as_slice(), value);
        reply.bytes().len()
    };
    assert_eq!(read(vec![1; 104]), 112);
    assert_eq!(read(vec![2; 100_000]), 100_008);
    assert_eq!(read(vec![3; 4]), 12);
    let map: SortedMap<u8, u8> = SortedMap::new();
    reply.put(&map).unwrap();
    reply.clear(None);
    assert!(reply.bytes().is_empty());
}
