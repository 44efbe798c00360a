//! Options with which shares are asked for and made.

use std::time::Duration;

use crate::session::plugin_state::sharing::making::HowMade;

/// How long a thread waits for a share, unless [`Shares::timeout`](super::Shares::timeout) is set.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How long making a share may take, unless [`Shares::make_within`](super::Shares::make_within) is set.
const WITHIN: Duration = Duration::from_secs(30);

/// Options with which shares are asked for and made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) timeout: Duration,
    pub(crate) exact: bool,
    pub(crate) how: HowMade,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            timeout: TIMEOUT,
            exact: false,
            how: HowMade {
                persistent: false,
                huge: false,
                within: WITHIN,
            },
        }
    }
}
