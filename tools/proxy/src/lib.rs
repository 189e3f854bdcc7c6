//! A TCP proxy that does what networks do: delay, throttle, stall, cut, corrupt, keep one end half open.
//!
//! For tests and measurements: the engine's tests, `overlane-bench` and `overlane proxy` use this one. It runs
//! where no root is needed and no kernel module is there, on plain sockets and threads, clarity first. It knows
//! nothing of what passes through it.
//!
//! - proxy.rs: [`Proxy`], which accepts, dials on, and is told what to do
//! - connection.rs: one connection: two sockets, two directions
//! - pipe.rs: one direction of one connection: a thread that reads, a thread that writes
//! - shared.rs: what is to be done to the bytes, and what was counted
//! - line.rs: the bytes on their way between the two, bounded
//! - link.rs, corruption.rs, plan.rs: throttle, damage, and when to cut and stall; without I/O, from a seed
//! - rate.rs: rates as people write them
//!
//! What it is not: a model of packets. TCP ends at the proxy, so loss is not repaired end to end, a sender's
//! window sees the proxy and not the far end, and connections share a throttled link in turn, a piece each.

#![forbid(unsafe_code)]

mod connection;
mod corruption;
mod line;
mod link;
mod pipe;
mod plan;
mod proxy;
mod rate;
mod shared;

pub use connection::Direction;
pub use plan::{Act, Plan};
pub use proxy::Proxy;
pub use rate::{BadRate, Rate};
pub use shared::Counts;
