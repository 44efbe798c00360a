//! Giving calls up from another thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use callgate_layout::sys::futex::{self, Awaited};

const WAITING: u32 = 0;
const CANCELLED: u32 = 1;

/// Cancels waiting calls from another thread.
///
/// A call made through [`Subscriber::with_cancel`](crate::Subscriber::with_cancel) ends with `CANCELLED` as soon as
/// its token is cancelled, or at once if it was before. Its handler is not stopped, but can see that nobody waits
/// any more ([`Context::is_cancelled`](crate::Context::is_cancelled)). Calls that the handler makes do not end
/// either: they have tokens of their own, and their handlers see nothing of this one.
///
/// ```no_run
/// use callgate_client::{CancelToken, Code, Plugin};
///
/// # fn main() -> callgate_client::Result<()> {
/// let plugin = Plugin::connect("Editor")?;
/// let render = plugin.subscriber::<(u32,), u64>("Renderer.Render")?;
/// let token = CancelToken::new();
/// let stop = token.clone();
/// std::thread::spawn(move || stop.cancel());
/// let outcome = render.with_cancel(&token).invoke((7,));
/// assert!(outcome.is_ok_and(|_| true) || token.is_cancelled());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct CancelToken {
    state: Arc<AtomicU32>,
}

impl CancelToken {
    /// Makes a token that is not cancelled.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Cancels all calls that wait with this token, and all later ones, for good.
    pub fn cancel(&self) {
        self.state.store(CANCELLED, Ordering::Release);
        futex::wake_private(&self.state);
    }

    /// Whether it was cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.state.load(Ordering::Acquire) == CANCELLED
    }

    /// The state as a word to sleep on while the token is not cancelled.
    pub(crate) fn word(&self) -> Awaited<'_> {
        Awaited::private(&self.state, WAITING)
    }
}
