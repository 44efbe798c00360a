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
    /// Asks the broker to tell when a tag is not as it was seen any more, unless it was asked already. Does not
    /// wait.
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
        // A question after the end of a connection is not answered. The next broker is asked once there is one.
        if membership.connection.check_alive().is_err() {
            membership.shares.forget(request);
            follow.end_watch();
        }
    }

    /// Takes that question back.
    pub(crate) fn unwatch_share(&self, follow: &Follow) {
        let membership = self.membership();
        if let Some((of, request)) = follow.end_watch()
            && of == membership.id.number()
            && membership.shares.forget(request).is_some()
        {
            membership.tell(ShareToBroker::Unwatch { request });
        }
    }

    /// Asks the broker to tell when a watched tag is not as it was seen any more. Does not wait.
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
            // The next broker will be asked.
            membership.shares.forget(request);
        }
        // A thread that has just ended the watch may not have found the request.
        if watched.is_over() && membership.shares.forget(request).is_some() {
            membership.tell(ShareToBroker::Unwatch { request });
        }
    }

    /// Watches a tag, at this broker and at each later one.
    pub(crate) fn watch_tag(&self, watched: &Arc<Watched>) {
        self.shares.watches.add(watched);
        // A plugin that comes back at this moment asks the next broker.
        self.ask_of_watched(&self.membership(), watched);
    }

    /// Ends a watch, at the broker too.
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
