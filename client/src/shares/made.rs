//! What a plugin tells the broker about the types that it shares and the versions that it makes.

use callgate_layout::Signature;
use callgate_layout::buffer::Buffer;
use callgate_layout::control::{Form, MAX_TEXT, Making, SchemaSource, Wanted};
use callgate_layout::schema::Head;
use callgate_layout::shares::sealed::Sealed;
use callgate_layout::text::cut;

use super::kind::ShareType;
use crate::base::error::Result;
use crate::base::types::no_schema;

/// A type, and the form in which its values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) form: Form,
    pub(crate) fingerprint: u128,
}

/// A type that is shared: what the broker is told of it, and how its values become JSON.
pub(crate) struct What {
    pub(crate) form: Form,
    pub(crate) fingerprint: u128,
    /// The signature as text, for errors and listings.
    pub(crate) text: String,
    pub(crate) signature: Signature,
    /// The canonical bytes of its schema.
    pub(crate) schema: Vec<u8>,
    pub(crate) write_json: fn(&Sealed, &mut Buffer) -> Result<()>,
}

impl What {
    /// Describes a type.
    ///
    /// # Errors
    ///
    /// `INVALID_ARGUMENT` for a type that is too large or too deep for a schema.
    pub(crate) fn of<T: ShareType + ?Sized>() -> Result<What> {
        let signature = T::signature();
        let schema = signature.to_bytes().map_err(no_schema)?;
        let head = Head::of(&schema).map_err(no_schema)?;
        Ok(What {
            form: T::FORM,
            fingerprint: head.fingerprint.0,
            text: cut(signature.text(), MAX_TEXT),
            signature,
            schema,
            write_json: T::write_json,
        })
    }

    /// The record in which the plugin tells the broker which type it wants; the broker compares it with that of the
    /// share.
    pub(crate) fn wanted(&self, exact: bool) -> Wanted {
        Wanted {
            form: self.form,
            fingerprint: self.fingerprint,
            signature: self.text.clone(),
            exact,
        }
    }

    /// The record in which the plugin tells the broker what kind of version it makes.
    pub(crate) fn making(&self, schema: SchemaSource, (persistent, huge): (bool, bool)) -> Making {
        Making {
            form: self.form,
            schema,
            signature: self.text.clone(),
            json: true,
            persistent,
            huge,
        }
    }

    pub(crate) fn as_type(&self) -> Type {
        Type {
            form: self.form,
            fingerprint: self.fingerprint,
        }
    }
}
