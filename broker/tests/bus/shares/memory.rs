//! To whom the memory of shares is charged, and that it is freed.

use callgate::BusLimits;
use callgate_layout::control::{Failure, ShareToBroker, ShareToPlugin, ToPlugin};
use callgate_layout::sys::mapping::Mapping;
use callgate_layout::{Code, Encoding};

use crate::support::shares::{fetch, publish, want};
use crate::support::{Bus, bus, bus_with, code_of, eventually};

const MIB: u64 = 1 << 20;

/// A bus with these limits, in MiB: for the shares of all plugins, and for those of each.
fn limited(bus_share_mib: u32, share_mib: u32) -> Bus {
    bus_with(|builder| {
        builder.limits(BusLimits {
            bus_share_mib,
            share_mib,
            ..BusLimits::default()
        })
    })
}

/// Memory that a reader holds although it says that it has let go is charged to the bus, and to no other plugin.
#[test]
fn what_is_held_is_charged_to_the_bus() {
    let bus = limited(3, 2);
    let (mut maker, mut reader) = (bus.plugin("maker"), bus.plugin("reader"));
    let made = maker.makes("t", (MIB, 1));
    reader.send(want(1, "t", false));
    let read = reader.have();
    let map = Mapping::read_only(read.memory.unwrap(), MIB as usize).unwrap();
    maker.publishes("t", (MIB, 2));
    drop(made);
    let version = read.version.version;
    maker.send(ShareToBroker::Done { version });
    reader.send(ShareToBroker::Done { version });
    // Two MiB are held: one more version fits, and then no more.
    maker.publishes("t", (MIB, 3));
    reader.send(publish(9, "u", MIB));
    assert_eq!(code_of(&reader.refused()), Code::Overloaded);
    drop(map);
    eventually("the memory is free", || {
        reader.send(publish(9, "u", MIB));
        match reader.next().unwrap().0 {
            ToPlugin::Share(ShareToPlugin::Write { making, .. }) => {
                let failure = Failure::new(Code::Cancelled, "tried");
                reader.send(ShareToBroker::GaveUp { making, failure });
                true
            }
            _ => false,
        }
    });
}

/// A reader that keeps old versions is charged for them, and at some point is sent no more.
#[test]
fn who_keeps_old_versions_is_refused_newer_ones() {
    let bus = limited(100, 2);
    let (mut maker, mut reader) = (bus.plugin("maker"), bus.plugin("reader"));
    maker.makes("t", (MIB, 1));
    reader.send(want(1, "t", false));
    let mut kept = vec![reader.have().version.version];
    let mut share = 0;
    for number in 2..6_u8 {
        let newer = maker.publishes("t", (MIB, number));
        share = newer.share;
        maker.send(ShareToBroker::Done {
            version: newer.version.version - 1,
        });
        reader.send(fetch(2, share, Encoding::Archive));
        match reader.next().unwrap().0 {
            ToPlugin::Share(ShareToPlugin::Version { version, .. }) => kept.push(version.version),
            ToPlugin::Session(_) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(
        kept.len(),
        3,
        "two that are old, and the newest when it came"
    );
    reader.send(ShareToBroker::Done { version: kept[0] });
    reader.send(fetch(3, share, Encoding::Archive));
    reader.version();
}

/// Plugins that wait for a share must not wait for ever for a maker that has died.
#[test]
fn the_next_one_makes_it_whenever_the_maker_goes() {
    let bus = bus();
    for step in 0..4 {
        let (mut maker, mut next) = (
            bus.plugin(&format!("m{step}")),
            bus.plugin(&format!("n{step}")),
        );
        let tag = format!("t{step}");
        maker.send(want(1, &tag, true));
        let making = maker.create();
        next.send(want(1, &tag, true));
        assert!(next.is_quiet());
        if step > 0 {
            maker.send(ShareToBroker::Make { making, len: MIB });
        }
        let memory = (step > 1).then(|| maker.memory_to_write());
        if step > 2 {
            let memory = memory.as_ref().unwrap();
            memory.fill(1);
            maker.send(ShareToBroker::Written { making });
            maker.have();
        }
        drop(memory);
        drop(maker);
        if step > 2 {
            assert_eq!(next.have().version.maker, format!("m{step}"));
            continue;
        }
        let making = next.create();
        next.send(ShareToBroker::Make { making, len: MIB });
        next.writes(4);
        assert_eq!(next.have().version.maker, format!("n{step}"));
    }
}
