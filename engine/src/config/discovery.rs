//! The definitions of a discovery's parameters: how a node finds others, each by one strategy.
//!
//! What one says follows from the list, as for a channel in `channel.rs`. `values` has the types that only it has. What
//! comes of them, the strategies themselves, is made by `crate::discovery`.

mod values;

use std::fmt;

use super::allowed::{Allowed, Unit};
use super::choices::{
    ADDRESS_WORDS, AddressMode, KubernetesLookup, LOOKUP_WORDS, STRATEGY_WORDS, StrategyChoice,
};
use super::error::{ConfigError, Place};
use super::key_values::refused;
use super::nearest::did_you_mean;
use super::parameter::{Parameter, parameters};
use super::setting::{Setting, is_name};
pub use values::{
    BaseUrl, Group, HostName, Hosts, Interface, NameServers, PathText, Selector, VariableName,
};

/// Most discoveries of a node: a guess, more than there are strategies.
pub const DISCOVERIES_MAX: usize = 16;

/// The words of a parameter that is on or off.
const BOOLEAN: Allowed = Allowed::Words(&["true", "false"]);

/// How paths are described.
const PATH: Allowed = Allowed::Described("a path with a / in it, such as /etc/overlane/hosts");

/// How names of DNS are described.
const DNS_NAME: Allowed = Allowed::Described("a name of DNS, such as nodes.example");

