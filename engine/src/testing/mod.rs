//! Clusters in one process, for tests of programs that use Overlane. Behind the feature `testing`.
//!
//! A [`TestCluster`] starts nodes on loopback, each with one shard and a free port, connects them as asked, and takes
//! them down again. Between two nodes is a [`Link`], which can be delayed, stalled, cut and severed, whichever of the
//! two has dialled. A node can be killed, without a goodbye, and started again under its name and at its address.
//! [`TestCluster::finish`] checks that every message is accounted for.
//!
//! ```
//! use std::time::Duration;
//!
//! use overlane::ChannelConfig;
//! use overlane::config::Reliability;
//! use overlane::testing::TestCluster;
//!
//! let letters = ChannelConfig::new("letters").reliability(Reliability::Guaranteed);
//! let mut cluster = TestCluster::builder(3)
//!     .channel(letters)
//!     // On each node from its first moment on, also when it is started again.
//!     .prepare(|node, _| node.handle("in", |_, message| drop(message.payload().to_vec())))
//!     .start()?;
//!
//! let channel = cluster.node(0).channel("letters")?;
//! let to = cluster.node(0).destination("n1", "in")?;
//! channel.try_send(&to, "at once")?;
//!
//! // What is sent while there is no way waits, and comes once there is one.
//! cluster.link(0, 1).sever();
//! channel.try_send(&to, "later")?;
//! cluster.link(0, 1).mend();
//!
//! // It comes back as another process of that name.
//! cluster.kill(2);
//! cluster.start_again(2)?;
//! cluster.wait_formed()?;
//!
//! // Every message has ended as it should, and every node stops as it should.
//! let metrics = cluster.finish()?;
//! assert_eq!(metrics[0].channel("n1", "letters").unwrap().acknowledged, 2);
//! # Ok::<(), overlane::testing::TestError>(())
//! ```
//!
//! - `cluster.rs`: the nodes, how they are connected, killed and started again
//! - `builder.rs`, `asked.rs`: what is asked of a cluster before it starts
//! - `links.rs`: the proxies between each two of them
//! - `accounting.rs`: that every message is accounted for, also for nodes that a test starts itself

mod accounting;
mod asked;
mod builder;
mod cluster;
mod error;
mod links;

pub use accounting::{check_accounting, drained};
pub use asked::Formation;
pub use builder::TestClusterBuilder;
pub use cluster::TestCluster;
pub use error::TestError;
pub use links::Link;
