//! The checks of a whole configuration: each value by itself, then what values must agree on.
//!
//! Called by the builder, by loading and by every start. Looks at the configuration only: whether
//! the machine can carry it (cores, descriptors, ports) is asked by `preflight`.

use std::path::Path;

use overlane_overlays::client_server::SERVERS_MAX;
use overlane_overlays::membership::ADDRESSES_MAX;

use super::admin::ADMIN_PATH_BYTES_MAX;
use super::channel::{CHANNEL_PARAMETERS, ChannelConfig};
use super::channel_name::check_channel_name;
use super::choices::{
    ChannelSecurity, NodeRole, Ordering, Overflow, OverlayChoice, Reach, Reliability, SecurityMode,
};
use super::discovery::{DISCOVERIES_MAX, DiscoveryConfig};
use super::error::{ConfigError, Given, Place};
use super::node::{Config, NODE_PARAMETERS, TlsConfig};
use super::parameter::Parameter;
use super::rule::{RULES_MAX, Rule};

/// Most seeds of a node: a guess, more than anybody needs, as one that answers is enough.
const SEEDS_MAX: usize = 64;

/// Most channels of a node, the engine's own not counted.
pub const CHANNELS_MAX: usize = 64;

impl Config {
    /// Checks each value, and what the values must agree on.
    ///
    /// # Errors
    /// The first finding, with the parameter, its value and what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        values(NODE_PARAMETERS, self, "")?;
        for channel in &self.channels {
            channel.validate()?;
        }
        self.channel_names()?;
        for channel in &self.channels {
            self.check_session_of(channel)?;
        }
        let known: Vec<_> = self.channels.iter().map(|channel| &*channel.name).collect();
        for channel in &self.channels {
            channel.check_hints(&known)?;
        }
        check_rules(&self.rules, &known)?;
        self.core_list()?;
        self.quanta()?;
        self.reconnecting()?;
        self.connections()?;
        self.showing()?;
        self.joining()?;
        self.protection()?;
        self.discoveries()?;
        self.protocols()
    }

    /// Lanes to each peer: one per channel and degree of parallelism, and the engine's own.
    #[must_use]
    pub fn lanes_per_peer(&self) -> usize {
        1 + self
            .channels
            .iter()
            .map(|channel| usize::from(channel.parallelism))
            .sum::<usize>()
    }

    fn channel_names(&self) -> Result<(), ConfigError> {
        let mut names: Vec<&str> = self.channels.iter().map(|channel| &*channel.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return conflict(
                [derived("channel", pair[0])],
                "give each channel another name",
            );
        }
        if names.len() > CHANNELS_MAX {
            let right = format!("a node has at most {CHANNELS_MAX} channels");
            return conflict([derived("channels", &names.len().to_string())], &right);
        }
        Ok(())
    }

    fn discoveries(&self) -> Result<(), ConfigError> {
        let mut names: Vec<&str> = self.discovery.iter().map(|known| &*known.name).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return conflict(
                [derived("discovery", pair[0])],
                "give each discovery another name",
            );
        }
        if names.len() > DISCOVERIES_MAX {
            let right = format!("a node has at most {DISCOVERIES_MAX} discoveries");
            return conflict([derived("discovery", &names.len().to_string())], &right);
        }
        if let Some(name) = names.first()
            && self.overlay == OverlayChoice::None
        {
            return conflict(
                [self.given("overlay"), derived("discovery", name)],
                "choose an overlay, such as hyparview; without one the node joins nobody",
            );
        }
        self.discovery.iter().try_for_each(DiscoveryConfig::check)
    }

    fn core_list(&self) -> Result<(), ConfigError> {
        let mut cores = self.cores.clone();
        cores.sort_unstable();
        if let Some(pair) = cores.windows(2).find(|pair| pair[0] == pair[1]) {
            let right = format!("name core {} once", pair[0]);
            return conflict([self.given("cores")], &right);
        }
        if !cores.is_empty() && self.shards > cores.len() {
            return conflict(
                [self.given("shards"), self.given("cores")],
                "name at least as many cores as shards, or none",
            );
        }
        Ok(())
    }

    fn quanta(&self) -> Result<(), ConfigError> {
        if self.receive_quantum_bytes < self.receive_buffer_bytes {
            return conflict(
                [
                    self.given("receive_quantum_bytes"),
                    self.given("receive_buffer_bytes"),
                ],
                "the quantum must be at least one receive buffer",
            );
        }
        if self.turn_bytes_max < self.send_quantum_bytes {
            return conflict(
                [
                    self.given("turn_bytes_max"),
                    self.given("send_quantum_bytes"),
                ],
                "a turn must have room for the quantum of one lane",
            );
        }
        Ok(())
    }

    fn reconnecting(&self) -> Result<(), ConfigError> {
        if self.reconnect_max_ms < self.reconnect_base_ms {
            return conflict(
                [
                    self.given("reconnect_base_ms"),
                    self.given("reconnect_max_ms"),
                ],
                "the first wait must not exceed the longest",
            );
        }
        Ok(())
    }

    fn connections(&self) -> Result<(), ConfigError> {
        if self.peers.contains_key(&self.node_name) {
            return conflict(
                [self.given("node_name"), self.given("peers")],
                "a node is not its own peer: remove it from peers or name the node otherwise",
            );
        }
        if self.peers.len() > self.peers_max {
            return conflict(
                [
                    self.given("peers_max"),
                    derived("number of peers", &self.peers.len().to_string()),
                ],
                "allow as many peers as are configured",
            );
        }
        if self.pending_handshakes_max > self.connections_max {
            return conflict(
                [
                    self.given("pending_handshakes_max"),
                    self.given("connections_max"),
                ],
                "unfinished handshakes are connections too, so allow no more of them",
            );
        }
        // One of each peer is there always; others come and go with what is sent.
        let lanes = self.peers.len() + self.lanes_per_peer() - 1;
        if lanes > self.connections_max {
            return conflict(
                [
                    self.given("connections_max"),
                    derived("lanes", &lanes.to_string()),
                ],
                "allow a connection for each configured peer, and the lanes of all channels to one of them, \
                 or give channels less parallelism",
            );
        }
        Ok(())
    }

    /// A channel that has to be protected is. Asked for channels that are added, too.
    ///
    /// # Errors
    /// It cannot be on this node.
    pub(crate) fn check_session_of(&self, channel: &ChannelConfig) -> Result<(), ConfigError> {
        let is_required = channel.security == ChannelSecurity::Required;
        if is_required && self.security == SecurityMode::Plain {
            let path = prefix(channel);
            return conflict(
                [
                    given_from(CHANNEL_PARAMETERS, channel, &path, "security"),
                    self.given("security"),
                ],
                "set the node's security to tls or psk, or the channel's to as_node",
            );
        }
        Ok(())
    }

    /// Who sees a node over HTTP is of this host, or has a token.
    fn showing(&self) -> Result<(), ConfigError> {
        let address = self.http.address();
        let is_of_host = address.is_none_or(|it| it.ip().to_canonical().is_loopback());
        if !is_of_host && self.http_token_file.path().is_none() {
            return conflict(
                [self.given("http"), self.given("http_token_file")],
                "beyond loopback name a file with a token, which scrapers then give, or take 127.0.0.1",
            );
        }
        self.traces()?;
        self.admin_sockets()
    }

    /// Certificates are for a receiver that has one.
    fn traces(&self) -> Result<(), ConfigError> {
        let is_secure = self.trace.endpoint.is_secure();
        if is_file(&self.trace.ca_file) && !is_secure {
            return conflict(
                [self.given("trace_endpoint"), self.given("trace_ca_file")],
                "name a receiver with https://, or no certificates",
            );
        }
        let has_receiver = self.trace.endpoint.url().is_some();
        if is_file(&self.trace.headers_file)
            && (!has_receiver || self.trace.endpoint.is_in_the_clear())
        {
            return conflict(
                [
                    self.given("trace_endpoint"),
                    self.given("trace_headers_file"),
                ],
                "name a receiver with https://, or one on this host: a token is for nobody else to read",
            );
        }
        Ok(())
    }

    /// Each role has its own.
    fn admin_sockets(&self) -> Result<(), ConfigError> {
        let read = &self.admin_read;
        if read.as_os_str().len() > ADMIN_PATH_BYTES_MAX {
            let right = format!("an address holds a path of {ADMIN_PATH_BYTES_MAX} bytes at most");
            return conflict([self.given("admin_read")], &right);
        }
        if self.admin.path() == Some(read) {
            return conflict(
                [self.given("admin"), self.given("admin_read")],
                "give each a path of its own: who may open a socket goes by its file",
            );
        }
        Ok(())
    }

    /// What protects lanes, and what it needs.
    fn protection(&self) -> Result<(), ConfigError> {
        let is_loopback = self.listen.ip().to_canonical().is_loopback();
        let is_plain = self.security == SecurityMode::Plain;
        if is_plain && is_file(&self.revoked) {
            return conflict(
                [self.given("security"), self.given("revoked")],
                "set security to tls or psk: without a session nobody can be told from the revoked",
            );
        }
        match self.security {
            SecurityMode::Plain if is_loopback || self.insecure => Ok(()),
            SecurityMode::Plain => conflict(
                [
                    self.given("listen"),
                    self.given("security"),
                    self.given("insecure"),
                ],
                "set security to tls or psk, which protect lanes beyond loopback (docs/security.md), or insecure to true \
                 where every host that reaches the address may send",
            ),
            SecurityMode::Tls => {
                let TlsConfig {
                    certificate,
                    key,
                    authorities,
                    ..
                } = &self.tls;
                if [certificate, key, authorities]
                    .iter()
                    .all(|file| is_file(file))
                {
                    return Ok(());
                }
                conflict(
                    [
                        self.given("security"),
                        self.given("tls_certificate"),
                        self.given("tls_key"),
                        self.given("tls_authorities"),
                    ],
                    "name all three files; `overlane cert init` and `overlane cert issue` make them",
                )
            }
            SecurityMode::Psk if is_file(&self.psk.secret_file) == self.secrets.is_empty() => {
                Ok(())
            }
            SecurityMode::Psk => conflict(
                [self.given("security"), self.given("psk_secret_file")],
                "give a secret of at least 16 bytes in the file that psk_secret_file names, or in OVERLANE_PSK_SECRET, \
                 and not in both",
            ),
        }
    }

    /// What a node needs to be in a cluster.
    fn joining(&self) -> Result<(), ConfigError> {
        let is_alone = self.overlay == OverlayChoice::None;
        let without_overlay =
            "choose an overlay, such as hyparview; without one the node joins nobody";
        if is_alone && !self.seeds.is_empty() {
            return conflict(
                [self.given("overlay"), self.given("seeds")],
                without_overlay,
            );
        }
        if self.seeds.len() > SEEDS_MAX {
            let right = format!("name at most {SEEDS_MAX} seeds: one that answers is enough");
            return conflict([derived("seeds", &self.seeds.len().to_string())], &right);
        }
        if self.advertise.len() > ADDRESSES_MAX {
            let right = format!("a node has at most {ADDRESSES_MAX} addresses");
            return conflict([self.given("advertise")], &right);
        }
        let has_servers = !self.servers.is_empty();
        if has_servers != (self.overlay == OverlayChoice::ClientServer) {
            return conflict(
                [self.given("overlay"), self.given("servers")],
                "name servers with overlay = client_server, and with no other",
            );
        }
        if self.role == NodeRole::Client && self.servers.contains(&self.node_name) {
            return conflict(
                [self.given("servers"), self.given("role")],
                "a node that is named among the servers is one: take it out, or leave role at auto",
            );
        }
        if self.servers.len() > SERVERS_MAX {
            let right = format!("name at most {SERVERS_MAX} servers");
            return conflict(
                [derived("servers", &self.servers.len().to_string())],
                &right,
            );
        }
        let is_anywhere = self.listen.ip().to_canonical().is_unspecified();
        if !is_alone && is_anywhere && self.advertise.is_empty() {
            return conflict(
                [self.given("listen"), self.given("advertise")],
                "say in advertise at which address others find this node: it listens on all of them",
            );
        }
        Ok(())
    }

    /// A parameter as it is given.
    pub(super) fn given(&self, name: &'static str) -> Given {
        given_from(NODE_PARAMETERS, self, "", name)
    }
}

