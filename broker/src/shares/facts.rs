//! The type of a version and how it is kept, as its maker says; comparing that with what a user wants.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::{Failure, Form, MAX_TEXT, Wanted};

use crate::schemas::Held;

/// What a maker says of a version that it makes.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// An archive or a slice, never JSON.
    pub(crate) form: Form,
    /// The schema: a signature with the type as its only parameter.
    pub(crate) held: Arc<Held>,
    /// The same signature as a text for people.
    pub(crate) signature: String,
    /// Whether the maker can write the version as JSON.
    pub(crate) json: bool,
    /// Whether the share outlives all plugins and brokers.
    pub(crate) persistent: bool,
}

impl Facts {
    pub(crate) fn fingerprint(&self) -> u128 {
        self.held.schema.head.fingerprint.0
    }

    /// Whether a user that wants this type can read the version without conversion.
    pub(crate) fn fits(&self, wanted: &Wanted) -> bool {
        (self.form, self.fingerprint()) == (wanted.form, wanted.fingerprint)
    }

    /// Whether two versions have the same type.
    pub(crate) fn is_like(&self, other: &Facts) -> bool {
        (self.form, self.fingerprint()) == (other.form, other.fingerprint())
    }

    /// Fails if the form, the signature or the schema cannot be those of a share.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        if self.held.schema.head.params != Some(1) {
            return Err(invalid(
                "the type of a share is a signature with one parameter",
            ));
        }
        check_form(self.form)?;
        check_text(&self.signature)
    }
}

/// Fails if what a user wants cannot be the type of a share.
pub(crate) fn check_wanted(wanted: &Wanted) -> Result<(), Failure> {
    check_form(wanted.form)?;
    check_text(&wanted.signature)
}

fn check_form(form: Form) -> Result<(), Failure> {
    match form {
        Form::Archive | Form::Slice => Ok(()),
        Form::Json => Err(invalid(
            "a share is made as an archive or a slice: JSON is what twins are",
        )),
    }
}

fn check_text(signature: &str) -> Result<(), Failure> {
    if signature.len() > MAX_TEXT {
        return Err(invalid(&format!(
            "a signature has at most {MAX_TEXT} bytes"
        )));
    }
    // A listing shows the signature to people, and writes each control character escaped, as six characters.
    match signature.chars().find(|c| c.is_control()) {
        Some(c) => Err(invalid(&format!(
            "a signature contains the control character {c:?}"
        ))),
        None => Ok(()),
    }
}

pub(crate) fn invalid(what: &str) -> Failure {
    Failure::new(Code::InvalidArgument, what)
}
