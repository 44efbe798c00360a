//! A plugin of the model: what it knows from what it has read, and what it says.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// For this tag.
    Want(usize),
    /// The plugin has given it up; that may have crossed with the answer.
    Forgone,
    Publish(usize),
    Return(usize),
    Remove,
    /// For this share.
    Fetch(u64),
    Watch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Called,
    Writing,
    Written,
}

/// A making that a plugin was told of.
#[derive(Debug)]
pub(super) struct Making {
    step: Step,
    /// The request that it is for; 0 for a twin.
    request: u32,
}

/// What a plugin knows from what it has read.
#[derive(Default)]
pub(super) struct Plugin {
    pub(super) unread: VecDeque<ToPlugin>,
    pub(super) asked: BTreeMap<u32, Ask>,
    pub(super) makings: BTreeMap<u64, Making>,
    /// The shares that it uses, each with the versions that it has mapped.
    pub(super) has: BTreeMap<u64, BTreeSet<u64>>,
    /// The tags of these shares.
    tags: BTreeMap<u64, usize>,
    /// The newest version of each of these shares, as far as it knows.
    newest: BTreeMap<u64, u64>,
    next_request: u32,
}

impl Plugin {
    pub(super) fn ask(&mut self, ask: Ask) -> u32 {
        self.next_request += 1;
        self.asked.insert(self.next_request, ask);
        self.next_request
    }

    fn first(&self, is_it: impl Fn(&Ask) -> bool) -> Option<u32> {
        let mut asked = self.asked.iter();
        asked
            .find(|(_, ask)| is_it(ask))
            .map(|(request, _)| *request)
    }

    pub(super) fn forgo(&mut self) -> Option<ShareToBroker> {
        let request = self.first(|ask| matches!(ask, Ask::Want(_)))?;
        self.asked.insert(request, Ask::Forgone);
        self.makings.retain(|_, making| making.request != request);
        Some(ShareToBroker::Forgo { request })
    }

    pub(super) fn unwatch(&mut self) -> Option<ShareToBroker> {
        let request = self.first(|ask| *ask == Ask::Watch)?;
        self.asked.insert(request, Ask::Forgone);
        Some(ShareToBroker::Unwatch { request })
    }

    pub(super) fn fetches(&mut self, json: bool) -> Option<ShareToBroker> {
        let share = *self.has.first_key_value()?.0;
        let request = self.ask(Ask::Fetch(share));
        let encoding = match json {
            true => Encoding::Json,
            false => Encoding::Archive,
        };
        Some(fetch(request, share, encoding))
    }

    /// Lets go of a share about which no request is under way: otherwise the two could cross.
    pub(super) fn relinquish(&mut self) -> Option<ShareToBroker> {
        let is_under_way = |share: &u64| {
            self.asked.values().any(|ask| match ask {
                Ask::Want(tag) | Ask::Publish(tag) | Ask::Return(tag) => self.tags[share] == *tag,
                _ => false,
            })
        };
        let share = *self.has.keys().find(|share| !is_under_way(share))?;
        self.has.remove(&share);
        Some(ShareToBroker::Relinquish { share })
    }

    /// Lets go of a version that is not the newest one. Not of a share of which a version is under way, because that could be the same one.
    pub(super) fn done(&mut self) -> Option<ShareToBroker> {
        let (newest, asked) = (&self.newest, &self.asked);
        let is_fetched = |share: u64| asked.values().any(|ask| *ask == Ask::Fetch(share));
        let all = self
            .has
            .iter_mut()
            .filter(|(share, _)| !is_fetched(**share));
        let mut old = all.filter_map(|(share, versions)| {
            let old = versions
                .iter()
                .find(|version| newest.get(share) != Some(version));
            let old = *old?;
            versions.remove(&old);
            Some(old)
        });
        let version = old.next()?;
        Some(ShareToBroker::Done { version })
    }

    /// A request is answered or given up. Returns what it was for.
    fn answered(&mut self, request: u32) -> Option<Ask> {
        if request == 0 {
            // Twins are requested by other plugins.
            return None;
        }
        self.makings.retain(|_, making| making.request != request);
        self.asked.remove(&request)
    }
}

impl Model {
    pub(super) fn want(&mut self, who: PluginId, (tag, makes, other): (usize, bool, bool)) {
        let plugin = self.plugin(who);
        if plugin.first(|ask| *ask == Ask::Want(tag)).is_some() {
            return;
        }
        let request = plugin.ask(Ask::Want(tag));
        let number = if other { 8 } else { 7 };
        let make = makes.then(|| made(tag, number));
        self.say(who, want_of(request, (TAGS[tag], number), make));
    }