parameters! {
    /// One way to find other nodes; made by [`DiscoveryConfig::new`] and the setters. Each strategy has parameters of its
    /// own; one that is of no use to it is refused.
    pub struct DiscoveryConfig;
    pub static DISCOVERY_PARAMETERS;
    setters on DiscoveryConfig;

    /// How nodes are found.
    strategy: StrategyChoice = StrategyChoice::Static;
        Unit::None, Allowed::Words(STRATEGY_WORDS);
        origin "what needs nothing but a list";
        cost "docs/discovery.md has what each asks for";
    /// static: places of nodes.
    hosts: Hosts as impl Into<Hosts> = Hosts::default();
        Unit::None, Allowed::Described("hosts or addresses with ports, with + or commas between, such as a.example:7400+10.0.0.2:7400");
        origin "nobody can guess them";
        cost "as seeds";
    /// hosts_file: a file with a host a line, read again when it has changed.
    file: PathText as impl Into<PathText> = PathText::default();
        Unit::None, PATH;
        origin "nobody can guess it";
        cost "a look at the file every poll_ms";
    /// dns, dns_srv: the name that is asked for.
    query: HostName as impl Into<HostName> = HostName::default();
        Unit::None, DNS_NAME;
        origin "nobody can guess it";
        cost "questions to a name server every poll_ms";
    /// kubernetes_dns, kubernetes_dns_srv, and kubernetes with mode = hostname: the headless Service of the nodes.
    service: HostName as impl Into<HostName> = HostName::default();
        Unit::None, DNS_NAME;
        origin "nobody can guess it";
        cost "as query";
    /// kubernetes, kubernetes_dns, kubernetes_dns_srv: the namespace; empty is that of this pod.
    namespace: HostName as impl Into<HostName> = HostName::default();
        Unit::None, DNS_NAME;
        origin "nodes of a cluster are in one namespace as a rule";
        cost "another namespace needs a role there";
    /// kubernetes, kubernetes_dns, kubernetes_dns_srv: the domain of the Kubernetes cluster.
    domain: HostName as impl Into<HostName> = HostName::from("cluster.local");
        Unit::None, DNS_NAME;
        origin "what Kubernetes is installed with";
        cost "none";
    /// kubernetes_dns_srv: the name of the Service's port; empty asks for all ports.
    port_name: HostName as impl Into<HostName> = HostName::default();
        Unit::None, Allowed::Described("the name of a port, such as overlane");
        origin "a Service for nodes has one port as a rule";
        cost "without it each port of the Service is asked for a node";
    /// The port of nodes where the strategy does not say it; auto is the port that this node listens on.
    port: Option<u16> as u16 = None;
        Unit::None, Allowed::Number(1, 65_535);
        origin "nodes of a cluster listen on one port as a rule";
        cost "none";
    /// How often it is looked; auto is as long as a DNS answer holds (1 to 60 s), 1 s for hosts_file, 2 s for multicast
    /// (at most, between two beacons), 5 s for the rest.
    poll_ms: Option<u64> as u64 = None;
        Unit::Milliseconds, Allowed::Number(100, 3_600_000);
        origin "libcluster polls every 5 s";
        cost "higher finds a new node later where it does not find the others itself; lower asks servers more often";
    /// dns, dns_srv, kubernetes_dns, kubernetes_dns_srv: name servers; empty is those of /etc/resolv.conf.
    server: NameServers as impl Into<NameServers> = NameServers::default();
        Unit::None, Allowed::Described("addresses of name servers, with + or commas between, such as 10.0.0.53:53");
        origin "the system knows its name servers";
        cost "without the system, its search list is not used either";
    /// local: the folder with the nodes' admin sockets; empty is where `overlane node` makes them.
    directory: PathText as impl Into<PathText> = PathText::default();
        Unit::None, PATH;
        origin "the place of the command line";
        cost "each socket there is asked every poll_ms";
    /// multicast: the group, or with broadcast = true a broadcast address, and the port.
    group: Group as impl Into<Group> = Group::default();
        Unit::None, Allowed::Described("a group and port such as 239.255.45.89:45892 or [ff02::4589]:45892");
        origin "a guess: a group of those for one's own site, and the port of libcluster";
        cost "all hosts of the network that listen to the group get the beacons";
    /// multicast: the interface, by name, or for IPv4 by its address; empty is as the routes say.
    interface: Interface as impl Into<Interface> = Interface::default();
        Unit::None, Allowed::Described("an interface such as eth0, or its IPv4 address");
        origin "most hosts have one";
        cost "none";
    /// multicast: routers that a beacon passes, plus one.
    ttl: u8 = 1;
        Unit::Count("hops"), Allowed::Number(1, 255);
        origin "libcluster: what stays in the network";
        cost "higher lets beacons out of the network, if routers forward them";
    /// multicast: the group is a broadcast address.
    broadcast: bool = false;
        Unit::None, BOOLEAN;
        origin "libcluster's broadcast_only";
        cost "every host of the network gets the beacons";
    /// multicast: a file with the secret that beacons are signed with: one line, or the new and the old one while it is
    /// rotated.
    secret_file: PathText as impl Into<PathText> = PathText::default();
        Unit::None, PATH;
        origin "a secret has no default";
        cost "none";
    /// multicast: the environment variable with that secret, in place of a file.
    secret_env: VariableName as impl Into<VariableName> = VariableName::default();
        Unit::None, Allowed::Described("the name of an environment variable, such as CLUSTER_SECRET");
        origin "a secret has no default";
        cost "whoever can read the process's environment has it";
    /// multicast: beacons are not signed.
    insecure: bool = false;
        Unit::None, BOOLEAN;
        origin "what is not safe has to be asked for";
        cost "true lets every host of the network send this node to any address";
    /// kubernetes: the label selector; & stands for a comma in flags and variables.
    selector: Selector as impl Into<Selector> = Selector::default();
        Unit::None, Allowed::Described("a label selector such as app=overlane or app=overlane,tier=core");
        origin "nobody can guess it";
        cost "none";
    /// kubernetes: what is looked at.
    lookup: KubernetesLookup = KubernetesLookup::EndpointSlices;
        Unit::None, Allowed::Words(LOOKUP_WORDS);
        origin "Kubernetes 1.33 has deprecated Endpoints, which libcluster looks at";
        cost "pods finds nodes before they are ready; each needs a role that allows it";
    /// kubernetes: how a node is dialled: by its address, or by a name that DNS has for its address or its host name.
    mode: AddressMode = AddressMode::Ip;
        Unit::None, Allowed::Words(ADDRESS_WORDS);
        origin "libcluster";
        cost "names need DNS each time; hostname needs a StatefulSet and its service";
    /// kubernetes: the API server; rancher: the metadata service; empty is where the pod, or Rancher, has it.
    url: BaseUrl as impl Into<BaseUrl> = BaseUrl::default();
        Unit::None, Allowed::Described("a URL such as https://kubernetes.default.svc");
        origin "the environment of a pod names it; Rancher has http://rancher-metadata";
        cost "none";
    /// kubernetes: the folder of the service account: token, ca.crt and namespace.
    account: PathText as impl Into<PathText> = PathText::from("/var/run/secrets/kubernetes.io/serviceaccount");
        Unit::None, PATH;
        origin "where Kubernetes mounts it";
        cost "none";
    /// kubernetes: whether changes are watched; where that fails, it is polled.
    watch: bool = true;
        Unit::None, BOOLEAN;
        origin "a new node is found at once";
        cost "true keeps a connection to the API server; false asks every poll_ms";

    beside {
        /// Name of the discovery, 1 to 255 of the characters `a-z 0-9 _ . -`: what events and metrics call it.
        name: String;
    }
}

