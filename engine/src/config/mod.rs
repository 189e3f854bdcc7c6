//! One definition of each parameter: file, environment, flag, builder and documentation follow.
//!
//! `node.rs` with `node/`, `channel.rs`, `rule.rs` and `discovery.rs` hold the definitions; everything else here is driven by their tables.

mod address;
mod admin;
mod agreement;
mod allowed;
mod channel;
mod channel_name;
mod choices;
mod definition;
mod discovery;
mod environment;
mod error;
mod file;
mod flags;
mod gauge_rule;
mod http;
mod key_values;
mod layers;
mod libcluster;
mod load;
mod names;
mod nearest;
mod node;
mod parameter;
mod pattern;
mod placement;
mod preset;
mod printable;
mod profile;
mod reload;
mod retune;
mod rule;
mod seed;
mod service_links;
mod setting;
mod trace;
mod validate;
mod workload;
mod zone;

pub use address::check_peer_address;
pub use admin::{ADMIN_PATH_BYTES_MAX, Admin};
pub use allowed::{Allowed, Unit, number, quantity};
pub use channel::{CHANNEL_PARAMETERS, ChannelConfig};
pub use channel_name::RESERVED_PREFIX;
pub use choices::{
    AddressMode, ChannelSecurity, Compression, ControlPlacement, IoChoice, KubernetesLookup,
    NodeRole, OnLate, OnPartition, OnRestart, Ordering, Overflow, OverlayChoice, Preset, Priority,
    Reach, Reliability, RuleSet, SecurityMode, StrategyChoice, TopologyMode,
};
pub use definition::ChannelDefinition;
#[doc(hidden)]
pub use definition::fuzz_channel_definition;
pub use discovery::{
    BaseUrl, DISCOVERIES_MAX, DISCOVERY_PARAMETERS, DiscoveryConfig, Group as MulticastGroup,
    HostName, Hosts, Interface, NameServers, PathText, Selector, VariableName, strategies_of,
};
pub use environment::{PREFIX as ENVIRONMENT_PREFIX, variable};
pub(crate) use error::debug_as_message;
pub use error::{ConfigError, Given, Place};
pub use file::FILE_BYTES_MAX;
pub use flags::{Flags, augment, flag};
pub use gauge_rule::GaugeRule;
pub use http::{Http, TokenFile};
pub use libcluster::{
    LIBCLUSTER_FUNCTIONS, LIBCLUSTER_FUNCTIONS_REMARK, LibclusterImport, LibclusterValue,
    import_libcluster, libcluster_module, libcluster_strategy,
};
pub use load::{FILE_DEFAULT, Sources};
pub use names::{NamePatterns, PATTERNS_MAX};
pub use node::{
    BroadcastConfig, ClientServerConfig, Config, ConfigBuilder, FullMeshConfig, HyParViewConfig,
    MembershipConfig, NODE_GROUPS, NODE_PARAMETERS, PartitionsConfig, PlumtreeConfig, PskConfig,
    PubSubConfig, RecorderConfig, SummariesConfig, SwitchingConfig, TlsConfig, TopologyConfig,
    TraceConfig,
};
pub use overlane_discovery::secret::{
    SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRETS_MAX, SecretError, SecretSourceError, Secrets,
};
pub use overlane_overlays::membership::ZONE_BYTES_MAX;
pub use parameter::{Group, Parameter};
pub use pattern::{Metadata, Named, Pattern};
pub use printable::Printable;
pub use profile::Profile;
pub use reload::{Change, reloadable};
pub(crate) use reload::{Reload, reload};
pub(crate) use retune::differences;
pub use retune::{Takes, retunable};
pub use rule::{RULE_PARAMETERS, RULES_MAX, Rule};
pub use seed::{Seed, SeedError};
pub use setting::{is_name, is_node_name};
pub use trace::TraceEndpoint;
pub use validate::CHANNELS_MAX;
pub(crate) use validate::check_rules;
pub use workload::Workload;
pub use zone::Zone;