    pub(super) fn publish(&mut self, who: PluginId, (tag, short): (usize, bool)) {
        let plugin = self.plugin(who);
        if plugin.first(|ask| *ask == Ask::Publish(tag)).is_some() {
            return;
        }
        let request = plugin.ask(Ask::Publish(tag));
        let (tag, make) = (TAGS[tag].into(), made(tag, 7));
        let record = match short {
            true => ShareToBroker::PublishShort {
                request,
                tag,
                make,
                value: vec![1],
            },
            false => ShareToBroker::Publish {
                request,
                tag,
                make,
                len: MIB,
            },
        };
        self.say(who, record);
    }

    pub(super) fn returns(&mut self, who: PluginId, tag: usize) {
        let request = self.plugin(who).ask(Ask::Return(tag));
        let record = ShareToBroker::Return {
            request,
            tag: TAGS[tag].into(),
            make: made(tag, 7),
            name: VersionName {
                incarnation: 9,
                number: 4,
            },
            len: MIB,
        };
        self.say(who, record);
    }

    /// A maker takes the next step of its first making, or gives it up.
    pub(super) fn goes(&mut self, who: PluginId, goes: bool) {
        let plugin = self.plugin(who);
        let mut makings = plugin.makings.iter_mut();
        let Some((number, making)) = makings.find(|(_, making)| making.step != Step::Written)
        else {
            return;
        };
        let (number, request) = (*number, making.request);
        let record = match making.step {
            _ if !goes => {
                plugin.answered(request);
                plugin.makings.remove(&number);
                gave_up(number)
            }
            Step::Called => {
                // The maker now waits for the memory.
                making.step = Step::Written;
                let len = 1 + number % (2 * MIB);
                ShareToBroker::Make {
                    making: number,
                    len,
                }
            }
            _ => {
                making.step = Step::Written;
                ShareToBroker::Written { making: number }
            }
        };
        // For a twin, no answer follows.
        if goes && request == 0 && matches!(record, ShareToBroker::Written { .. }) {
            self.plugin(who).makings.remove(&number);
        }
        self.say(who, record);
    }

    /// A plugin reads a record, and answers it.
    pub(super) fn read(&mut self, who: PluginId) {
        let plugin = self.plugin(who);
        match plugin.unread.pop_front() {
            Some(ToPlugin::Share(record)) => self.read_share(who, record),
            Some(ToPlugin::Session(SessionToPlugin::Answer { request, .. })) => {
                let asked = plugin.answered(request);
                assert!(asked.is_some(), "{who:?} was answered twice: {request}");
            }
            _ => {}
        }
    }

    fn read_share(&mut self, who: PluginId, record: ShareToPlugin) {
        let plugin = self.plugin(who);
        match record {
            ShareToPlugin::Have {
                request,
                share,
                version,
                fit,
                ..
            } => {
                let asked = plugin.answered(request);
                let tag = match asked.expect("it has asked") {
                    Ask::Forgone => return,
                    Ask::Want(tag) | Ask::Publish(tag) | Ask::Return(tag) => tag,
                    other => panic!("{other:?} is answered by a share"),
                };
                plugin.tags.insert(share, tag);
                let has = plugin.has.entry(share).or_default();
                if fit == ShareFit::Same {
                    has.insert(version.version);
                    plugin.newest.insert(share, version.version);
                }
            }
            ShareToPlugin::Create { request, making } => {
                if let Some(Ask::Want(_)) = plugin.asked.get(&request) {
                    let step = Step::Called;
                    plugin.makings.insert(making, Making { step, request });
                }
            }
            ShareToPlugin::Convert { making, .. } => {
                let (step, request) = (Step::Called, 0);
                plugin.makings.insert(making, Making { step, request });
            }
            ShareToPlugin::Write {
                making, request, ..
            } => {
                let step = Step::Writing;
                if let Some(making) = plugin.makings.get_mut(&making) {
                    making.step = step;
                } else if request != 0 {
                    plugin.makings.insert(making, Making { step, request });
                }
            }
            ShareToPlugin::Dropped { making, .. } => {
                if let Some(dropped) = plugin.makings.remove(&making) {
                    plugin.answered(dropped.request);
                }
            }
            ShareToPlugin::Version { request, version } => {
                if let Some(Ask::Fetch(share)) = plugin.answered(request)
                    && let Some(has) = plugin.has.get_mut(&share)
                {
                    has.insert(version.version);
                    if version.form != Form::Json {
                        plugin.newest.insert(share, version.version);
                    }
                }
            }
            ShareToPlugin::Changed { request, .. } => {
                plugin.answered(request);
            }
            ShareToPlugin::Revoked { share, .. } => {
                plugin.has.remove(&share);
            }
        }
    }
}

/// What a maker says of a share of this tag.
fn made(tag: usize, number: u8) -> super::super::Making {
    super::super::Making {
        persistent: tag == 2,
        ..making(number)
    }
}