impl ChannelConfig {
    /// Checks the name, each value, and what the values must agree on. A node does so when it starts, and when
    /// the channel is added or retuned.
    ///
    /// # Errors
    /// The first finding, with the parameter, its value and what would be right.
    pub fn validate(&self) -> Result<(), ConfigError> {
        name(&self.name)?;
        values(CHANNEL_PARAMETERS, self, &prefix(self))?;
        self.keeping()?;
        self.causing()?;
        self.relaying()?;
        self.streaming()?;
        self.watermarks()
    }

    /// What its hints may move a message to are channels.
    ///
    /// # Errors
    /// As [`validate`](Self::validate).
    pub(crate) fn check_hints(&self, known: &[&str]) -> Result<(), ConfigError> {
        for name in &self.hints {
            channel_there(format!("{}hints", prefix(self)), name, known)?;
        }
        Ok(())
    }

    /// A channel that keeps its messages throws none away.
    fn keeping(&self) -> Result<(), ConfigError> {
        let drops = matches!(self.overflow, Overflow::DropOldest | Overflow::DropNewest);
        if self.reliability.keeps_messages() && drops {
            let given = |name| given_from(CHANNEL_PARAMETERS, self, &prefix(self), name);
            return conflict(
                [given("reliability"), given("overflow")],
                "what is kept until it is acknowledged cannot be dropped: reject or block",
            );
        }
        Ok(())
    }

