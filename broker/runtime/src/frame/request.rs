//! Requests to a child, and how they are written: by hand, because there is one for each call.

use std::io::{self, Write};

/// A call for the child to handle.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) id: &'a str,
    pub(crate) action: &'a str,
    /// A text that was checked to be one JSON value.
    pub(crate) params: &'a str,
    pub(crate) user: User<'a>,
    pub(crate) session_id: Option<&'a str>,
}

/// The user on whose behalf a request is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct User<'a> {
    pub(crate) id: &'a str,
    pub(crate) display_name: &'a str,
    pub(crate) avatar_url: Option<&'a str>,
    pub(crate) role: &'a str,
}

impl Request<'_> {
    /// The bytes of its texts.
    pub(super) fn length(&self) -> usize {
        let user = self.user.id.len()
            + self.user.display_name.len()
            + self.user.avatar_url.map_or(0, str::len)
            + self.user.role.len();
        let session = self.session_id.map_or(0, str::len);
        self.id.len() + self.action.len() + self.params.len() + user + session
    }

    /// Writes the frame, without a line break.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        out.write_all(b"{\"type\":\"request\",\"id\":")?;
        text(out, self.id)?;
        out.write_all(b",\"action\":")?;
        text(out, self.action)?;
        out.write_all(b",\"params\":")?;
        out.write_all(self.params.as_bytes())?;
        out.write_all(b",\"user\":{\"id\":")?;
        text(out, self.user.id)?;
        out.write_all(b",\"displayName\":")?;
        text(out, self.user.display_name)?;
        out.write_all(b",\"avatarUrl\":")?;
        match self.user.avatar_url {
            Some(url) => text(out, url)?,
            None => out.write_all(b"null")?,
        }
        out.write_all(b",\"role\":")?;
        text(out, self.user.role)?;
        out.write_all(b"}")?;
        if let Some(session) = self.session_id {
            out.write_all(b",\"session_id\":")?;
            text(out, session)?;
        }
        out.write_all(b"}")
    }
}

/// Writes a text with its quotes.
fn text(out: &mut impl Write, text: &str) -> io::Result<()> {
    let is_escaped = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    // Looks at all bytes: without an early end the loop handles many at once.
    if text.bytes().filter(is_escaped).count() > 0 {
        return serde_json::to_writer(out, text).map_err(io::Error::from);
    }
    out.write_all(b"\"")?;
    out.write_all(text.as_bytes())?;
    out.write_all(b"\"")
}
