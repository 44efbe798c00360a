//! The codes that every error of the bus bears, on the wire and in programs.

use core::fmt;

/// Who has to change something so that an error does not happen again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The side that reports the error: the caller of a gate, the sender of a request.
    Caller,
    /// The other side: the provider of a gate, or the peer that broke the protocol.
    Peer,
    /// Nobody: a race, a death, a limit that was reached.
    Nobody,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $blame:ident;)*) => {
        /// What went wrong, as a word that programs branch on.
        ///
        /// The number stands on the wire, the text ([`Code::as_str`]) in messages and JSON.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $name = $number,)*
        }

        impl Code {
            /// Every code, in the order of its number.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The code's name, as people and programs read it: `NOT_READY`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// Whose fault an error with this code is, as a rule.
            pub const fn blame(self) -> Blame {
                match self { $(Code::$name => Blame::$blame,)* }
            }

            /// The code with this number; `None` where a peer made the number up.
            pub const fn from_u16(number: u16) -> Option<Code> {
                match number { $($number => Some(Code::$name),)* _ => None }
            }
        }
    };
}

codes! {
    /// Nobody provides the gate now; there is no such share, or no value in the cell yet.
    NotReady = 1, "NOT_READY", Nobody;
    /// The types of arguments or result differ between the two sides.
    TypeMismatch = 2, "TYPE_MISMATCH", Caller;
    /// The number of parameters differs between the two sides.
    LengthMismatch = 3, "LENGTH_MISMATCH", Caller;
    /// The handler ran and failed.
    HandlerError = 4, "HANDLER_ERROR", Peer;
    /// The handler panicked; its plugin lives on.
    HandlerPanicked = 5, "HANDLER_PANICKED", Peer;
    /// The provider died or withdrew while the call was under way.
    ProviderGone = 6, "PROVIDER_GONE", Peer;
    /// The deadline passed before the answer came. Where the call may have run, its handler may still run: it
    /// is not stopped, and sees that nobody waits.
    Timeout = 7, "TIMEOUT", Nobody;
    /// The policy does not grant the right that the request needs.
    PermissionDenied = 8, "PERMISSION_DENIED", Caller;
    /// The arguments exceed what the link carries; nothing was sent.
    RequestTooLarge = 9, "REQUEST_TOO_LARGE", Caller;
    /// The result exceeds what the link carries; the handler did run.
    ResponseTooLarge = 10, "RESPONSE_TOO_LARGE", Peer;
    /// No pending call, payload room or quota was left before the deadline.
    Overloaded = 11, "OVERLOADED", Nobody;
    /// Another plugin owns the gate.
    AlreadyProvided = 12, "ALREADY_PROVIDED", Caller;
    /// Another connected plugin has this name.
    NameTaken = 13, "NAME_TAKEN", Caller;
    /// The operation needs a broker, and none answers.
    BrokerGone = 14, "BROKER_GONE", Nobody;
    /// The other side wrote what no correct peer writes.
    Protocol = 15, "PROTOCOL", Peer;
    /// The two sides speak different versions of the protocol.
    VersionMismatch = 16, "VERSION_MISMATCH", Nobody;
    /// A name, path or setting is not acceptable.
    InvalidArgument = 17, "INVALID_ARGUMENT", Caller;
    /// The handle was made by the parent of this forked process, or its plugin has closed.
    Closed = 18, "CLOSED", Caller;
    /// The operating system refused something that the bus needs.
    System = 19, "SYSTEM", Nobody;
    /// A chain of calls, each made while handling the one before, is too long.
    CallDepthExceeded = 20, "CALL_DEPTH_EXCEEDED", Caller;
    /// The caller gave the call up.
    Cancelled = 21, "CANCELLED", Caller;
    /// Calls wait for each other in a circle, and this one was given up so that the others go on.
    Deadlock = 22, "DEADLOCK", Nobody;
    /// Null came for a parameter, a field or a result that takes none.
    ValueNull = 23, "VALUE_NULL", Caller;
    /// A share or cell has another type than the reader wants, and no plugin offers to convert it, or the reader asked
    /// for no conversion.
    ShareTypeMismatch = 24, "SHARE_TYPE_MISMATCH", Caller;
    /// A cell was written so often that no whole value could be copied.
    Busy = 25, "BUSY", Nobody;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_code() {
        for code in Code::ALL {
            assert_eq!(Code::from_u16(*code as u16), Some(*code));
        }
        assert_eq!(Code::from_u16(0), None);
        assert_eq!(Code::from_u16(u16::MAX), None);
    }
}
