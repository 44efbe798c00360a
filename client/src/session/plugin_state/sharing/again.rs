//! Shares that the plugin uses: at the current broker, and again at each later one.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::ShareToBroker;

use crate::base::deadline::answer_due;
use crate::base::error::{Error, Result};
use crate::session::connection::REQUEST_TIMEOUT;
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;
use crate::session::shares::asked::Asker;
use crate::shares::used::{Made, Used};

impl PluginState {
    /// Adds a use to the table, so that its tag finds it and the next broker is told of it.
    pub(in crate::session) fn note_use(
        &self,
        membership: &Membership,
        used: &Arc<Used>,
        share: u64,
    ) -> Result<()> {
        // Under this lock a plugin that comes back either finds the use here, or has another membership already.
        let _alone = self.saying.lock();
        if self.membership().id != membership.id {
            let text = "the broker that had the share was replaced at this moment";
            return Err(Error::new(Code::BrokerGone, text));
        }
        membership.shares.use_share(share, used);
        self.shares.put_used(used);
        Ok(())
    }

    /// Tells a new broker of the shares that this plugin uses. The control thread handles the answers.
    pub(in crate::session::plugin_state) fn use_shares_again(
        &self,
        membership: &Membership,
    ) -> Result<()> {
        for used in self.shares.all() {
            let place = used.place();
            let Some(place) = place.filter(|place| place.of != membership.id.number()) else {
                continue;
            };
            let made = used.made();
            // The broker itself has the persistent ones.
            let is_to_return =
                |made: &Arc<Made>| !made.persistent && place.is_newest(made.facts.name);
            match made.filter(is_to_return) {
                Some(made) => self.return_share(membership, &used, &made)?,
                None => self.want_again(membership, &used)?,
            }
        }
        for watched in self.shares.watches.all() {
            self.ask_of_watched(membership, &watched);
        }
        Ok(())
    }

    /// Gives the new broker the newest version of a share, which this plugin has made.
    fn return_share(&self, membership: &Membership, used: &Arc<Used>, made: &Made) -> Result<()> {
        let until = answer_due(REQUEST_TIMEOUT);
        let ready = self.ready_schema(membership, &made.what.schema, until)?;
        let request = membership.connection.next_number();
        let record = ShareToBroker::Return {
            request,
            tag: used.tag.to_string(),
            make: made.what.making(ready.source, (false, false)),
            name: made.facts.name,
            len: made.facts.len,
        };
        let asker = Asker::Return(used.clone(), made.what.as_type());
        membership.shares.ask(request, asker);
        let connection = &membership.connection;
        connection.send_file(&record.into(), &made.file, until)
    }

    /// Tells the new broker that this plugin still uses a share.
    fn want_again(&self, membership: &Membership, used: &Arc<Used>) -> Result<()> {
        let request = membership.connection.next_number();
        let record = ShareToBroker::Want {
            request,
            tag: used.tag.to_string(),
            wanted: used.what.wanted(false),
            make: None,
            within: 0,
            had: used.held().map(|held| held.facts.name),
            trusts: self.trust.is_some(),
        };
        let asker = Asker::Return(used.clone(), used.what.as_type());
        membership.shares.ask(request, asker);
        membership.send(&record.into())
    }
}
