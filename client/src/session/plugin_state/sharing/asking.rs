//! Asking a broker for a share: only one thread of a plugin for each tag. If the broker ends meanwhile, the next
//! one is asked.

use std::sync::Arc;
use std::time::Duration;

use callgate_layout::control::ShareToBroker;

use super::making::{Maker, Making};
use super::request::Request;
use super::want::{Got, Want};
use crate::base::error::Result;
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;
use crate::session::shares::desk::{Have, News};
use crate::session::shares::failures::{late, not_there, on_control_thread, out_of_turn, own};
use crate::session::shares::waiting;
use crate::shares::held::Held;
use crate::shares::kind::ShareType;
use crate::shares::table::Found;
use crate::shares::turns::{Entry, Turn};
use crate::shares::used::TellsBroker;

impl PluginState {
    /// Returns a share in this type. If the plugin does not hold it, asks the broker for it. If there is none and a
    /// `maker` is given, makes it.
    pub(crate) fn obtain<T: ShareType + ?Sized>(
        &self,
        want: &Want<'_>,
        maker: Option<&mut Maker<'_>>,
    ) -> Result<Arc<Held<T>>> {
        let find = || self.shares.find::<T>(want.tag, want.exact);
        if let Some(held) = find() {
            return Ok(held);
        }
        let turn = self.take_share_turn(want, maker.is_some())?;
        // The thread that had the turn before may have got it.
        if let Some(held) = find() {
            return Ok(held);
        }
        let got = self.ask_for_share(want, &turn, maker)?;
        self.hold_share(got)
    }

    /// Makes the value that guards hold, and adds it to the table.
    pub(super) fn hold_share<T: ShareType + ?Sized>(&self, got: Got) -> Result<Arc<Held<T>>> {
        let held = match got {
            Got::Version(version) => Held::of(&version)?,
            Got::Json(twin) => {
                let memory = T::read_json(twin.text())?;
                Held::converted(&twin.used, (twin.name, &twin.maker), memory)?
            }
        };
        Ok(self.shares.put(Arc::new(held)))
    }

    /// Waits until this thread has the turn to ask about a tag.
    pub(super) fn take_share_turn(&self, want: &Want<'_>, would_make: bool) -> Result<Turn<'_>> {
        self.check_here()?;
        if self.membership().connection.is_control_thread() {
            return Err(on_control_thread());
        }
        let turns = &self.shares.turns;
        let enter = || match turns.enter(want.tag) {
            Entry::Mine(turn) => Some(Ok(turn)),
            Entry::Own => Some(Err(own())),
            Entry::Taken { makes: true } if !would_make => Some(Err(not_there())),
            Entry::Taken { .. } => None,
        };
        let turn = waiting::wait(turns.word(), want.until, enter);
        let others = || Err(late("another thread of this plugin asks for it"));
        let turn = turn.unwrap_or_else(others)?;
        let is_left = || !matches!(self.shares.look(want.tag), Found::Leaving);
        let left = waiting::wait(turns.word(), want.until, || is_left().then_some(()));
        left.ok_or_else(|| late("it was let go at the same moment"))?;
        Ok(turn)
    }

    /// Asks the current broker, and if it ends meanwhile, each later one.
    pub(super) fn with_brokers<T>(
        &self,
        (tag, deadline): (&str, u64),
        mut ask: impl FnMut(&Arc<Membership>) -> Result<T>,
    ) -> Result<T> {
        let until = waiting::instant(deadline);
        loop {
            let membership = self.await_membership(until)?;
            let outcome = self
                .await_return(&membership, (tag, deadline))
                .and_then(|()| ask(&membership));
            let is_past = self.membership().id != membership.id;
            match &outcome {
                Err(error) if is_past || self.has_ended(&membership, Some(error), until) => {}
                _ => return outcome,
            }
        }
    }

    /// Waits until the broker has said whether it has a share that was used before: only one request for a tag is
    /// open at a time.
    fn await_return(&self, membership: &Membership, (tag, until): (&str, u64)) -> Result<()> {
        let word = self.shares.turns.word();
        let is_back = || (!membership.shares.is_returning(tag)).then_some(());
        let late = || late("the broker has not said whether it still is");
        waiting::wait(word, until, is_back).ok_or_else(late)
    }

    fn ask_for_share(
        &self,
        want: &Want<'_>,
        turn: &Turn<'_>,
        mut maker: Option<&mut Maker<'_>>,
    ) -> Result<Got> {
        self.with_brokers((want.tag, want.until), |membership| {
            // Kept to the end: if the use ended meanwhile, its `Relinquish` would cross with `Have`, and end the
            // new use as well.
            let used = self.shares.used(want.tag);
            if let Some(used) = &used
                && let Some(got) = self.renew_share(membership, used, want)?
            {
                return Ok(got);
            }
            let have = self.want_share(membership, want, (turn, maker.as_deref_mut()))?;
            self.have_share(membership, want, have)
        })
    }

    /// Asks for a share, and waits until the plugin is a user of it. Returns also whether it was made by this
    /// thread.
    fn want_share(
        &self,
        membership: &Membership,
        want: &Want<'_>,
        (turn, maker): (&Turn<'_>, Option<&mut Maker<'_>>),
    ) -> Result<(Have, bool)> {
        let request = Request::new(membership);
        let until = waiting::instant(want.until);
        let how = maker.as_deref().map(|maker| maker.how);
        let ready = match how {
            Some(_) => Some(self.ready_schema(membership, &want.what.schema, until)?),
            None => None,
        };
        let make = ready.as_ref().zip(how).map(|(ready, how)| {
            let source = ready.source.clone();
            want.what.making(source, (how.persistent, how.huge))
        });
        let within = how.map_or(Duration::ZERO, |how| how.within).as_millis();
        let record = ShareToBroker::Want {
            request: request.number,
            tag: want.tag.to_string(),
            wanted: want.what.wanted(want.exact),
            make,
            within: u32::try_from(within).unwrap_or(u32::MAX),
            had: None,
            trusts: self.trust.is_some(),
        };
        request.send(record, want.until)?;
        drop(ready);
        await_have(&request, want, (turn, maker))
    }
}

fn await_have(
    request: &Request<'_>,
    want: &Want<'_>,
    (turn, mut maker): (&Turn<'_>, Option<&mut Maker<'_>>),
) -> Result<(Have, bool)> {
    let (mut until, mut made) = (want.until, None);
    loop {
        match request.desk.take(until)? {
            Some(News::Have(have)) => {
                // If the versions differ, another plugin has published the share meanwhile.
                let is_made = made == Some(have.facts.version);
                return Ok((*have, is_made));
            }
            Some(News::Create { making }) => {
                let maker = maker.as_deref_mut().ok_or_else(out_of_turn)?;
                let of = (request.membership, making);
                turn.makes(true);
                let overtaken = Making::new(of, &request.desk, maker.how).make(maker.make);
                turn.makes(false);
                if let Some(have) = overtaken? {
                    return Ok((have, false));
                }
                // The value is written and only has to be sealed: finishing that is worth more than keeping the
                // caller's deadline.
                (until, made) = (until.max(maker.how.step_due()), Some(making));
            }
            Some(_) => return Err(out_of_turn()),
            None => {
                let number = request.number;
                request
                    .membership
                    .tell(ShareToBroker::Forgo { request: number });
                return Err(late("nobody has made it by then"));
            }
        }
    }
}