    /// What follows a message waits for it, so a causal channel has to bring it or to know that it will not come; and
    /// the order is that of one lane to each peer.
    fn causing(&self) -> Result<(), ConfigError> {
        if self.ordering != Ordering::Causal {
            return Ok(());
        }
        let given = |name| given_from(CHANNEL_PARAMETERS, self, &prefix(self), name);
        if !self.reliability.keeps_messages() {
            let right = match self.reliability {
                Reliability::BestEffort => {
                    "nobody learns of a message that best effort drops, so what follows it would wait in vain: take \
                     at_least_once or guaranteed"
                }
                _ => {
                    "a message that is lost with its connection would be waited for by what follows it: take \
                     at_least_once or guaranteed"
                }
            };
            return conflict([given("ordering"), given("reliability")], right);
        }
        if self.parallelism > 1 {
            return conflict(
                [given("ordering"), given("parallelism")],
                "a causal channel has one order to each peer, which is that of one lane: take parallelism 1",
            );
        }
        Ok(())
    }

    /// What goes over others has no order with what goes on a lane.
    fn relaying(&self) -> Result<(), ConfigError> {
        let is_ordered = matches!(self.ordering, Ordering::Causal | Ordering::Monotonic);
        if self.reach == Reach::Relay && is_ordered {
            let given = |name| given_from(CHANNEL_PARAMETERS, self, &prefix(self), name);
            return conflict(
                [given("reach"), given("ordering")],
                "a message that is passed on over others carries neither causes nor a key: take reach = dial, or fifo or \
                 unordered",
            );
        }
        Ok(())
    }

