//! Overlane: a cluster networking engine for Linux servers.
//!
//! A program starts a [`Node`], gives mailboxes their receivers, and sends to mailboxes of other
//! nodes over named **channels**. Each channel has its own priority, reliability, queue and TCP
//! lanes, so that a 1 GB transfer on one never delays a 50-byte heartbeat on another.
//!
//! # Layout
//!
//! A message's way: [`Channel`] (`channel.rs`), `ring/`, `shard/dispatch.rs`, `shard/route.rs`,
//! `shard/lane.rs`, the network, `shard/receive.rs` with `io/` and [`wire`], `shard/deliver.rs`, and
//! a handler or an [`Inbox`]. What threads share is in `fabric.rs` and `peer.rs`; `control/` knows
//! which peers are wanted and tells what happens; [`config`] defines every parameter once.

mod admission;
mod channel;
mod channel_plan;
pub mod config;
mod control;
mod deadline;
pub mod delivery;
pub mod error;
pub mod events;
mod fabric;
mod inbox;
mod io;
mod mailboxes;
mod message;
pub mod metrics;
mod node;
mod peer;
mod receiving;
mod ring;
mod shard;
mod threads;
pub mod wire;

pub use channel::{Broadcast, Channel};
pub use config::{ChannelConfig, Config};
pub use error::{NameError, NotConnected, RecvError, SendError, StartError, Unsent, WaitError};
pub use events::{Event, Events};
pub use inbox::{Inbox, Received};
pub use io::backend::Backend;
pub use io::preflight;
pub use mailboxes::Mailbox;
pub use message::{Destination, IntoPayload, Message, OwnedMessage, Payload};
pub use metrics::{ChannelMetrics, Metrics, ShardMetrics};
pub use node::{Node, NodeBuilder, PeerInfo, StopReport, UnfinishedCause, UnfinishedShard};
pub use peer::Peer;
pub use shard::context::{ShardContext, ShardHandle};
