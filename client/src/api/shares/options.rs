//! How shares are asked for and made.

use std::time::Duration;

use crate::session::plugin_state::sharing::making::HowMade;

/// How long a thread waits for a share unless it is said otherwise.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// How long making a share may take unless it is said otherwise.
const WITHIN: Duration = Duration::from_secs(30);

/// How shares are asked for and made.
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
