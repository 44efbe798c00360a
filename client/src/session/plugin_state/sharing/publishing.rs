//! Publishing versions of a share.

use std::sync::Arc;

use callgate_layout::control::ShareToBroker;

use super::making::{HowMade, Maker, Making};
use super::request::Request;
use super::want::{Got, Want};
use crate::base::error::Result;
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;
use crate::session::shares::desk::News;
use crate::session::shares::failures::{on_control_thread, out_of_turn};
use crate::session::shares::waiting;
use crate::shares::content::Content;
use crate::shares::held::Held;
use crate::shares::kind::ShareType;

impl PluginState {
    /// Makes a new version of a share, or the first one.
    pub(crate) fn publish_share<T: ShareType + ?Sized>(
        &self,
        want: &Want<'_>,
        maker: &mut Maker<'_>,
    ) -> Result<Arc<Held<T>>> {
        let _turn = self.take_share_turn(want, true)?;
        // Kept to the end: its `Relinquish` would cross with `Have`, and end the use that publishing is.
        let _used = self.shares.used(want.tag);
        let got = self.with_brokers((want.tag, want.until), |membership| {
            let mut got = None;
            let pool = &membership.memory.pool;
            let how = maker.how;
            (maker.make)(pool, &mut |content| {
                got = Some(self.publish_content(membership, want, (content, how))?);
                Ok(())
            })?;
            got.ok_or_else(out_of_turn)
        })?;
        self.hold_share(got)
    }

    fn publish_content(
        &self,
        membership: &Arc<Membership>,
        want: &Want<'_>,
        (content, how): (&mut dyn Content, HowMade),
    ) -> Result<Got> {
        let request = Request::new(membership);
        let until = waiting::instant(want.until);
        let ready = self.ready_schema(membership, &want.what.schema, until)?;
        let publish = ShareToBroker::Publish {
            request: request.number,
            tag: want.tag.to_string(),
            make: want
                .what
                .making(ready.source.clone(), (how.persistent, how.huge)),
            len: content.len(),
        };
        let what = "did not make memory for a share in time";
        let len = content.len();
        let memory = request.ask((publish, want.until), what, |news| match news {
            News::Write {
                making,
                len: sent,
                file,
            } if sent == len => Some((making, file)),
            _ => None,
        });
        drop(ready);
        let (making, file) = memory?;
        let making = Making::new((membership, making), &request.desk, how);
        making.write_to(file, content)?;
        match request.desk.take(how.step_due())? {
            Some(News::Have(have)) => self.have_share(membership, want, (*have, true)),
            Some(_) => Err(out_of_turn()),
            None => Err(request.is_late("did not seal a share in time")),
        }
    }

    /// Has a persistent share removed: nobody finds it again.
    pub(crate) fn remove_share(&self, tag: &Arc<str>, until: u64) -> Result<()> {
        self.check_here()?;
        if self.membership().connection.is_control_thread() {
            return Err(on_control_thread());
        }
        self.with_brokers((tag, until), |membership| {
            let request = Request::new(membership);
            let remove = ShareToBroker::Remove {
                request: request.number,
                tag: tag.to_string(),
            };
            let what = "did not remove a share in time";
            request.ask((remove, until), what, |news| {
                matches!(news, News::Done).then_some(())
            })
        })
    }
}
