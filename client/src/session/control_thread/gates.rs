//! The broker's records about gates, and about the schemas with which they are compared before they are shown.

use std::time::Instant;

use callgate_layout::control::{GateToBroker, GateToPlugin, SchemaToPlugin, ToBroker};

use super::plugin::PluginWork;
use crate::base::error::Error;
use crate::session::connection::{Answered, Returned, failure as error_of};
use crate::session::notices::BrokerEvent;
use crate::session::schemas::{News, Step};

impl PluginWork<'_> {
    /// Notes that another plugin provided a gate of this one before this one was back.
    fn gate_lost(&self, request: u32, owner: String) {
        let plugin = &self.plugin;
        let Some(Returned::Gate(offer)) = plugin.membership.connection.returning(request) else {
            return;
        };
        if plugin.state.provided.lost(&offer) {
            let gate = offer.gate.to_string();
            tracing::warn!(%gate, %owner, "another plugin provides a gate of this one now");
            plugin
                .state
                .notices
                .tell(BrokerEvent::GateLost { gate, owner });
        }
    }

    pub(super) fn gate_record(&mut self, record: GateToPlugin) {
        if self.is_past() {
            return;
        }
        match record {
            GateToPlugin::Provided { request, life } => {
                self.answer(request, Ok(Answered::Provided(life)));
            }
            GateToPlugin::Lost { request, owner } => self.gate_lost(request, owner),
            GateToPlugin::State { open, state } => {
                if let Some(gate) = self.plugin.state.open_gate(open) {
                    let news = self.plugin.schemas.take_in(open, &gate, state);
                    self.show(news);
                }
            }
            GateToPlugin::OpenFailed { open, failure } => {
                let is_synced = self.plugin.schemas.forget(open);
                if let Some(gate) = self.plugin.state.open_gate(open) {
                    gate.fail(error_of(failure));
                }
                if is_synced {
                    self.synced(open);
                }
                self.go_on_with_schemas();
            }
            GateToPlugin::Synced { open } => {
                if !self.plugin.schemas.hold_synced(open) {
                    self.synced(open);
                }
            }
            GateToPlugin::StartFailed { open } => {
                if let Some(gate) = self.plugin.state.open_gate(open) {
                    gate.start_failed();
                }
            }
        }
    }

    /// Whether the plugin has another broker by now, which tells the state of its gates.
    fn is_past(&self) -> bool {
        self.plugin.state.membership().id != self.plugin.membership.id
    }

    /// Handles the broker's answer to a question about a gate. All that the broker had said before it is shown by
    /// now.
    fn synced(&mut self, open: u32) {
        let state = &self.plugin.state;
        let is_more = state.open_gate(open).is_some_and(|gate| gate.answered());
        state.sent.look_again();
        if is_more {
            self.send(&GateToBroker::Sync { open }.into());
        }
    }

    /// Shows the state of gates, and then goes on with schemas.
    fn show(&mut self, all: impl IntoIterator<Item = News>) {
        if self.is_past() {
            return self.plugin.schemas.clear();
        }
        for news in all {
            self.show_one(news);
        }
        self.go_on_with_schemas();
    }

    fn show_one(&mut self, news: News) {
        let News {
            open,
            gate,
            state,
            verdicts,
            is_synced,
        } = news;
        let membership = &self.plugin.membership;
        // Looked up now, because the link may have ended since the broker named it.
        let link = state.route.and_then(|route| membership.link(route.end));
        gate.set(
            membership.id,
            &membership.me,
            (state, verdicts),
            link.clone(),
        );
        // It may also have ended since it was looked up.
        if let Some(link) = link.filter(|link| membership.link(link.end()).is_none()) {
            gate.lose(&link, membership.id);
        }
        drop(gate);
        if is_synced {
            self.synced(open);
        }
    }

    /// Decodes, compares and fetches schemas for gates, unless other plugins of this thread wait for their turn.
    fn go_on_with_schemas(&mut self) {
        if !self.pace.is_awaited {
            self.take_turn_with_schemas();
        }
    }

    /// Decodes, compares and fetches schemas, as long as the pace allows.
    pub(super) fn take_turn_with_schemas(&mut self) {
        self.go_on_with_feed_schemas();
        if self.is_past() {
            return self.plugin.schemas.clear();
        }
        while self.plugin.schemas.is_step_due() {
            let begun = Instant::now();
            if !self.pace.allows(begun) {
                self.pace.is_awaited = true;
                return;
            }
            let plugin = &mut *self.plugin;
            let number = || plugin.membership.connection.next_number();
            let step = plugin.schemas.step(number);
            self.pace.spend(begun, Instant::now());
            match step {
                Some(Step::Ask(fetch)) => self.send(&fetch.into()),
                Some(Step::Show(news)) => self.show_one(*news),
                Some(Step::More) => {}
                None => return,
            }
        }
    }

    pub(super) fn schema_record(&mut self, record: SchemaToPlugin) {
        let SchemaToPlugin::Part {
            request,
            total,
            bytes,
        } = record;
        if self.plugin.feed_schemas.is_fetch(request) {
            return self.feed_schema_part(total, &bytes);
        }
        if self.share_schema_part(request, (total, &bytes)) {
            return;
        }
        let plugin = &mut *self.plugin;
        let number = || plugin.membership.connection.next_number();
        let (next, news) = plugin.schemas.part((request, total), &bytes, number);
        match next {
            Some(next) => self.send(&ToBroker::from(next)),
            None => self.show(news),
        }
    }

    pub(super) fn fetch_refused(&mut self, error: &Error) {
        let news = self.plugin.schemas.refused(error);
        self.show(news);
    }
}
