//! Shares, from the first wish for a tag to the end of the memory.

use callgate_layout::control::{
    Form, Making, SchemaToPlugin, SessionToPlugin, ShareFit, ShareToBroker, ShareToPlugin,
    VersionName, Wanted,
};

use super::*;
use crate::quota::Quota;
use crate::shares::Kept;

mod charges;
mod ends;
mod files;
mod making;
mod model;
mod short;
mod twins;
mod versions;
mod wrong;

const C: PluginId = PluginId(3);
const TAG: &str = "Osc.Table";
const MIB: u64 = 1 << 20;

/// What a maker says of a slice of the type with this number.
fn making(number: u8) -> Making {
    Making {
        form: Form::Slice,
        schema: SchemaSource::Inline(schema_of(number)),
        signature: format!("[T{number}]"),
        json: true,
        persistent: false,
        huge: false,
    }
}

fn wanted(number: u8) -> Wanted {
    Wanted {
        form: Form::Slice,
        fingerprint: shape_of(number).fingerprint,
        signature: format!("[T{number}]"),
        exact: false,
    }
}

/// A wish of a plugin that would make the share within ten seconds.
fn want(request: u32, make: Option<Making>) -> ShareToBroker {
    want_of(request, (TAG, 7), make)
}

fn want_of(request: u32, (tag, number): (&str, u8), make: Option<Making>) -> ShareToBroker {
    ShareToBroker::Want {
        request,
        tag: tag.into(),
        wanted: wanted(number),
        within: if make.is_some() { 10_000 } else { 0 },
        make,
        had: None,
        trusts: false,
    }
}

fn publish(request: u32, make: Making, len: u64) -> ShareToBroker {
    ShareToBroker::Publish {
        request,
        tag: TAG.into(),
        make,
        len,
    }
}

fn publish_short(request: u32, make: Making, len: usize) -> ShareToBroker {
    ShareToBroker::PublishShort {
        request,
        tag: TAG.into(),
        make,
        value: vec![7; len],
    }
}

fn watch(request: u32, seen: Option<VersionName>) -> ShareToBroker {
    let tag = TAG.into();
    ShareToBroker::Watch { request, tag, seen }
}

fn fetch(request: u32, share: u64, encoding: Encoding) -> ShareToBroker {
    ShareToBroker::Fetch {
        request,
        share,
        encoding,
    }
}

fn gave_up(making: u64) -> ShareToBroker {
    let failure = Failure::new(Code::HandlerError, "it cannot be made");
    ShareToBroker::GaveUp { making, failure }
}

/// An effect as a short text.
fn short(effect: &Effect) -> Option<(PluginId, String)> {
    let code = |failure: &Failure| Code::from_u16(failure.code).map_or("?", Code::as_str);
    let said = match effect {
        Effect::Send(to, ToPlugin::Share(record)) => match record {
            ShareToPlugin::Create { request, making } => {
                (*to, format!("{request}: create {making}"))
            }
            ShareToPlugin::Convert { making, version } => {
                (*to, format!("convert {version} as {making}"))
            }
            ShareToPlugin::Dropped { making, failure } => {
                (*to, format!("{making} dropped: {}", code(failure)))
            }
            ShareToPlugin::Changed { request, now } => {
                let now = now.map(|now| now.number);
                (*to, format!("{request}: changed to {now:?}"))
            }
            ShareToPlugin::Revoked { share, failure } => {
                (*to, format!("{share} revoked: {}", code(failure)))
            }
            other => panic!("without a descriptor: {other:?}"),
        },
        Effect::Send(to, ToPlugin::Session(SessionToPlugin::Answer { request, failure })) => {
            let failure = failure.as_ref().map_or("done", code);
            (*to, format!("{request}: {failure}"))
        }
        Effect::MakeVersion {
            to, version, len, ..
        } => (*to, format!("write {version} of {len}")),
        Effect::CopyVersion {
            from,
            version,
            value,
            ..
        } => (*from, format!("copy {version} of {}", value.len())),
        Effect::Have {
            to,
            share,
            version,
            record: ShareToPlugin::Have { request, fit, .. },
        } => {
            let memory = version.map_or("nothing".into(), |version| version.to_string());
            let fit = if *fit == ShareFit::Same {
                ""
            } else {
                ", which differs"
            };
            (*to, format!("{request}: has {share} with {memory}{fit}"))
        }
        Effect::SendVersion {
            to,
            version,
            record: ShareToPlugin::Version { request, .. },
        } => (*to, format!("{request}: version {version}")),
        Effect::Seal(to, AnyMemory::Version(version)) => (*to, format!("seal {version}")),
        Effect::Keep { from, version } => (*from, format!("keep {version}")),
        Effect::Examine { from, version, .. } => (*from, format!("examine {version}")),
        Effect::LetGo {
            memory: AnyMemory::Version(version),
            ..
        } => (PluginId(0), format!("let {version} go")),
        Effect::Published { share, number } => (PluginId(0), format!("{share} is at {number}")),
        Effect::EndShare(share) => (PluginId(0), format!("end of {share}")),
        Effect::Hidden(share) => (PluginId(0), format!("{share} hidden")),
        Effect::Save { version, .. } => (PluginId(0), format!("save {version}")),
        Effect::Load {
            version, in_place, ..
        } => (
            PluginId(0),
            format!("load {version}{}", if *in_place { " in place" } else { "" }),
        ),
        Effect::RemoveFile { tag, .. } => (PluginId(0), format!("remove {tag}")),
        Effect::End(plugin, failure) => (*plugin, format!("ends: {}", code(failure))),
        _ => return None,
    };
    Some(said)
}

impl World {
    fn shares() -> World {
        World::of(["a", "b", "c"], 8, FROM_ONE)
    }

    /// Compares the effects since the last call, as short texts.
    #[track_caller]
    fn happens<const N: usize>(&mut self, expected: [(PluginId, &str); N]) {
        let effects = self.effects();
        let found: Vec<_> = effects.iter().filter_map(short).collect();
        let expected = expected.map(|(who, what)| (who, what.to_owned()));
        assert_eq!(found, expected);
    }

    fn sealed(&mut self, version: u64) {
        let memory = AnyMemory::Version(version);
        self.bus.memory_sealed(memory, self.now);
    }

    /// A plugin says that it has written a version, which is then sealed.
    fn writes_all(&mut self, from: PluginId, making: u64) {
        self.ok(from, ShareToBroker::Written { making });
        self.sealed(making);
    }

    /// A plugin makes an absent share of one MiB. The first share has number 1, and its version number 2.
    fn makes(&mut self, from: PluginId, number: u64) {
        self.ok(from, want(1, Some(making(7))));
        let making = number;
        self.ok(from, ShareToBroker::Make { making, len: MIB });
        self.writes_all(from, number);
    }

    /// A plugin publishes a version, which gets this number.
    fn publishes(&mut self, from: PluginId, number: u64) {
        self.ok(from, publish(9, making(7), MIB));
        self.writes_all(from, number);
    }

    /// How many MiB of shares a plugin is charged for.
    fn shares_mib(&self, plugin: PluginId) -> u32 {
        self.bus.members[&plugin].share_mib.used()
    }

    /// Reports that nobody holds memory any more that was let go.
    fn all_freed(&mut self) {
        for effect in self.effects() {
            if let Effect::LetGo { serial, .. } = effect {
                let serials = Vec::from_iter(serial);
                self.bus.extents_freed(&serials, self.now);
            }
        }
    }
}
