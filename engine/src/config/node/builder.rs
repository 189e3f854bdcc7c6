//! The builder of a configuration in code. Its setters come from the definitions in
//! `node.rs`.

use overlane_discovery::secret::Secrets;
use std::net::SocketAddr;

use super::super::channel::ChannelConfig;
use super::super::discovery::DiscoveryConfig;
use super::super::error::ConfigError;
use super::super::rule::Rule;
use super::{
    BroadcastConfig, ClientServerConfig, Config, FullMeshConfig, HyParViewConfig, MembershipConfig,
    PartitionsConfig, PlumtreeConfig, PskConfig, PubSubConfig, RecorderConfig, SummariesConfig,
    SwitchingConfig, TlsConfig, TopologyConfig, TraceConfig,
};

/// Builds a [`Config`]; [`build`](Self::build) checks it.
#[derive(Clone, Debug, Default)]
pub struct ConfigBuilder {
    config: Config,
}

impl Config {
    /// Starts from the default of every parameter.
    ///
    /// ```
    /// use overlane::config::{ChannelConfig, Config, Priority};
    ///
    /// let config = Config::builder()
    ///     .name("a")
    ///     .channel(ChannelConfig::new("data").priority(4).parallelism(2))
    ///     .channel(ChannelConfig::new("gossip").priority(Priority::LOW))
    ///     .peer("b", "127.0.0.1:7401".parse()?)
    ///     .build()?;
    /// assert_eq!(config.channels.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn builder() -> ConfigBuilder {
        ConfigBuilder::default()
    }
}

impl ConfigBuilder {
    /// What the setters change.
    pub(super) fn settings(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Name of this node, as [`node_name`](Self::node_name).
    #[must_use]
    pub fn name(self, name: impl Into<String>) -> Self {
        self.node_name(name)
    }

    /// Adds a channel.
    #[must_use]
    pub fn channel(mut self, channel: ChannelConfig) -> Self {
        self.config.channels.push(channel);
        self
    }

    /// Adds a routing rule, behind those there are.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.config.rules.push(rule);
        self
    }

    /// Adds a way to find other nodes.
    #[must_use]
    pub fn discover(mut self, discovery: DiscoveryConfig) -> Self {
        self.config.discovery.push(discovery);
        self
    }

    /// Parameters of the full mesh.
    #[must_use]
    pub fn full_mesh(mut self, full_mesh: FullMeshConfig) -> Self {
        self.config.full_mesh = full_mesh;
        self
    }

    /// Parameters of HyParView.
    #[must_use]
    pub fn hyparview(mut self, hyparview: HyParViewConfig) -> Self {
        self.config.hyparview = hyparview;
        self
    }

    /// Parameters of client-server.
    #[must_use]
    pub fn client_server(mut self, client_server: ClientServerConfig) -> Self {
        self.config.client_server = client_server;
        self
    }

    /// Parameters of publish-subscribe.
    #[must_use]
    pub fn pub_sub(mut self, pub_sub: PubSubConfig) -> Self {
        self.config.pub_sub = pub_sub;
        self
    }

    /// Parameters of broadcasts.
    #[must_use]
    pub fn plumtree(mut self, plumtree: PlumtreeConfig) -> Self {
        self.config.plumtree = plumtree;
        self
    }

    /// Parameters of the kinds of broadcast.
    #[must_use]
    pub fn broadcast(mut self, broadcast: BroadcastConfig) -> Self {
        self.config.broadcast = broadcast;
        self
    }

    /// Parameters of membership and failure detection.
    #[must_use]
    pub fn membership(mut self, membership: MembershipConfig) -> Self {
        self.config.membership = membership;
        self
    }

    /// Parameters of the detection of partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: PartitionsConfig) -> Self {
        self.config.partitions = partitions;
        self
    }

    /// Parameters of what members tell of what they count.
    #[must_use]
    pub fn summaries(mut self, summaries: SummariesConfig) -> Self {
        self.config.summaries = summaries;
        self
    }

    /// Parameters of switches of the overlay.
    #[must_use]
    pub fn switching(mut self, switching: SwitchingConfig) -> Self {
        self.config.switching = switching;
        self
    }

    /// Rules for switching the overlay.
    #[must_use]
    pub fn topology(mut self, topology: TopologyConfig) -> Self {
        self.config.topology = topology;
        self
    }

    /// Parameters of the flight recorder.
    #[must_use]
    pub fn recorder(mut self, recorder: RecorderConfig) -> Self {
        self.config.recorder = recorder;
        self
    }

    /// Parameters of traces.
    #[must_use]
    pub fn trace(mut self, trace: TraceConfig) -> Self {
        self.config.trace = trace;
        self
    }

    /// Certificates, with `security = "tls"`.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.config.tls = tls;
        self
    }

    /// The file of the secret, with `security = "psk"`.
    #[must_use]
    pub fn psk(mut self, psk: PskConfig) -> Self {
        self.config.psk = psk;
        self
    }

    /// The secrets themselves, with `security = "psk"`.
    #[must_use]
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.config.secrets = secrets;
        self
    }

    /// Adds a node to keep lanes to, or gives it another address.
    #[must_use]
    pub fn peer(mut self, name: impl Into<String>, address: SocketAddr) -> Self {
        self.config.peers.insert(name.into(), address);
        self
    }

    /// Fills in what the preset says, checks the configuration and hands it over.
    ///
    /// A parameter that was set to its default is taken for one that was not set.
    ///
    /// # Errors
    /// What [`Config::validate`] finds.
    pub fn build(mut self) -> Result<Config, ConfigError> {
        self.config.fill_in_defaults();
        self.config.validate()?;
        Ok(self.config)
    }
}