use StrategyChoice as S;

/// Which strategies a parameter is for; all of them if it is not here.
const FOR: &[(&str, &[StrategyChoice])] = &[
    ("hosts", &[S::Static]),
    ("file", &[S::HostsFile]),
    ("query", &[S::Dns, S::DnsSrv]),
    (
        "service",
        &[S::Kubernetes, S::KubernetesDns, S::KubernetesDnsSrv],
    ),
    (
        "namespace",
        &[S::Kubernetes, S::KubernetesDns, S::KubernetesDnsSrv],
    ),
    (
        "domain",
        &[S::Kubernetes, S::KubernetesDns, S::KubernetesDnsSrv],
    ),
    ("port_name", &[S::KubernetesDnsSrv]),
    (
        "port",
        &[
            S::HostsFile,
            S::Dns,
            S::DnsSrv,
            S::Kubernetes,
            S::KubernetesDns,
            S::KubernetesDnsSrv,
            S::Rancher,
        ],
    ),
    (
        "poll_ms",
        &[
            S::HostsFile,
            S::Dns,
            S::DnsSrv,
            S::Local,
            S::Multicast,
            S::Kubernetes,
            S::KubernetesDns,
            S::KubernetesDnsSrv,
            S::Rancher,
        ],
    ),
    (
        "server",
        &[S::Dns, S::DnsSrv, S::KubernetesDns, S::KubernetesDnsSrv],
    ),
    ("directory", &[S::Local]),
    ("group", &[S::Multicast]),
    ("interface", &[S::Multicast]),
    ("ttl", &[S::Multicast]),
    ("broadcast", &[S::Multicast]),
    ("secret_file", &[S::Multicast]),
    ("secret_env", &[S::Multicast]),
    ("insecure", &[S::Multicast]),
    ("selector", &[S::Kubernetes]),
    ("lookup", &[S::Kubernetes]),
    ("mode", &[S::Kubernetes]),
    ("url", &[S::Kubernetes, S::Rancher]),
    ("account", &[S::Kubernetes]),
    ("watch", &[S::Kubernetes]),
];

/// What a strategy cannot do without, and an example of it.
const NEEDS: &[(StrategyChoice, &str, &str)] = &[
    (S::Static, "hosts", "hosts = [\"a.example:7400\"]"),
    (S::HostsFile, "file", "file = \"/etc/overlane/hosts\""),
    (S::Dns, "query", "query = \"nodes.example\""),
    (S::DnsSrv, "query", "query = \"_overlane._tcp.example\""),
    (S::Kubernetes, "selector", "selector = \"app=overlane\""),
    (S::KubernetesDns, "service", "service = \"overlane\""),
    (S::KubernetesDnsSrv, "service", "service = \"overlane\""),
];

impl DiscoveryConfig {
    /// One of that name and strategy, with the default of every other parameter.
    #[must_use]
    pub fn new(name: impl Into<String>, strategy: StrategyChoice) -> Self {
        Self {
            name: name.into(),
            strategy,
            ..Self::default()
        }
    }

