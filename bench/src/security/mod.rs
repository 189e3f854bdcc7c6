//! What protection costs, and that it can be changed under load.
//!
//! - compare.rs: `plain`, `psk` and `tls` in turn, and QUIC beside them where that is built in
//! - quic.rs: one stream of `quinn`, with the feature of that name
//! - rotation.rs: five nodes whose secret or certificates change while messages flow
//! - storm.rs: hundreds of lanes that are cut at once and come back with full handshakes
//! - credentials.rs: certificates and secrets of a run, written anew at each step

mod compare;
mod credentials;
#[cfg(feature = "quinn")]
mod quic;
mod rotation;
mod storm;

pub(crate) use compare::{SessionsFlags, run as run_sessions};
pub(crate) use rotation::{RotationFlags, run as run_rotation};
pub(crate) use storm::{StormFlags, run as run_storm};

use std::net::SocketAddr;

use overlane::config::Config;
use overlane::{Node, Peer};

use crate::error::{BenchError, Outcome};

/// One node of several in this process.
fn start(common: &Config, name: &str, change: impl FnOnce(&mut Config)) -> Outcome<Node> {
    let mut config = Config {
        node_name: name.to_owned(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        shards: 1,
        pin: Some(false),
        // They share the cores: one that spins takes the time of those that have work.
        spin_us: 0,
        events_queue_max: 1 << 16,
        ..common.clone()
    };
    change(&mut config);
    Ok(Node::start(config)?)
}

/// Lanes of a node that are up, over all peers.
fn lanes_up(node: &Node) -> usize {
    let peers = node.peers();
    let up = peers.iter().map(|known| Peer::lanes_up(&known.peer));
    usize::try_from(up.sum::<u32>()).unwrap_or(usize::MAX)
}

/// What the engine says of a wish that it refuses.
fn engine(error: impl std::fmt::Display) -> BenchError {
    BenchError::Engine(error.to_string())
}
