//! The broker's records about shares: answers to threads that ask for them, and changes of those that the plugin
//! uses.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::{
    Failure, ShareFit, ShareToBroker, ShareToPlugin, VersionFacts, VersionName,
};
use callgate_layout::shares::page::{PAGE_LEN, PageReader};

use super::plugin::PluginWork;
use crate::base::error::{Error, Result};
use crate::session::connection::failure as error_of;
use crate::session::mapping::map_read_only;
use crate::session::plugin_state::sharing::using::place_of;
use crate::session::shares::asked::Asker;
use crate::session::shares::desk::{Have, News};
use crate::shares::made::Type;
use crate::shares::used::{Known, Used};
use crate::shares::watched::ShareEvent;

/// What the broker says of a share that the plugin now uses.
struct Told {
    share: u64,
    facts: VersionFacts,
    fit: ShareFit,
    has_memory: bool,
    persistent: bool,
}

impl PluginWork<'_> {
    pub(super) fn share_record(&mut self, record: ShareToPlugin, descriptors: Vec<OwnedFd>) {
        match record {
            ShareToPlugin::Have {
                request,
                share,
                version: facts,
                fit,
                has_memory,
                persistent,
            } => {
                let told = Told {
                    share,
                    facts,
                    fit,
                    has_memory,
                    persistent,
                };
                self.have(request, told, descriptors);
            }
            ShareToPlugin::Create { request, making } => {
                if !self.tell_asker(request, News::Create { making }) {
                    self.give_up(making, &nobody());
                }
            }
            ShareToPlugin::Convert { making, version } => self.convert(making, version),
            ShareToPlugin::Write {
                making,
                request,
                len,
            } => self.write((making, request), len, descriptors),
            ShareToPlugin::Dropped { making, failure } => {
                if let Some(desk) = self.plugin.membership.shares.making(making) {
                    desk.put(News::Failed(error_of(failure)));
                }
            }
            ShareToPlugin::Version { request, version } => {
                let number = version.version;
                let Some(file) = descriptors.into_iter().next() else {
                    return self.version_failed((request, number), missing());
                };
                if !self.tell_asker(request, News::Version(Box::new((version, file)))) {
                    self.send(&ShareToBroker::Done { version: number }.into());
                }
            }
            ShareToPlugin::Changed { request, now } => self.share_changed(request, now),
            ShareToPlugin::Revoked { share, failure } => {
                self.share_revoked(share, &error_of(failure));
            }
        }
    }

    /// Passes news to the thread that waits for the answer to a request. Returns `false` if none waits: news and
    /// the thread's giving up have crossed, and the caller returns to the broker what has come.
    fn tell_asker(&self, request: u32, news: News) -> bool {
        match self.plugin.membership.shares.asker(request) {
            Some(Asker::Thread(desk)) => {
                desk.put(news);
                true
            }
            _ => false,
        }
    }

    /// Tells the broker that this plugin makes no version, because no thread waits for the memory or the memory
    /// cannot be used.
    fn give_up(&mut self, making: u64, why: &Error) {
        let failure = Failure::new(why.code(), why.message());
        self.send(&ShareToBroker::GaveUp { making, failure }.into());
    }

    /// Handles a request about shares that the broker refuses, or whose answer cannot be used.
    pub(super) fn share_failed(&mut self, request: u32, error: Error) {
        match self.plugin.membership.shares.forget(request) {
            Some(Asker::Thread(desk)) => desk.put(News::Failed(error)),
            Some(Asker::Return(used, _)) => self.not_used_again(&used, &error),
            Some(Asker::Follow(follow)) => follow.answered(request, Some(error)),
            Some(Asker::Watched(watched)) => {
                // The watch keeps counting as asked, so that this broker is not asked again and again.
                let why = error.at_gate(watched.tag.clone());
                watched.tell(ShareEvent::Refused { why });
            }
            None => {}
        }
    }

    /// Handles the news that the state of a watched tag has changed.
    fn share_changed(&mut self, request: u32, now: Option<VersionName>) {
        let (state, membership) = (&self.plugin.state, &self.plugin.membership);
        match membership.shares.forget(request) {
            Some(Asker::Follow(follow)) => follow.answered(request, None),
            Some(Asker::Watched(watched)) => {
                watched.stands(now);
                // The broker answers a watch once, so it is asked again.
                state.ask_of_watched(membership, &watched);
            }
            _ => {}
        }
    }

    /// Handles the answer that the next broker has a share which this plugin uses.
    fn used_again(&mut self, (used, of): (&Arc<Used>, Type), have: Have) {
        let (state, membership) = (&self.plugin.state, &self.plugin.membership);
        let place = place_of(membership, &have);
        let Have {
            share,
            facts,
            fit,
            memory,
            ..
        } = have;
        if let Some(made) = used.made().filter(|made| made.facts.name == facts.name) {
            membership.shares.made(facts.version, &made);
        }
        let known = (fit == ShareFit::Same).then_some(Known::Is(of));
        used.attach((place, known), facts, memory);
        membership.shares.use_share(share, used);
        state.shares.moved(used);
        state.shares.turns.changed();
        state.shares.follows.changed();
    }

    /// Handles the answer that the next broker has no such share: guards stay valid, but the tag does not find them
    /// any more.
    fn not_used_again(&mut self, used: &Arc<Used>, why: &Error) {
        tracing::debug!(%why, tag = %used.tag, "the new broker has no such share");
        used.detach();
        let shares = &self.plugin.state.shares;
        shares.remove(used);
        shares.follows.changed();
    }

    /// Handles the answer that a request about shares was granted.
    pub(super) fn share_done(&self, request: u32) {
        self.tell_asker(request, News::Done);
    }

    fn have(&mut self, request: u32, told: Told, descriptors: Vec<OwnedFd>) {
        let forgo = ShareToBroker::Forgo { request };
        let Some(asker) = self.plugin.membership.shares.forget(request) else {
            // The asking thread has given up. The share is returned as well, because the broker may have read that
            // before this answer was due.
            return self.send(&forgo.into());
        };
        let page = self.known_page(told.share);
        match unpack(told, page, descriptors) {
            Err(error) => {
                // What the plugin already has of the share stays valid.
                self.send(&forgo.into());
                match asker {
                    Asker::Thread(desk) => desk.put(News::Failed(error)),
                    Asker::Return(used, _) => self.not_used_again(&used, &error),
                    Asker::Follow(_) | Asker::Watched(_) => {}
                }
            }
            Ok(have) => match asker {
                Asker::Thread(desk) => desk.put(News::Have(Box::new(have))),
                Asker::Return(used, of) => self.used_again((&used, of), have),
                Asker::Follow(_) | Asker::Watched(_) => {}
            },
        }
    }

    /// The page of this broker's share, if it is mapped.
    fn known_page(&self, share: u64) -> Option<PageReader> {
        let membership = &self.plugin.membership;
        let place = membership.shares.share(share)?.place()?;
        let is_it = (place.of, place.share) == (membership.id.number(), share);
        is_it.then_some(place.page)
    }

    /// Handles a share that was not received whole, because this process had no room for its descriptors.
    pub(super) fn have_cut(&mut self, request: u32, error: Error) {
        self.send(&ShareToBroker::Forgo { request }.into());
        self.share_failed(request, error);
    }

    /// Handles a version that was not received, and so is not mapped.
    pub(super) fn version_failed(&mut self, (request, version): (u32, u64), error: Error) {
        self.send(&ShareToBroker::Done { version }.into());
        self.share_failed(request, error);
    }

    fn write(&mut self, (making, request): (u64, u32), len: u64, descriptors: Vec<OwnedFd>) {
        let Some(file) = descriptors.into_iter().next() else {
            return self.write_failed((making, request), missing());
        };
        if !self.tell_maker((making, request), News::Write { making, len, file }) {
            self.give_up(making, &nobody());
        }
    }

    /// Handles memory for a version that was not received. The broker is told here, because the thread that makes
    /// the version does not know of the memory.
    pub(super) fn write_failed(&mut self, (making, request): (u64, u32), error: Error) {
        self.give_up(making, &error);
        self.tell_maker((making, request), News::Failed(error));
    }

    /// Passes news to the thread that makes a version, by publishing or by making a share. Returns whether there is
    /// one.
    fn tell_maker(&self, (making, request): (u64, u32), news: News) -> bool {
        let shares = &self.plugin.membership.shares;
        let desk = match (request, shares.asker(request)) {
            (1.., Some(Asker::Thread(desk))) => {
                shares.begin_making(making, &desk);
                Some(desk)
            }
            _ => shares.making(making),
        };
        desk.map(|desk| desk.put(news)).is_some()
    }

    /// Starts the thread that writes a version of this plugin as JSON, because that takes too long for this one.
    fn convert(&mut self, making: u64, version: u64) {
        let membership = &self.plugin.membership;
        match membership.shares.version_made(version) {
            Some(made) => self.plugin.state.write_twin(membership, making, made),
            None => {
                let text = "its maker does not use the share any more";
                let failure = Failure::new(Code::ShareTypeMismatch, text);
                self.send(&ShareToBroker::GaveUp { making, failure }.into());
            }
        }
    }

    /// Passes on a part of a share's type. Returns whether a thread has asked for it.
    pub(super) fn share_schema_part(&self, request: u32, part: (u32, &[u8])) -> bool {
        let is_asked = self.plugin.membership.shares.has(request);
        if is_asked {
            let (total, bytes) = (part.0, part.1.to_vec());
            self.tell_asker(request, News::Part { total, bytes });
        }
        is_asked
    }

    /// Handles the news that the plugin may not read a share any more. Its guards stay valid.
    fn share_revoked(&mut self, share: u64, error: &Error) {
        let Some(used) = self.plugin.membership.shares.share(share) else {
            return;
        };
        tracing::warn!(%error, tag = %used.tag, "this plugin may not use a share any more");
        // The broker has already forgotten the use, so it is not told of its end.
        used.detach();
        let shares = &self.plugin.state.shares;
        shares.remove(&used);
        shares.follows.changed();
    }
}

/// Checks the parts of a share that the plugin now uses. The page is mapped only if it is not mapped yet.
fn unpack(told: Told, known: Option<PageReader>, descriptors: Vec<OwnedFd>) -> Result<Have> {
    let mut descriptors = descriptors.into_iter();
    let sent = descriptors.next().ok_or_else(missing)?;
    let page = match known {
        Some(page) => page,
        None => PageReader::new(map_read_only(sent, PAGE_LEN)?),
    };
    let memory = match told.has_memory {
        true => Some(descriptors.next().ok_or_else(missing)?),
        false => None,
    };
    Ok(Have {
        share: told.share,
        facts: told.facts,
        fit: told.fit,
        page,
        memory,
        persistent: told.persistent,
    })
}

fn nobody() -> Error {
    Error::new(Code::Cancelled, "nobody waits for it any more")
}

fn missing() -> Error {
    let text = "the broker has sent a record about a share without its descriptors";
    Error::new(Code::Protocol, text)
}
