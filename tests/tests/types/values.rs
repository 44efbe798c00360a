//! Values that can be converted, and values that cannot: each of those fails by itself, and the error says where.

use callgate_client::{Code, Error};
use callgate_tests::types::caller::{Ends, Settings, Track, track};
use callgate_tests::types::{self};

use crate::scene::Scene;

/// The place of an error, from its context.
fn path(error: &Error) -> &str {
    error.context().expect("a context")["path"]
        .as_str()
        .expect("a text")
}

fn in_process_and_between() -> [Scene; 2] {
    ["thread", "direct"].map(Scene::new)
}

#[test]
fn a_number_that_does_not_fit_is_told_and_the_handler_does_not_run() {
    for scene in in_process_and_between() {
        let small = scene.open::<(u32,), u32>("S.Small");
        assert_eq!(small.invoke((255,)).unwrap(), 255);
        let error = small.invoke((256,)).unwrap_err();
        assert_eq!(
            (error.code(), path(&error)),
            (Code::TypeMismatch, "arguments[0]")
        );
        assert!(!error.may_have_run(), "{error}");
        assert_eq!(error.gate(), Some("S.Small"));
        assert_eq!(small.invoke((7,)).unwrap(), 7, "the next one is another");
        let whole = scene.open::<(f64,), f64>("S.Small");
        assert_eq!(whole.invoke((3.0,)).unwrap().to_bits(), 3.0_f64.to_bits());
        let error = whole.invoke((3.5,)).unwrap_err();
        assert_eq!(
            (error.code(), path(&error)),
            (Code::TypeMismatch, "arguments[0]")
        );
    }
}

/// If a result cannot be converted, the error says that the handler has run.
#[test]
fn a_result_that_does_not_fit_has_run() {
    for scene in in_process_and_between() {
        let wide = scene.open::<(u64,), u8>("S.Wide");
        assert_eq!(wide.invoke((200,)).unwrap(), 200);
        let error = wide.invoke((300,)).unwrap_err();
        assert_eq!((error.code(), path(&error)), (Code::TypeMismatch, "result"));
        assert!(error.may_have_run(), "{error}");
        let nan = scene.open::<(u8,), f64>("S.Nan");
        let error = nan.invoke((0,)).unwrap_err();
        assert_eq!((error.code(), path(&error)), (Code::TypeMismatch, "result"));
        assert!(error.may_have_run(), "{error}");
    }
}

#[test]
fn null_is_told_where_it_is_taken_by_nobody() {
    for scene in in_process_and_between() {
        let volume = scene.open::<(Settings,), u8>("S.Volume");
        assert_eq!(volume.invoke((Settings { volume: Some(4) },)).unwrap(), 4);
        let error = volume.invoke((Settings { volume: None },)).unwrap_err();
        assert_eq!(
            (error.code(), path(&error)),
            (Code::ValueNull, "arguments[0].volume")
        );
        assert!(!error.may_have_run());
        let maybe = scene.open::<(i64,), Option<i32>>("S.Maybe");
        assert_eq!(maybe.invoke((-1,)).unwrap(), None);
        let never = scene.open::<(i64,), i64>("S.Maybe");
        assert_eq!(never.invoke((5,)).unwrap(), 5);
        let error = never.invoke((-1,)).unwrap_err();
        assert_eq!((error.code(), path(&error)), (Code::ValueNull, "result"));
        assert!(error.may_have_run());
    }
}

/// A field that the caller does not have gets the provider's default; a field that only the caller has is left out.
#[test]
fn fields_that_one_side_lacks_are_defaults_or_left_out() {
    for scene in in_process_and_between() {
        let view = scene.open::<(Track, u8), String>("S.View");
        assert_eq!(view.invoke((track(vec![1]), 1)).unwrap(), "Ouverture 1");
        let muted = types::Track {
            title: "Finale".to_owned(),
            gain: 1.0,
            samples: vec![],
            muted: true,
            note: None,
        };
        let own = scene.open::<(types::Track,), types::Summary>("S.Sum");
        assert!(!own.is_converted());
        assert_eq!(own.invoke((muted,)).unwrap().title, "Finale (muted)");
        let other = scene.open::<(Track,), types::Summary>("S.Sum");
        assert_eq!(other.invoke((track(vec![]),)).unwrap().title, "Ouverture");
    }
}

#[test]
fn variants_go_by_their_names() {
    for scene in in_process_and_between() {
        let ends = scene.open::<(Ends,), Ends>("S.Ends");
        for both in [Ends::Left, Ends::Right { by: 9 }] {
            assert_eq!(ends.invoke((both.clone(),)).unwrap(), both);
        }
        for (end, at) in [
            (Ends::Middle, "arguments[0]"),
            (Ends::Right { by: 256 }, "arguments[0].Right.by"),
        ] {
            let error = ends.invoke((end,)).unwrap_err();
            assert_eq!(error.code(), Code::TypeMismatch);
            assert!(path(&error).starts_with(at), "{error}");
            assert!(!error.may_have_run());
        }
    }
}

/// A value that JSON cannot express is not sent.
#[test]
fn what_json_cannot_say_is_not_sent() {
    for scene in in_process_and_between() {
        let sum = scene.open::<(Track,), types::Summary>("S.Sum");
        let mut given = track(vec![1]);
        given.gain = f32::INFINITY;
        let error = sum.invoke((given,)).unwrap_err();
        assert_eq!(
            (error.code(), path(&error)),
            (Code::TypeMismatch, "arguments[0].gain")
        );
        assert!(!error.may_have_run());
    }
}
