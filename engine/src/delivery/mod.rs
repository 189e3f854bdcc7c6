//! State machines without I/O: what was accepted, handed over, acknowledged, reported.
//!
//! One [`Outgoing`] and one [`Incoming`] for each lane, owned by its shard; one [`Backoff`] for
//! each lane that is dialled; one [`Liveness`] for each connection that carries a lane. They count
//! and decide, nothing more: no socket, no clock (`now` is an argument), no message bytes. One [`Resume`] for each lane of a channel that keeps messages
//! until they are acknowledged (`at_least_once`, `guaranteed`); the messages lie in the lane's log. The two ends of each open
//! stream: [`stream`]. One [`Window`] for each lane that is acknowledged. What caps let go when: [`rate`].
pub mod backoff;
pub mod incoming;
pub mod latency;
pub mod liveness;
pub mod log_ids;
pub mod outgoing;
mod payoff;
pub mod rate;
mod receipts;
mod refusals;
mod requests;
pub mod resume;
#[cfg(test)]
pub(crate) mod schedules;
pub mod stream;
pub mod window;

pub use backoff::{Backoff, BackoffLimits};
pub use incoming::{AckPolicy, Incoming};
pub use liveness::{Liveness, LivenessLimits, Verdict, Watch};
pub use log_ids::LogIds;
pub use outgoing::{AckError, Acknowledged, Outgoing, Report};
pub(crate) use payoff::Payoff;
pub(crate) use receipts::Receipts;
pub use refusals::{REFUSALS_MAX, Refusals};
pub(crate) use requests::Requests;
pub use resume::{BadProgress, Met, Resume};
pub use window::{Window, WindowLimits};
