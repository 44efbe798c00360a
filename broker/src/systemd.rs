//! For programs that are services of systemd, or of another manager that speaks its protocol: takes what the manager has left to them in
//! the environment.
//!
//! `callgate serve` uses it. A program that starts a broker of its own can do the same:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use callgate::{Broker, systemd};
//! // First of all, while there is one thread: only then the variables are removed.
//! let service = systemd::take()?;
//! let mut builder = Broker::builder();
//! if let Some(listener) = service.listener {
//!     builder = builder.listener(listener);
//! }
//! let broker = builder.start()?;
//! # Ok(())
//! # }
//! ```

pub use callgate_layout::sys::service::{Service, take};
