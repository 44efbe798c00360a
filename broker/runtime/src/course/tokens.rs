//! The tokens of the loop's poll: which part of which life an event is about.

use mio::Token;

/// The token of the mailbox: another thread has woken the loop.
pub(super) const MAILBOX: Token = Token(usize::MAX);

/// The part of a life that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Process,
    Stdin,
    Stdout,
    Stderr,
}

const PARTS: [Part; 4] = [Part::Process, Part::Stdin, Part::Stdout, Part::Stderr];

/// The token for a part of a life. Numbers of lives are never reused, so an event of a life that is over matches no other one.
pub(super) fn token(life: u64, part: Part) -> Token {
    let part = PARTS.iter().position(|other| *other == part).unwrap_or(0);
    Token(life as usize * PARTS.len() + part)
}

pub(super) fn about(token: Token) -> Option<(u64, Part)> {
    let is_child = token != MAILBOX;
    is_child.then(|| ((token.0 / PARTS.len()) as u64, PARTS[token.0 % PARTS.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_leads_back() {
        for life in [0, 1, 77, u64::from(u32::MAX)] {
            for part in PARTS {
                assert_eq!(about(token(life, part)), Some((life, part)));
            }
        }
        assert_eq!(about(MAILBOX), None);
    }
}
