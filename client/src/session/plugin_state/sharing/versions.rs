//! Following the versions of a share.

use std::sync::Arc;

use callgate_layout::control::{ShareToBroker, VersionName};

use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;
use crate::session::shares::asked::Asker;
use crate::shares::follow::Follow;
use crate::shares::used::TellsBroker;
use crate::shares::watched::Watched;

impl PluginState {
    /// Has the broker say when a tag does not stand as it was seen, unless it was asked that. Does not wait for it.
    pub(crate) fn watch_share(
        &self,
        follow: &Arc<Follow>,
        (tag, seen): (&str, Option<VersionName>),
    ) {
        let membership = self.membership();
        let request = membership.connection.next_number();
        if !follow.begin_watch(membership.id.number(), request) {
            return;
        }
        membership
            .shares
            .ask(request, Asker::Follow(follow.clone()));
        let tag = tag.to_owned();
        membership.tell(ShareToBroker::Watch { request, tag, seen });
        // What is asked after the end of a connection is not answered; the next broker is asked when there is one.
        if membership.connection.check_alive().is_err() {
            membership.shares.forget(request);
            follow.end_watch();
        }
    }

    /// The broker need not say it any more.
    pub(crate) fn unwatch_share(&self, follow: &Follow) {
        let membership = self.membership();
        if let Some((of, request)) = follow.end_watch()
            && of == membership.id.number()
            && membership.shares.forget(request).is_some()
        {
            membership.tell(ShareToBroker::Unwatch { request });
        }
    }

    /// Has the broker say how a watched tag stands, when it does not stand as it was seen. Does not wait for it.
    pub(in crate::session) fn ask_of_watched(
        &self,
        membership: &Membership,
        watched: &Arc<Watched>,
    ) {
        let request = membership.connection.next_number();
        let Some(seen) = watched.ask(membership.id.number(), request) else {
            return;
        };
        membership
            .shares
            .ask(request, Asker::Watched(watched.clone()));
        let tag = watched.tag.to_string();
        membership.tell(ShareToBroker::Watch { request, tag, seen });
        if membership.connection.check_alive().is_err() {
            // The next broker is asked.
            membership.shares.forget(request);
        }
    }

    /// Watches a tag, at this broker and at each one after it.
    pub(crate) fn watch_tag(&self, watched: &Arc<Watched>) {
        self.shares.watches.add(watched);
        // Who comes back at this moment asks the next broker.
        self.ask_of_watched(&self.membership(), watched);
    }

    /// Watches a tag no more.
    pub(crate) fn end_share_watch(&self, watched: &Watched) {
        let membership = self.membership();
        if let Some((of, request)) = watched.end_asking()
            && of == membership.id.number()
            && membership.shares.forget(request).is_some()
        {
            membership.tell(ShareToBroker::Unwatch { request });
        }
    }
}
