//! A simulator: thousands of nodes in one thread, from one seed, twice with the same trace.
//!
//! - `world`: nodes, lanes and what happens next (`happening`); drives protocols as the contract promises
//! - `misfortune`: crashes, pauses, slowness, skewed clocks, cuts
//! - `network`: latency, loss, duplication, reorder, cuts
//! - `lanes`, `dialing`: what a dial, bandwidth and queues cost, where that is asked for
//! - `subject`: what the simulator wants to see of a protocol, and who watches
//! - `workload`: joining, failing, broadcasting, with `deliveries` watching
//! - `plan`: the experiment of the papers, with its `report`
//! - `carrier`: the overlays by name, for experiments that run on any of them
//! - `membership`: clusters with membership, what it costs and how often it errs
//! - `pub_sub`: topics, and whether publications reach their subscribers and nobody else
//! - `switching`: one overlay in place of another while broadcasts flow
//! - `client_server`: whether payloads are relayed, and clients find another server
//! - `causal`: whether the causal layers keep the order, and tell what they lose
//! - `atomic`: atomic broadcasts while members crash and start again
//! - `anti_entropy`: how long until all states are alike, what it costs, and partitions
//! - `faults`: everything goes wrong, and `checks` that nothing breaks
//! - `cpu`: what an input costs the protocols of a node
//! - `table`: one overlay under one loss and one latency, for the table of all
//! - `graph`: the overlay as a graph, and its figures
//!
//! Nothing in the protocols depends on anything here.

pub mod anti_entropy;
pub mod atomic;
pub mod carrier;
pub mod causal;
mod checks;
pub mod client_server;
pub mod cpu;
mod deliveries;
mod dialing;
pub mod faults;
mod graph;
mod happening;
mod inspect;
mod lanes;
pub mod membership;
mod misfortune;
mod network;
mod node;
mod plan;
pub mod pub_sub;
mod queue;
mod report;
mod subject;
pub mod switching;
pub mod table;
mod trace;
mod workload;
mod world;
#[cfg(test)]
mod zones;

pub use deliveries::{Deliveries, Round};
pub use graph::{Graph, Shape};
pub use lanes::LaneConfig;
pub use network::{Death, Latency, NetworkConfig};
pub use plan::{Outcome, Plan, Spreading};
pub use report::Report;
pub use subject::{Inspect, Observer, Subject};
pub use workload::{Moments, Progress, Run, Senders};
pub use world::{Make, Totals, World};

/// Identity of a simulated node: its index.
pub type NodeId = u32;
