//! Publishing versions of a share.

use std::sync::Arc;

use callgate_layout::control::{MAX_SHORT, ShareToBroker};
use callgate_layout::shares::filling::Filling;

use super::making::{HowMade, Maker, Making};
use super::request::Request;
use super::want::{Got, Want};
use crate::base::buffers::{Scratch, no_memory};
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
        // Kept to the end: if the use ended meanwhile, its `Relinquish` would cross with `Have`, and end the new
        // use as well.
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
        match content.len() {
            len if len <= MAX_SHORT as u64 => self.publish_short(&request, want, (content, how))?,
            _ => self.publish_long(&request, want, (content, how))?,
        }
        match request.desk.take(how.step_due())? {
            Some(News::Have(have)) => self.have_share(membership, want, (*have, true)),
            Some(_) => Err(out_of_turn()),
            None => Err(request.is_late("did not seal a share in time")),
        }
    }

    /// Publishes a short value, whose bytes are part of the request.
    fn publish_short(
        &self,
        request: &Request<'_>,
        want: &Want<'_>,
        (content, how): (&mut dyn Content, HowMade),
    ) -> Result<()> {
        // The program's own code runs before this thread holds the upload, for which other threads may wait.
        let value = bytes_of(content)?;
        let until = waiting::instant(want.until);
        let ready = self.ready_schema(request.membership, &want.what.schema, until)?;
        let kept = (how.persistent, how.huge);
        let publish = ShareToBroker::PublishShort {
            request: request.number,
            tag: want.tag.to_string(),
            make: want.what.making(ready.source, kept),
            value,
        };
        request.send(publish, want.until)
    }

    /// Asks for memory for a long value, and writes it there.
    fn publish_long(
        &self,
        request: &Request<'_>,
        want: &Want<'_>,
        (content, how): (&mut dyn Content, HowMade),
    ) -> Result<()> {
        let until = waiting::instant(want.until);
        let ready = self.ready_schema(request.membership, &want.what.schema, until)?;
        let (len, kept) = (content.len(), (how.persistent, how.huge));
        let publish = ShareToBroker::Publish {
            request: request.number,
            tag: want.tag.to_string(),
            make: want.what.making(ready.source.clone(), kept),
            len,
        };
        let what = "did not make memory for a share in time";
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
        let making = Making::new((request.membership, making), &request.desk, how);
        making.write_to(file, content)
    }

    /// Removes a persistent share, so that nobody finds it any more.
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

/// The bytes of a short value.
fn bytes_of(content: &mut dyn Content) -> Result<Vec<u8>> {
    let len = usize::try_from(content.len()).unwrap_or(usize::MAX);
    let mut buffer = Scratch::take();
    let filling = Filling::private(std::mem::take(&mut *buffer), len);
    let mut filling = filling.map_err(|why| no_memory(why, "share"))?;
    content.fill(&mut filling)?;
    *buffer = filling.into_private();
    Ok(buffer.to_vec())
}