    /// What goes as a stream comes whole, and when it is: others pass it.
    fn streaming(&self) -> Result<(), ConfigError> {
        if self.large_bytes_max == 0 {
            return Ok(());
        }
        let given = |name| given_from(CHANNEL_PARAMETERS, self, &prefix(self), name);
        let large = given("large_bytes_max");
        if self.ordering != Ordering::Unordered {
            return conflict(
                [large, given("ordering")],
                "a message that goes as a stream has no order with others: take unordered, or 0",
            );
        }
        let drops = matches!(self.overflow, Overflow::DropOldest | Overflow::DropNewest);
        if drops || self.reliability == Reliability::BestEffort {
            return conflict(
                [large, given("reliability"), given("overflow")],
                "a message that goes as a stream comes whole, so nothing may be dropped: take reliable, at_least_once or \
                 guaranteed, and reject or block, or 0",
            );
        }
        if self.large_bytes_max <= self.message_bytes_max {
            return conflict(
                [large, given("message_bytes_max")],
                "only messages above message_bytes_max go as streams: allow larger ones, or 0",
            );
        }
        Ok(())
    }

    fn watermarks(&self) -> Result<(), ConfigError> {
        if self.low_watermark_percent >= self.high_watermark_percent {
            let given = |name| given_from(CHANNEL_PARAMETERS, self, &prefix(self), name);
            return conflict(
                [
                    given("low_watermark_percent"),
                    given("high_watermark_percent"),
                ],
                "the low watermark must be below the high one",
            );
        }
        Ok(())
    }
}

