//! What a host can do with a plugin on pipes: call it in a user's name, and tell it about events of the host.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use callgate_client::{Code, Error, Result};
use crossbeam_channel::bounded;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::bridge::{Asker, Bridge, Request};
use crate::frame::{FRAME_CAP, Outgoing, User as FrameUser};
use crate::process::{Refused, Stdin};
use crate::runtime::Runtime;

/// The user in whose name a host calls a plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user's id, for programs.
    pub id: String,
    /// The user's name, for people.
    pub display_name: String,
    /// The address of the user's picture.
    pub avatar_url: Option<String>,
    /// The user's role in the host, such as `admin`.
    pub role: String,
}

/// A file that a user has uploaded for a plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct Upload {
    /// The file's name on the user's side.
    pub filename: String,
    /// The path where the file is now.
    pub path: String,
    /// Its length in bytes.
    pub size: u64,
    /// The MIME type of the content.
    pub mime_type: String,
    /// The id of the user who uploaded it.
    pub uploaded_by: String,
    /// The time of the upload, in the host's format.
    pub uploaded_at: Value,
}

impl Runtime {
    /// Calls an action of a plugin on pipes in a user's name, and waits for the result. The time limit is the plugin's
    /// [`call_deadline`](callgate::supervision::Restart::call_deadline).
    ///
    /// # Errors
    ///
    /// The same as for a call of the gate `PLUGIN.ACTION`: `NOT_READY`, `TIMEOUT`, `PROVIDER_GONE`, `OVERLOADED`, `HANDLER_ERROR`. In
    /// addition `INVALID_ARGUMENT` if there is no such plugin, if it links the client, or if the parameters are not an object.
    pub fn call_as(
        &self,
        plugin: &str,
        action: &str,
        params: &Value,
        (user, session_id): (&User, Option<&str>),
    ) -> Result<Value> {
        let at_gate = |error: Error| error.at_gate(format!("{plugin}.{action}"));
        let (bridge, _) = self.reach(plugin).map_err(at_gate)?;
        if !params.is_object() {
            let text = "the parameters of an action are a JSON object";
            return Err(at_gate(Error::new(Code::InvalidArgument, text)));
        }
        let params = raw(params)?;
        let request = Request {
            action,
            params: params.get(),
            user: FrameUser {
                id: &user.id,
                display_name: &user.display_name,
                avatar_url: user.avatar_url.as_deref(),
                role: &user.role,
            },
            session_id,
            timeout: Duration::MAX,
        };
        let (answer, answered) = bounded(1);
        let asker = Asker::Host(Box::new(move |outcome| {
            // Fails only if the host no longer waits: the channel has room for the one answer.
            let _ = answer.send(outcome.map(|result| result.get().to_owned()));
        }));
        bridge.calls().request(&request, asker);
        let gone = |_| Error::new(Code::ProviderGone, format!("plugin {plugin} has ended"));
        let result = answered.recv().map_err(gone).flatten().map_err(at_gate)?;
        let unreadable =
            |error| Error::new(Code::Protocol, format!("the result is no JSON: {error}"));
        serde_json::from_str(&result).map_err(unreadable)
    }

    /// Tells a plugin on pipes about a file that a user has uploaded for it.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` if there is no such plugin or it links the client, `NOT_READY` if it does not run, `OVERLOADED` if it does not
    /// read its stdin, `PROVIDER_GONE` if it has closed its stdin, and `REQUEST_TOO_LARGE`.
    pub fn file_uploaded(&self, plugin: &str, upload: &Upload) -> Result<()> {
        let uploaded_at = raw(&upload.uploaded_at)?;
        let frame = Outgoing::FileUploaded {
            filename: &upload.filename,
            path: &upload.path,
            size: upload.size,
            mime_type: &upload.mime_type,
            uploaded_by: &upload.uploaded_by,
            uploaded_at: &uploaded_at,
        };
        self.tell(plugin, &frame)
    }

    /// Tells a plugin on pipes that the value of one of its settings has changed, and who changed it.
    ///
    /// # Errors
    ///
    /// As [`Runtime::file_uploaded`].
    pub fn config_changed(
        &self,
        plugin: &str,
        (key, value): (&str, &Value),
        user_id: Option<&str>,
    ) -> Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let value = raw(value)?;
        let frame = Outgoing::ConfigChanged {
            key,
            value: &value,
            changed_by_user_id: user_id,
            ts: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
        };
        self.tell(plugin, &frame)
    }

    fn tell(&self, plugin: &str, frame: &Outgoing<'_>) -> Result<()> {
        let (_, stdin) = self.reach(plugin)?;
        let line = frame.to_line(FRAME_CAP);
        let line = line.map_err(|error| Error::new(Code::RequestTooLarge, error.to_string()))?;
        stdin.write(&line).map_err(|refused| match refused {
            Refused::Full => {
                let text = format!("plugin {plugin} does not read what it is told");
                Error::new(Code::Overloaded, text)
            }
            Refused::Gone => {
                let text = format!("plugin {plugin} reads its stdin no more");
                Error::new(Code::ProviderGone, text)
            }
        })
    }

    fn no_plugin(&self, plugin: &str) -> Error {
        Error::new(Code::InvalidArgument, self.unknown(plugin).to_string())
    }

    /// The error for a plugin that has no process, as callers on the bus get it.
    fn absent(&self, plugin: &str) -> Error {
        let mut all = self.plugins().into_iter();
        let Some(status) = all.find(|status| status.name == plugin) else {
            return self.no_plugin(plugin);
        };
        let status = status.supervision;
        let error = Error::new(Code::NotReady, status.absence(plugin));
        error.with_context(status.to_context(plugin))
    }

    /// The bridge and stdin of the present life of a plugin on pipes.
    fn reach(&self, plugin: &str) -> Result<(Arc<Bridge>, Stdin)> {
        let found = self.teller().find(plugin);
        let found = found.ok_or_else(|| self.no_plugin(plugin))?;
        if found.is_linked {
            let text = format!("plugin {plugin} links the client: call its gates as a plugin");
            return Err(Error::new(Code::InvalidArgument, text));
        }
        found.alive.ok_or_else(|| self.absent(plugin))
    }
}

fn raw(value: &Value) -> Result<Box<RawValue>> {
    let unfit = |error| Error::new(Code::InvalidArgument, format!("no JSON: {error}"));
    to_raw_value(value).map_err(unfit)
}
