//! What was asked of a test cluster: its nodes, channels, formation, and what is made of each node.

use std::fmt;
use std::time::Duration;

use crate::config::{ChannelConfig, ConfigBuilder, OverlayChoice};
use crate::node::NodeBuilder;

/// How the nodes of a test cluster know one another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Formation {
    /// Each keeps a connection to each ([`Node::connect`](crate::Node::connect)).
    #[default]
    Connected,
    /// Each is reached by each ([`Node::reach`](crate::Node::reach)): connections are made by messages.
    Reached,
    /// They are members of a cluster with that overlay, which the others join at the first that runs.
    Joined(OverlayChoice),
    /// Nobody knows anybody: the test connects them.
    Apart,
}

type Configure = dyn Fn(ConfigBuilder, usize) -> ConfigBuilder + Send + Sync;
type Prepare = dyn Fn(NodeBuilder, usize) -> NodeBuilder + Send + Sync;

/// See the module's text.
pub(super) struct Asked {
    pub(super) nodes: usize,
    pub(super) channels: Vec<ChannelConfig>,
    pub(super) formation: Formation,
    pub(super) patience: Duration,
    pub(super) configure: Box<Configure>,
    pub(super) prepare: Box<Prepare>,
}

impl fmt::Debug for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Asked")
            .field("nodes", &self.nodes)
            .field("channels", &self.channels)
            .field("formation", &self.formation)
            .finish_non_exhaustive()
    }
}
