//! What a maker says of a version, and how that stands to what a user wants.

use std::sync::Arc;

use callgate_layout::Code;
use callgate_layout::control::{Failure, Form, MAX_TEXT, Wanted};

use crate::schemas::Held;

/// What a maker says of what it makes.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Archive or slice.
    pub(crate) form: Form,
    /// A signature with the type as its only parameter.
    pub(crate) held: Arc<Held>,
    /// The same for people.
    pub(crate) signature: String,
    /// Whether the maker can write it as JSON.
    pub(crate) json: bool,
    /// Whether it outlives all plugins and brokers.
    pub(crate) persistent: bool,
}

impl Facts {
    pub(crate) fn fingerprint(&self) -> u128 {
        self.held.schema.head.fingerprint.0
    }

    /// Whether a user that wants this can read it as it is.
    pub(crate) fn fits(&self, wanted: &Wanted) -> bool {
        (self.form, self.fingerprint()) == (wanted.form, wanted.fingerprint)
    }

    /// Whether it is of the same type as what others make.
    pub(crate) fn is_like(&self, other: &Facts) -> bool {
        (self.form, self.fingerprint()) == (other.form, other.fingerprint())
    }

    /// What is not acceptable about it, if anything is.
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

/// What is not acceptable about what a user wants, if anything is.
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
    // A listing shows it to people; escaped, each such character is six.
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
