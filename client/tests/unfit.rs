//! Values that cannot be archived, in calls. The broker runs in this process.

#![allow(clippy::unwrap_used)]

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callgate::Broker;
use callgate_client::{Code, Error, Plugin, gate_type};

#[gate_type]
#[derive(Clone, Debug, PartialEq)]
struct File {
    path: PathBuf,
    changed: SystemTime,
    content: Vec<u8>,
}

fn file(bytes: &[u8], changed: SystemTime, content: usize) -> File {
    File {
        path: std::ffi::OsString::from_vec(bytes.to_vec()).into(),
        changed,
        content: vec![1; content],
    }
}

fn check(error: &Error, what: &str, may_have_run: bool) {
    assert_eq!(error.code(), Code::TypeMismatch, "{error}");
    assert!(error.message().contains(what), "{error}");
    assert_eq!(error.may_have_run(), may_have_run, "{error}");
}

/// An argument or result that cannot be archived is an error of that call, which says so and not that the value is
/// too large.
#[test]
fn what_has_no_archive_is_an_error_of_that_call() {
    let broker = Broker::builder().without_socket().start().unwrap();
    let [provider, caller] = ["Provider", "Caller"].map(|name| {
        let descriptor = broker.connect().unwrap();
        let builder = Plugin::builder(name).direct_calls(false);
        builder.descriptor(descriptor).connect().unwrap()
    });
    let early = UNIX_EPOCH - Duration::from_secs(1);
    let _echo = provider.provide("P.Echo", |file: File| file).unwrap();
    let _file = provider
        .provide("P.File", move |kind: u8, len: u64| match kind {
            0 => file(&[b'a', 0xff], UNIX_EPOCH, len as usize),
            _ => file(b"a", early, len as usize),
        })
        .unwrap();
    let echo = caller.subscriber::<(File,), File>("P.Echo").unwrap();
    let made = caller.subscriber::<(u8, u64), File>("P.File").unwrap();
    // For values that fit a cell, fit blocks, and need an extent.
    for len in [0, 3000, 1 << 20] {
        let error = echo.invoke((file(&[b'a', 0xff], UNIX_EPOCH, len),));
        check(
            &error.unwrap_err(),
            "arguments hold a path that is not UTF-8",
            false,
        );
        let error = echo.invoke((file(b"a", early, len),)).unwrap_err();
        check(&error, "arguments hold a time before 1970", false);
        let error = made.invoke((0, len as u64)).unwrap_err();
        check(&error, "results hold a path that is not UTF-8", true);
        let error = made.invoke((1, len as u64)).unwrap_err();
        check(&error, "results hold a time before 1970", true);
        let good = file(b"a/b", SystemTime::now(), len);
        assert_eq!(echo.invoke((good.clone(),)).unwrap(), good);
    }
}
