//! Summaries: what each member counts, spread along the overlay, so that every node can show the whole cluster.
//!
//! A state machine without I/O, owned by the driver, which hands in the time, the neighbors and who is a member. `figures`
//! is what is `counted`, `summary` what one node says of itself, `latency` its histograms; `spread` decides who is told
//! what, in `messages`, and holds the newest of each member; `total` makes one of all. Nobody is a collector: a summary
//! is made by the node that it is of, passed on as it is, and added up by whoever looks.

mod counted;
mod figures;
mod latency;
mod messages;
mod spread;
mod summary;
#[cfg(test)]
mod tests;
mod total;

pub(super) use counted::Counted;
pub(crate) use figures::{CHANNEL_FIGURES, Figure, NODE_FIGURES};
#[cfg(test)]
pub(super) use messages::{Head, Version};
pub(super) use messages::{Heads, IDS_MAX, Part};
pub(super) use spread::{Round, Spread};
pub use summary::SUMMARY_BYTES_MAX;
pub(super) use summary::Summary;
pub(super) use total::Held;
pub use total::{ChannelTotal, ClusterMetrics, FigureTotal, SummaryAge, fuzz_summary};