    /// Checks what it says, by itself.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let path = format!("discovery.{}", self.name);
        let wrong = |key: &str, value: &str, right: String| {
            Err(refused(
                &Place::Code,
                &format!("{path}.{key}"),
                value,
                right,
            ))
        };
        if !is_name(&self.name) {
            return wrong("name", &self.name, NAME_RIGHT.to_string());
        }
        for parameter in DISCOVERY_PARAMETERS {
            let value = parameter.get(self);
            if let Err(right) = parameter.set(&mut self.clone(), &value) {
                return wrong(parameter.name, &value, right);
            }
            let strategies = strategies_of(parameter.name);
            if value != parameter.default_text() && !strategies.contains(&self.strategy) {
                let strategies: Vec<_> =
                    strategies.iter().map(|strategy| strategy.word()).collect();
                let right = format!(
                    "nothing: it is for strategy = {}, and this one is {}",
                    strategies.join(", "),
                    self.strategy.word()
                );
                return wrong(parameter.name, &value, right);
            }
        }
        let needed = NEEDS
            .iter()
            .filter(|(strategy, ..)| *strategy == self.strategy);
        for (_, key, example) in needed {
            let parameter = DISCOVERY_PARAMETERS.iter().find(|known| known.name == *key);
            if parameter.is_some_and(|parameter| parameter.get(self).is_empty()) {
                return wrong(key, "", format!("a value, such as {example}"));
            }
        }
        self.check_secret(wrong)?;
        if self.mode == AddressMode::Hostname && self.service.is_empty() {
            return wrong(
                "service",
                "",
                "the headless Service that gives pods their names in DNS".to_string(),
            );
        }
        Ok(())
    }

    fn check_secret(
        &self,
        wrong: impl Fn(&str, &str, String) -> Result<(), ConfigError>,
    ) -> Result<(), ConfigError> {
        if self.strategy != StrategyChoice::Multicast {
            return Ok(());
        }
        let has_secret = !self.secret_file.is_empty() || !self.secret_env.is_empty();
        if !self.secret_file.is_empty() && !self.secret_env.is_empty() {
            let right = "nothing where secret_file is given: the secret has one place".to_string();
            return wrong("secret_env", self.secret_env.text(), right);
        }
        if self.insecure && has_secret {
            return wrong(
                "insecure",
                "true",
                "false where there is a secret: beacons are signed then".to_string(),
            );
        }
        if !self.insecure && !has_secret {
            let right = "a secret, such as secret_file = \"/etc/overlane/secret\", or insecure = true: without one every \
                         host of the network can send this node anywhere";
            return wrong("secret_file", "", right.to_string());
        }
        let is_multicast = self.group.address().ip().is_multicast();
        if is_multicast == self.broadcast {
            let right = "a group of multicast, or with broadcast = true a broadcast address";
            return wrong(
                "group",
                &self.group.address().to_string(),
                right.to_string(),
            );
        }
        Ok(())
    }

    /// What the setters change.
    fn settings(&mut self) -> &mut Self {
        self
    }
}

/// As `--discovery` reads it: what is the default is left out.
impl fmt::Display for DiscoveryConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:strategy={}", self.name, self.strategy.word())?;
        for parameter in DISCOVERY_PARAMETERS {
            let value = parameter.get(self);
            if parameter.name != "strategy" && value != parameter.default_text() {
                write!(formatter, ",{}={value}", parameter.name)?;
            }
        }
        Ok(())
    }
}

/// What a name of a discovery can be.
const NAME_RIGHT: &str = "1 to 255 of the characters a-z 0-9 _ . -";

/// Checks a discovery's name; the error says what would be right.
pub(super) fn check_discovery_name(name: &str) -> Result<(), String> {
    is_name(name)
        .then_some(())
        .ok_or_else(|| NAME_RIGHT.to_string())
}

/// The strategies that a parameter is for.
#[must_use]
pub fn strategies_of(parameter: &str) -> &'static [StrategyChoice] {
    let found = FOR.iter().find(|(name, _)| *name == parameter);
    found.map_or(StrategyChoice::ALL, |(_, strategies)| *strategies)
}

/// The error for a key that is no parameter of a discovery.
pub(super) fn unknown_discovery_key(place: Place, name: &str, key: &str) -> ConfigError {
    let known = DISCOVERY_PARAMETERS.iter().map(|known| known.name);
    ConfigError::Unknown {
        place,
        key: format!("discovery.{name}.{key}"),
        right: did_you_mean(key, known, "docs/tuning.md lists them all"),
    }
}
