//! How a node finds others: strategies, each of which yields places where nodes may be.
//!
//! A [`Strategy`] looks once, on a thread that may wait, and says what it found. When it looks, what became of
//! that and how failures are spaced out is decided by [`plan`], a state machine without I/O; [`task`] runs the two on a
//! thread of their own. Who is at a place, and whether that node is let in, is none of this crate's business: it
//! knows no handshake and no cluster.
//!
//! What it must never do: say that a node is gone. A place that is found no more is not asked again; a node that is a
//! member stays one.

pub mod dns;
pub mod found;
pub mod hosts_file;
#[cfg(any(feature = "kubernetes", feature = "rancher"))]
mod http;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
pub mod multicast;
pub mod plan;
#[cfg(feature = "rancher")]
pub mod rancher;
pub mod resolver;
pub mod secret;
pub mod stop;
pub mod task;

pub use found::{Again, Failure, Found, PLACES_MAX, Place};
pub use plan::{Outcome, Pace, Plan};
pub use stop::Stop;
pub use task::{Report, Task};

/// One way of finding places.
pub trait Strategy: Send {
    /// Looks once. It may wait, but comes back within a few seconds of [`Stop::stop`].
    ///
    /// # Errors
    /// [`Failure`] says what went wrong and what would be right. What was found before stays.
    fn look(&mut self, stop: &Stop) -> Result<Found, Failure>;
}
