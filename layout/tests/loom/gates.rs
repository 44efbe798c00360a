//! GATES-CHANGED: a call that was made for a grant that is younger than its provider's copies.

use std::sync::Arc;

use callgate_layout::version::Version;
use loom::sync::Mutex;
use loom::thread;

use crate::bench::{Link, Provider, Without, check};

/// What a plugin serves, as in the client's `provided.rs`.
struct Served {
    /// Whether the gate is granted.
    granted: Mutex<bool>,
    version: Version,
    /// The number of all plugins that the dispatcher serves.
    all: Version,
}

impl Served {
    fn new() -> Arc<Served> {
        Arc::new(Served {
            granted: Mutex::new(false),
            version: Version::new(),
            all: Version::new(),
        })
    }
}

/// The copy that a frame has, as in the client's `frame.rs`.
struct Copy {
    granted: bool,
    version: u64,
}

impl Copy {
    /// Makes a new one if anything has changed.
    fn refresh(&mut self, served: &Served) {
        let version = served.version.seen();
        if version != self.version {
            self.granted = *served.granted.lock().unwrap();
            self.version = version;
        }
    }
}

/// The provider grants a gate and acknowledges; then it is called. The dispatcher may read its copies at any moment.
fn call_for_a_grant(without: Without) {
    let link = Link::new(1, Without::Nothing);
    let served = Served::new();
    let control = thread::spawn({
        let (link, served) = (link.clone(), served.clone());
        move || {
            if without == Without::SecondLook {
                served.version.changed();
                *served.granted.lock().unwrap() = true;
            } else {
                *served.granted.lock().unwrap() = true;
                served.version.changed();
            }
            // The acknowledgement reaches the broker, and from there the caller, which then calls.
            let ticket = link.take(0);
            link.publish(ticket, 1);
        }
    });
    let mut copy = Copy {
        granted: false,
        version: 0,
    };
    copy.refresh(&served);
    let mut provider = Provider::new(&link);
    let call = loop {
        if without == Without::ThePoint {
            copy.refresh(&served);
        }
        if let Some(call) = provider.try_take() {
            break call;
        }
        thread::yield_now();
    };
    if without != Without::ThePoint {
        copy.refresh(&served);
    }
    assert!(copy.granted, "served from an old copy");
    provider.answer(call);
    control.join().unwrap();
}

/// A thread that sees the call sees the version, and with it the grant, which was made under the lock.
#[test]
fn a_call_is_served_by_the_grant_it_was_made_for() {
    check(Some(3), || call_for_a_grant(Without::Nothing));
}

#[test]
#[should_panic(expected = "served from an old copy")]
fn without_looking_after_the_call_was_seen_an_old_copy_serves_it() {
    check(Some(3), || call_for_a_grant(Without::ThePoint));
}

#[test]
#[should_panic(expected = "served from an old copy")]
fn without_counting_after_the_change_an_old_copy_serves_it() {
    check(Some(3), || call_for_a_grant(Without::SecondLook));
}

/// The copies that a dispatcher of several plugins has of one of them, as in the client's `copies.rs` and
/// `scheduler.rs`.
struct CopyOfOne {
    all: u64,
    one: Copy,
}

impl CopyOfOne {
    fn refresh(&mut self, served: &Served) {
        let all = served.all.seen();
        if all != self.all {
            served.all.look_at_each();
            self.all = all;
            self.one.refresh(served);
        }
    }
}

/// The same where the plugin is one of several.
fn call_in_a_group(without: Without) {
    let link = Link::new(1, Without::Nothing);
    let served = Served::new();
    let mut copy = CopyOfOne {
        all: 0,
        one: Copy {
            granted: false,
            version: 0,
        },
    };
    copy.refresh(&served);
    let control = thread::spawn({
        let (link, served) = (link.clone(), served.clone());
        move || {
            *served.granted.lock().unwrap() = true;
            if without == Without::SecondLook {
                served.all.one_changed();
                served.version.changed();
            } else {
                served.version.changed();
                served.all.one_changed();
            }
            let ticket = link.take(0);
            link.publish(ticket, 1);
        }
    });
    copy.refresh(&served);
    let mut provider = Provider::new(&link);
    let call = loop {
        if let Some(call) = provider.try_take() {
            break call;
        }
        thread::yield_now();
    };
    copy.refresh(&served);
    assert!(copy.one.granted, "served from an old copy");
    provider.answer(call);
    control.join().unwrap();
}

/// A dispatcher that sees the version of all plugins also sees that of the plugin that has changed. Otherwise it would
/// count the change as seen without having read it.
#[test]
fn a_change_of_one_of_several_plugins_is_seen_with_the_number_of_all() {
    check(Some(3), || call_in_a_group(Without::Nothing));
}

#[test]
#[should_panic(expected = "served from an old copy")]
fn without_counting_one_before_all_a_change_is_lost() {
    check(Some(3), || call_in_a_group(Without::SecondLook));
}
