//! Following the versions of a share.

use std::sync::Arc;

use callgate_layout::control::{ShareToBroker, VersionName};

use super::asked::Asker;
use crate::session::plugin_state::PluginState;
use crate::shares::follow::Follow;
use crate::shares::used::TellsBroker;

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
}
