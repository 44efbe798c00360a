//! Shares of another type: how a user gets the converted value, and how the maker writes the JSON for it.

use std::sync::Arc;
use std::time::Duration;

use callgate_layout::control::{Failure, Form, ShareToBroker, VersionFacts};
use callgate_layout::schema::compare::suits;
use callgate_layout::schema::{Primitive, Schema};
use callgate_layout::{Code, Encoding, Signature};

use super::making::{HowMade, Making};
use super::mapping;
use super::request::Request;
use super::twin::{Text, Twin};
use super::want::{Got, Want};
use crate::base::buffers::Scratch;
use crate::base::error::{Error, Result};
use crate::base::thread;
use crate::session::membership::Membership;
use crate::session::plugin_state::PluginState;
use crate::session::schemas::known::Parts;
use crate::session::shares::desk::{Desk, News};
use crate::session::shares::failures::not_there;
use crate::shares::content::Bytes;
use crate::shares::kind::write_numbers;
use crate::shares::used::{Known, Made, TellsBroker, Used};

/// How long writing a twin may take, besides the broker's own steps.
const CONVERTING: Duration = Duration::from_secs(30);

impl PluginState {
    /// Converts a share for a user with another type: fetches the maker's schema, compares, and gets the value as
    /// JSON.
    pub(super) fn convert_share(
        &self,
        membership: &Arc<Membership>,
        want: &Want<'_>,
        (used, facts): (&Arc<Used>, &VersionFacts),
        (schema, form): (u64, Form),
    ) -> Result<Got> {
        let theirs = self.fetch_share_schema(membership, used, (schema, want.until))?;
        let differs = |why: &str| mismatch(want, facts, &theirs, why);
        if want.exact {
            return Err(differs("only the very same type is wanted"));
        }
        if let Err(mismatch) = suits(&theirs, &want.what.signature) {
            return Err(differs(&mismatch.to_string()));
        }
        if form == Form::Slice {
            let number = number_of(&theirs)
                .ok_or_else(|| differs("its maker calls it a slice of numbers"))?;
            return self.read_slice(membership, (used, number), want.until);
        }
        used.learn(Known::Converts(want.what.as_type()));
        let got = self.fetch_json(membership, used, want.until);
        got.map_err(|error| match error.code() {
            Code::ShareTypeMismatch => differs(error.message()),
            _ => error,
        })
    }

    /// Asks the broker for the newest version as JSON, which its maker writes.
    pub(super) fn fetch_json(
        &self,
        membership: &Arc<Membership>,
        used: &Arc<Used>,
        until: u64,
    ) -> Result<Got> {
        let (facts, file) = self.fetch(membership, used, (Encoding::Json, until))?;
        let mut twin = Twin::sent(used, &facts, membership);
        twin.text = Some(Text::Sent(mapping::map(&facts, &file, self.trust)?));
        Ok(Got::Json(Box::new(twin)))
    }

    /// Writes the newest version of a slice of numbers as JSON. That needs nothing of its maker.
    fn read_slice(
        &self,
        membership: &Arc<Membership>,
        (used, number): (&Arc<Used>, Primitive),
        until: u64,
    ) -> Result<Got> {
        let held = used.newest();
        let mut text = Scratch::take();
        let mut twin = match held.as_ref().and_then(|held| Some((held, held.memory()?))) {
            Some((held, memory)) => {
                write_numbers(number, memory, &mut text)?;
                Twin::new(used, &held.facts)
            }
            None => {
                let (facts, file) = self.fetch(membership, used, (Encoding::Archive, until))?;
                let twin = Twin::sent(used, &facts, membership);
                write_numbers(number, &mapping::map(&facts, &file, self.trust)?, &mut text)?;
                twin
            }
        };
        twin.text = Some(Text::Own(text));
        Ok(Got::Json(Box::new(twin)))
    }

    /// Fetches the schema of a share's maker, in parts.
    fn fetch_share_schema(
        &self,
        membership: &Membership,
        used: &Used,
        (schema, until): (u64, u64),
    ) -> Result<Signature> {
        let share = used.place().ok_or_else(not_there)?.share;
        let mut parts = Parts::default();
        loop {
            let request = Request::new(membership);
            let fetch = ShareToBroker::FetchSchema {
                request: request.number,
                share,
                schema,
                offset: parts.len(),
            };
            let what = "did not send the type of a share in time";
            let (total, bytes) = request.ask((fetch, until), what, |news| match news {
                News::Part { total, bytes } => Some((total, bytes)),
                _ => None,
            })?;
            if parts.add(total, &bytes)? {
                return parts.signature().map_err(|why| {
                    let text =
                        format!("what the share's maker says of its type cannot be read: {why}");
                    Error::new(Code::ShareTypeMismatch, text)
                });
            }
        }
    }

    /// Writes a version that this plugin has made as JSON, on a new thread.
    pub(in crate::session) fn write_twin(
        &self,
        membership: &Arc<Membership>,
        making: u64,
        made: Arc<Made>,
    ) {
        let (theirs, desk) = (membership.clone(), Arc::new(Desk::default()));
        let how = HowMade {
            persistent: false,
            huge: false,
            within: CONVERTING,
        };
        let write = move || {
            // If it fails, the plugins that want it are told; this thread has nobody to tell.
            let making = Making::new((&theirs, making), &desk, how);
            let _ = making.make(&mut |_, write| {
                let mut text = Scratch::take();
                let memory = mapping::map(&made.facts, &made.file, None)?;
                (made.what.write_json)(&memory, &mut text)?;
                drop(memory);
                write(&mut Bytes(&text))
            });
            theirs.shares.close(&desk);
        };
        let started = thread::spawn("callgate-share", write);
        if let Err(error) = started {
            tracing::warn!(%error, "a share cannot be written as JSON");
            let text = format!("there is no thread to write it on: {error}");
            let failure = Failure::new(Code::System, text);
            membership.tell(ShareToBroker::GaveUp { making, failure });
        }
    }
}

/// The type of the numbers in a slice, according to the maker's signature.
fn number_of(signature: &Signature) -> Option<Primitive> {
    match signature.params.as_deref() {
        Some([Schema::Vec(element)]) => match **element {
            Schema::Primitive(number) => Some(number),
            _ => None,
        },
        _ => None,
    }
}

/// The error for a share whose type is not the wanted one.
#[cold]
fn mismatch(want: &Want<'_>, facts: &VersionFacts, theirs: &Signature, why: &str) -> Error {
    let text = format!(
        "plugin `{}` has made the share `{}` as {}, and {} was asked for: {why}",
        facts.maker,
        want.tag,
        theirs.text(),
        want.what.text
    );
    Error::new(Code::ShareTypeMismatch, text)
}