/// Checks routing rules for a node that has the channels `known`.
///
/// # Errors
/// As [`Config::validate`].
pub(crate) fn check_rules(rules: &[Rule], known: &[&str]) -> Result<(), ConfigError> {
    if rules.len() > RULES_MAX {
        let right = format!("a node has at most {RULES_MAX} rules");
        return conflict([derived("rules", &rules.len().to_string())], &right);
    }
    for (index, rule) in rules.iter().enumerate() {
        let path = rule_path(index);
        rule.check(&path)?;
        for (key, name) in rule.channels() {
            channel_there(format!("{path}.{key}"), name, known)?;
        }
    }
    Ok(())
}

/// A name that `key` gives is one of a channel.
fn channel_there(key: String, name: &str, known: &[&str]) -> Result<(), ConfigError> {
    if known.contains(&name) {
        return Ok(());
    }
    let given = Given {
        key,
        value: name.to_string(),
        place: Some(Place::Code),
    };
    let right = match known {
        [] => "there is no channel of that name, nor any other".to_string(),
        known => format!(
            "there is no channel of that name: take one of {}",
            known.join(", ")
        ),
    };
    conflict([given], &right)
}

/// What a rule is called in errors and places, counted from 1.
pub(super) fn rule_path(index: usize) -> String {
    format!("rule.{}", index + 1)
}

/// What stands before a channel's keys.
fn prefix(channel: &ChannelConfig) -> String {
    format!("channel.{}.", channel.name)
}

/// Every value must survive its own text: then it is one that a file could have given.
fn values<S: Clone + Default>(
    parameters: &[Parameter<S>],
    settings: &S,
    prefix: &str,
) -> Result<(), ConfigError> {
    for parameter in parameters {
        let value = parameter.get(settings);
        parameter
            .set(&mut settings.clone(), &value)
            .map_err(|right| ConfigError::Refused {
                place: Place::Code,
                key: format!("{prefix}{}", parameter.name),
                value,
                right,
            })?;
    }
    Ok(())
}

fn name(name: &str) -> Result<(), ConfigError> {
    check_channel_name(name).map_err(|right| ConfigError::Refused {
        place: Place::Code,
        key: "channel name".to_string(),
        value: name.to_string(),
        right,
    })
}

/// A value that follows from others.
fn derived(key: &str, value: &str) -> Given {
    Given {
        key: key.to_string(),
        value: value.to_string(),
        place: None,
    }
}

fn given_from<S: Default>(
    parameters: &[Parameter<S>],
    settings: &S,
    prefix: &str,
    name: &'static str,
) -> Given {
    let parameter = parameters.iter().find(|parameter| parameter.name == name);
    let value = parameter.map_or_else(String::new, |parameter| parameter.get(settings));
    Given {
        key: format!("{prefix}{name}"),
        value,
        place: Some(Place::Code),
    }
}

/// Whether a file is named.
fn is_file(path: &Path) -> bool {
    !path.as_os_str().is_empty()
}

/// Values that do not go together, and what would be right.
pub(super) fn conflict<const N: usize>(given: [Given; N], right: &str) -> Result<(), ConfigError> {
    Err(ConfigError::Conflict {
        given: given.to_vec(),
        right: right.to_string(),
    })
}
