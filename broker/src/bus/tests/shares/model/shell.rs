//! The shell, as far as it can be simulated from the effects of the bus: which memory and pages there are, and which tasks wait.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::*;

#[derive(Default)]
pub(super) struct Shell {
    /// For each memory: whether it was retired, and so must be sent to no plugin.
    memory: BTreeMap<u64, bool>,
    /// The number on each page.
    pages: BTreeMap<u64, u64>,
    jobs: VecDeque<Job>,
    files: BTreeMap<Arc<str>, Kept>,
    pub(super) freed: Vec<u64>,
}

enum Job {
    Copy(PluginId, u64),
    Seal(u64),
    Save(u64, Kept),
    Load((u64, u64), Arc<str>, bool),
    Remove(PluginId, u32, Arc<str>),
}

impl Shell {
    /// Carries out an effect. Returns the record that it sends, if any.
    pub(super) fn take(&mut self, effect: Effect) -> Option<(PluginId, ToPlugin)> {
        match effect {
            Effect::Send(to, record) => return Some((to, record)),
            Effect::MakeVersion {
                to,
                version,
                share,
                record,
                ..
            } => {
                self.memory.insert(version, false);
                self.pages.entry(share).or_insert(0);
                return Some((to, record.into()));
            }
            Effect::CopyVersion {
                from,
                version,
                share,
                ..
            } => {
                self.memory.insert(version, false);
                self.pages.entry(share).or_insert(0);
                self.jobs.push_back(Job::Copy(from, version));
            }
            Effect::Keep { version, .. } => {
                self.memory.insert(version, false);
            }
            Effect::Examine { version, share, .. } => {
                self.pages.entry(share).or_insert(0);
                self.jobs.push_back(Job::Seal(version));
            }
            Effect::Seal(_, AnyMemory::Version(version)) => {
                assert_eq!(self.memory.get(&version), Some(&false));
                self.jobs.push_back(Job::Seal(version));
            }
            Effect::Published { share, number } => {
                let page = self.pages.get_mut(&share).expect("a page");
                assert!(number >= *page && number > 0, "{number} after {page}");
                *page = number;
            }
            Effect::Retired(version) => {
                self.memory.insert(version, true).expect("it is there");
            }
            Effect::Have {
                to,
                share,
                version,
                record,
            } => {
                assert!(self.pages.get(&share).is_some_and(|number| *number > 0));
                self.check_sent(version);
                return Some((to, record.into()));
            }
            Effect::SendVersion {
                to,
                version,
                record,
            } => {
                self.check_sent(Some(version));
                return Some((to, record.into()));
            }
            other => self.take_end(other),
        }
        None
    }

    fn take_end(&mut self, effect: Effect) {
        match effect {
            Effect::Hidden(share) => {
                self.pages.insert(share, 0).expect("it is there");
            }
            // A share that was never registered may have no page.
            Effect::EndShare(share) => {
                self.pages.remove(&share);
            }
            Effect::LetGo {
                memory: AnyMemory::Version(version),
                serial,
                ..
            } => {
                self.memory.remove(&version).expect("it is there");
                self.freed.extend(serial);
            }
            Effect::Save { version, kept } => self.jobs.push_back(Job::Save(version, kept)),
            Effect::Load {
                version,
                share,
                tag,
                in_place,
            } => self
                .jobs
                .push_back(Job::Load((version, share), tag, in_place)),
            Effect::RemoveFile { from, request, tag } => {
                self.jobs.push_back(Job::Remove(from, request, tag));
            }
            Effect::End(plugin, failure) => panic!("{plugin:?} is sent away: {failure:?}"),
            _ => {}
        }
    }

    fn check_sent(&self, version: Option<u64>) {
        if let Some(version) = version {
            assert_eq!(
                self.memory.get(&version),
                Some(&false),
                "{version} was let go"
            );
        }
    }

    /// Forgets the tasks whose answers are for a plugin that has ended.
    pub(super) fn forget(&mut self, who: PluginId) {
        self.jobs
            .retain(|job| !matches!(job, Job::Remove(from, ..) if *from == who));
    }

    pub(super) fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn check_end(&self) {
        assert!(self.memory.is_empty(), "{:?}", self.memory);
        assert!(self.pages.is_empty(), "{:?}", self.pages);
    }
}

impl Model {
    /// Does the tasks that wait.
    pub(super) fn shell_works(&mut self, succeeds: bool) {
        let now = self.world.now;
        for job in std::mem::take(&mut self.shell.jobs) {
            match job {
                Job::Copy(_, version) | Job::Seal(version) if succeeds => {
                    self.world.sealed(version);
                }
                Job::Copy(from, version) => {
                    self.shell.memory.remove(&version);
                    let failure = Failure::new(Code::System, "no descriptor");
                    let memory = AnyMemory::Version(version);
                    self.world.bus.memory_not_made(from, memory, failure, now);
                }
                Job::Seal(version) => {
                    let failure = Failure::new(Code::Protocol, "it is mapped still");
                    let memory = AnyMemory::Version(version);
                    self.world.bus.memory_given_up(A, memory, failure, now);
                }
                Job::Save(version, kept) if succeeds => {
                    let name = kept.name;
                    self.shell.files.insert(kept.tag.clone(), kept);
                    self.world.bus.version_saved(version, Ok(name), now);
                }
                Job::Save(version, _) => {
                    let failure = Failure::new(Code::System, "no room");
                    self.world.bus.version_saved(version, Err(failure), now);
                }
                Job::Load(numbers, tag, in_place) => {
                    let kept = self.shell.files.get(&tag).cloned();
                    if kept.is_some() {
                        self.shell.memory.insert(numbers.0, false);
                        self.shell.pages.insert(numbers.1, 0);
                    }
                    let found = Ok(kept.map(|kept| (kept, in_place)));
                    self.world.bus.version_loaded(numbers, &tag, found, now);
                }
                Job::Remove(from, request, tag) => {
                    let removed = Ok(self.shell.files.remove(&tag).is_some());
                    self.world
                        .bus
                        .file_removed((from, request), &tag, removed, now);
                }
            }
            self.sort();
        }
    }
}
