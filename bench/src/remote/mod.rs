//! Two hosts: `overlane-bench serve` on one starts the far processes for a run with `--remote` on the other.
//!
//! One control connection for each run carries requests and replies, one JSON line each. What is measured
//! goes over connections of its own, between the processes themselves.
//!
//! - protocol.rs: the handshake, requests and replies; line.rs: lines of bounded length
//! - client.rs: the end of a run; site.rs: where its processes are
//! - server.rs: who may have a session; session.rs: what a session may do

pub(crate) mod client;
mod line;
pub(crate) mod protocol;
pub(crate) mod server;
mod session;
pub(crate) mod site;
