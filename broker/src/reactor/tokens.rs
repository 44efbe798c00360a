//! The tokens by which the poll says what has happened.

use mio::Token;

/// What kind of thing a token stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One of the broker's own: [`WAKER`], [`LISTENER`], [`WATCHES`] and [`DIRECTORY`].
    Own,
    /// A session's socket.
    Socket,
    /// The process behind a session.
    Process,
    /// A process that the broker started.
    Child,
}

/// Another thread has sent a command.
pub(crate) const WAKER: Token = Token(0);
/// A process connects to the socket.
pub(crate) const LISTENER: Token = Token(4);
/// The kernel reports the end of watched memory.
pub(crate) const WATCHES: Token = Token(8);

/// Something was removed from the directory of the socket.
pub(crate) const DIRECTORY: Token = Token(12);

/// Returns the token of a thing of this kind and number.
pub(crate) fn token(kind: Kind, id: u64) -> Token {
    // Numbers begin below 2^53 and count up, so they do not reach 2^62.
    Token((id << 2) as usize | kind as usize)
}

/// Returns the kind and the number that a token stands for.
pub(crate) fn parts(token: Token) -> (Kind, u64) {
    let kind = match token.0 & 3 {
        0 => Kind::Own,
        1 => Kind::Socket,
        2 => Kind::Process,
        _ => Kind::Child,
    };
    (kind, token.0 as u64 >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wrong token would end another session.
    #[test]
    fn tokens_lead_back() {
        for kind in [Kind::Own, Kind::Socket, Kind::Process, Kind::Child] {
            assert_eq!(parts(token(kind, 77)), (kind, 77));
        }
        assert_eq!(parts(WAKER), (Kind::Own, 0));
        assert_eq!(parts(LISTENER), (Kind::Own, 1));
        assert_eq!(parts(WATCHES), (Kind::Own, 2));
        assert_eq!(parts(DIRECTORY), (Kind::Own, 3));
    }
}
