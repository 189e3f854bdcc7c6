//! What is asked of a test cluster before it starts.

use std::time::Duration;

use super::asked::{Asked, Formation};
use super::cluster::TestCluster;
use super::error::TestError;
use crate::config::{ChannelConfig, ConfigBuilder};
use crate::node::NodeBuilder;

/// A test cluster that is about to start.
#[derive(Debug)]
pub struct TestClusterBuilder {
    asked: Asked,
}

/// How long a loaded machine may take for anything. A test comes near it only when it fails.
const PATIENCE: Duration = Duration::from_secs(60);

impl TestCluster {
    /// A cluster of so many nodes, named `n0`, `n1` and so on.
    #[must_use]
    pub fn builder(nodes: usize) -> TestClusterBuilder {
        let asked = Asked {
            nodes,
            channels: Vec::new(),
            formation: Formation::default(),
            patience: PATIENCE,
            configure: Box::new(|config, _| config),
            prepare: Box::new(|node, _| node),
        };
        TestClusterBuilder { asked }
    }
}

impl TestClusterBuilder {
    /// Adds a channel to all nodes.
    #[must_use]
    pub fn channel(mut self, channel: ChannelConfig) -> Self {
        self.asked.channels.push(channel);
        self
    }

    /// How they know one another: [`Formation::Connected`] if nothing is said.
    #[must_use]
    pub fn formation(mut self, formation: Formation) -> Self {
        self.asked.formation = formation;
        self
    }

    /// How long anything is waited for: 60 s if nothing is said.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.asked.patience = patience;
        self
    }

    /// Changes the configuration of each node, of which the number is given, before it starts and before it starts
    /// again. Its name, cluster and address are the test cluster's.
    #[must_use]
    pub fn configure(
        mut self,
        configure: impl Fn(ConfigBuilder, usize) -> ConfigBuilder + Send + Sync + 'static,
    ) -> Self {
        self.asked.configure = Box::new(configure);
        self
    }

    /// Gives each node mailboxes from its first moment on, also when it is started again.
    #[must_use]
    pub fn prepare(
        mut self,
        prepare: impl Fn(NodeBuilder, usize) -> NodeBuilder + Send + Sync + 'static,
    ) -> Self {
        self.asked.prepare = Box::new(prepare);
        self
    }

    /// Starts the nodes, and waits until they know one another as asked.
    ///
    /// # Errors
    /// [`TestError`]: a node does not start, or they do not find one another in time.
    pub fn start(self) -> Result<TestCluster, TestError> {
        TestCluster::start(self.asked)
    }
}
