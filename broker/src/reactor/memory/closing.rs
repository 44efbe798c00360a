//! Limits how much memory may wait to be closed by the helper thread; each piece takes a descriptor of the broker.

use callgate_layout::Code;
use callgate_layout::control::Failure;

/// So many may wait. Makers on several processors together can be faster than the one thread that frees what they have superseded, and the
/// broker's table of descriptors is shared by all plugins.
const MOST: usize = 128;

/// How many are waiting to be closed, or are being closed.
#[derive(Debug, Default)]
pub(in crate::reactor) struct Closing(usize);

impl Closing {
    pub(in crate::reactor) fn begin(&mut self) {
        self.0 += 1;
    }

    pub(in crate::reactor) fn end(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }

    /// Refuses memory for a further version while too many are waiting.
    pub(in crate::reactor) fn check(&self) -> Result<(), Failure> {
        if self.0 < MOST {
            return Ok(());
        }
        let message = format!(
            "the broker has still to free the memory of {} versions that were superseded or let go: publish large \
             shares less often",
            self.0
        );
        Err(Failure::new(Code::Overloaded, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many descriptors of superseded versions waited to be closed as memory allowed, so that no plugin could have connected any more.
    #[test]
    fn what_waits_to_be_closed_is_bounded() {
        let mut closing = Closing::default();
        (0..MOST).for_each(|_| closing.begin());
        let refused = closing.check().unwrap_err();
        assert_eq!(refused.code, Code::Overloaded as u16);
        closing.end();
        assert_eq!(closing.check(), Ok(()));
    }
}
