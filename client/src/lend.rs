//! Which tokens a thread has, and lending them to the rest of its chain while it waits.
//!
//! What comes back in a chain may run beside a handler of the same plugin only while that one
//! waits. It does not always: who gave a call up goes on while what it called may come back yet.

use std::cell::Cell;

use callgate_layout::envelope::MAX_DEPTH;
use callgate_layout::turns::Lent;

use crate::chain;
use crate::token::Token;

thread_local! {
    /// The token of each handler on this thread's stack. What stands above the last one, or was
    /// put here by a turn that is over, is not this thread's any more, and its token knows that.
    static HELD: [Cell<Option<&'static Token>>; MAX_DEPTH as usize] =
        const { [const { Cell::new(None) }; MAX_DEPTH as usize] };
}

/// Notes the token that the handler needs which this thread runs next.
#[inline]
pub(crate) fn hold(token: &'static Token) {
    HELD.with(|held| {
        if let Some(cell) = held.get(chain::nesting()) {
            cell.set(Some(token));
        }
    });
}

/// Lends the tokens that this thread has until this is dropped, which waits until all are back.
#[derive(Default)]
pub(crate) struct Lending {
    /// Most chains have one here.
    first: Option<(&'static Token, Lent)>,
    more: Vec<(&'static Token, Lent)>,
}

/// Lends what this thread has, because it is about to wait inside its chain.
pub(crate) fn lend() -> Lending {
    let mut lending = Lending::default();
    let Some(chain) = chain::current() else {
        return lending;
    };
    HELD.with(|held| {
        let held = held.iter().take(chain::nesting()).filter_map(Cell::get);
        for token in held {
            // At most once: it is not this thread's after that.
            let Some(lent) = token.begin_lending(chain.id) else {
                continue;
            };
            match lending.first {
                None => lending.first = Some((token, lent)),
                Some(_) => lending.more.push((token, lent)),
            }
        }
    });
    lending
}

impl Lending {
    fn all(&self) -> impl Iterator<Item = (&'static Token, Lent)> {
        self.first.into_iter().chain(self.more.iter().copied())
    }

    /// Takes all of them back, or none; one that is not back yet.
    fn take_back(&self) -> Option<(&'static Token, Lent)> {
        let is_out = |&(token, lent): &(&'static Token, Lent)| !token.end_lending(lent);
        let (at, missing) = self.all().enumerate().find(|(_, one)| is_out(one))?;
        // Whoever has it may need the others.
        for (token, lent) in self.all().take(at) {
            token.lend(lent);
        }
        Some(missing)
    }
}

impl Drop for Lending {
    #[inline]
    fn drop(&mut self) {
        while let Some((token, lent)) = self.take_back() {
            token.await_return(lent);
        }
    }
}
