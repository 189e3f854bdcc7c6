//! Topologies of libcluster as discoveries: which strategy of ours does the same, which setting stands for which, and
//! what has no counterpart.
//!
//! One table for the file's `[libcluster.topologies]` and for `overlane import-libcluster`. Reads no file.

use super::choices::StrategyChoice as S;
use super::nearest::did_you_mean;

/// The port that nodes are taken to listen on where an Erlang node has none.
const PORT: u16 = 7400;

/// What a setting of a topology has for a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LibclusterValue {
    /// A single value, as text.
    Text(String),
    /// A list of them.
    List(Vec<String>),
}

/// A topology as a discovery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LibclusterImport {
    /// Parameters of the discovery, its strategy first, in text form.
    pub settings: Vec<(&'static str, String)>,
    /// What should be known of a setting, by its key: why it has no counterpart, or what was assumed.
    pub remarks: Vec<(String, &'static str)>,
    /// Settings that libcluster has not for this strategy, by their key, and what would be right.
    pub mistakes: Vec<(String, String)>,
}

/// What one setting comes to.
enum Imported {
    /// A parameter.
    Setting(&'static str, String),
    /// A parameter, and what should be known of it.
    WithRemark(&'static str, String, &'static str),
    /// It has no counterpart, and why none is needed, or what to do.
    Nothing(&'static str),
    /// Part of the group of a gossip topology.
    Group,
}

/// The modules of libcluster, without what their names begin with.
const MODULES: &[(&str, S)] = &[
    ("Epmd", S::Static),
    ("LocalEpmd", S::Local),
    ("ErlangHosts", S::HostsFile),
    ("Gossip", S::Multicast),
    ("Kubernetes", S::Kubernetes),
    ("Kubernetes.DNS", S::KubernetesDns),
    ("Kubernetes.DNSSRV", S::KubernetesDnsSrv),
    ("DNSPoll", S::Dns),
    ("Rancher", S::Rancher),
];

/// The strategy that does what a module of libcluster does.
///
/// # Errors
/// There is none; the text says so.
pub fn libcluster_strategy(module: &str) -> Result<S, String> {
    let name = module.strip_prefix("Elixir.").unwrap_or(module);
    let name = name.strip_prefix("Cluster.Strategy.").unwrap_or(name);
    let found = MODULES.iter().find(|(known, _)| *known == name);
    found.map(|(_, strategy)| *strategy).ok_or_else(|| {
        let known: Vec<_> = MODULES.iter().map(|(known, _)| *known).collect();
        format!(
            "a strategy of libcluster itself, Cluster.Strategy. with one of {}",
            known.join(", ")
        )
    })
}

/// The module of libcluster that does what a strategy does; for dns_srv the nearest.
#[must_use]
pub const fn libcluster_module(strategy: S) -> &'static str {
    match strategy {
        S::Static => "Cluster.Strategy.Epmd",
        S::HostsFile => "Cluster.Strategy.ErlangHosts",
        S::Dns | S::DnsSrv => "Cluster.Strategy.DNSPoll",
        S::Local => "Cluster.Strategy.LocalEpmd",
        S::Multicast => "Cluster.Strategy.Gossip",
        S::Kubernetes => "Cluster.Strategy.Kubernetes",
        S::KubernetesDns => "Cluster.Strategy.Kubernetes.DNS",
        S::KubernetesDnsSrv => "Cluster.Strategy.Kubernetes.DNSSRV",
        S::Rancher => "Cluster.Strategy.Rancher",
    }
}

/// A topology of that strategy and `config`, as a discovery.
#[must_use]
pub fn import_libcluster(strategy: S, config: &[(String, LibclusterValue)]) -> LibclusterImport {
    let mut import = LibclusterImport::default();
    import
        .settings
        .push(("strategy", strategy.word().to_owned()));
    for (key, value) in config {
        match imported(strategy, key, value) {
            Ok(Imported::Setting(ours, text)) => import.settings.push((ours, text)),
            Ok(Imported::WithRemark(ours, text, remark)) => {
                import.settings.push((ours, text));
                import.remarks.push((key.clone(), remark));
            }
            Ok(Imported::Nothing(remark)) => import.remarks.push((key.clone(), remark)),
            Ok(Imported::Group) => {}
            Err(right) => import.mistakes.push((key.clone(), right)),
        }
    }
    let text_of = |key: &str| {
        let value = config.iter().find(|(known, _)| known == key);
        value.and_then(|(_, value)| value.text().ok())
    };
    match strategy {
        S::Multicast => {
            let address = text_of("multicast_addr").unwrap_or_else(|| "233.252.1.32".to_owned());
            let port = text_of("port").unwrap_or_else(|| "45892".to_owned());
            import.settings.push(("group", format!("{address}:{port}")));
            if text_of("secret").is_none() {
                import.settings.push(("insecure", "true".to_owned()));
                let remark = "beacons are not signed, as with libcluster; better give all nodes a secret_file";
                import.remarks.push(("secret".to_owned(), remark));
            }
        }
        S::HostsFile => {
            import.settings.push(("file", "./.hosts.erlang".to_owned()));
            let remark = "Erlang looks in the working directory, then in the user's home: name the file that you use";
            import.remarks.push(("strategy".to_owned(), remark));
        }
        _ => {}
    }
    import
}

/// Keys of a topology beside its strategy and its `config`: functions of Erlang.
pub const LIBCLUSTER_FUNCTIONS: &[&str] = &["connect", "disconnect", "list_nodes", "child_spec"];

/// Why those have no counterpart.
pub const LIBCLUSTER_FUNCTIONS_REMARK: &str = "nodes are connected by the engine";

const NAMES: &str = "nodes tell their names in the handshake, so nothing is made of a base name";

/// What a key of a topology's `config` comes to, or what would be right.
fn imported(strategy: S, key: &str, value: &LibclusterValue) -> Result<Imported, String> {
    let to = |ours: &'static str| value.text().map(|text| Imported::Setting(ours, text));
    match (strategy, key) {
        (S::Static, "hosts") => hosts(value),
        (S::Static | S::HostsFile, "timeout") => Ok(Imported::Nothing(
            "seeds are asked again by themselves, more and more seldom",
        )),
        (S::Local, "hosts") => Ok(Imported::Nothing(
            "the nodes of this host are found by themselves",
        )),
        (S::Multicast, _) => of_gossip(key, value),
        (S::Kubernetes, _) => of_kubernetes(key, value),
        (S::Dns, "query") => to("query"),
        (S::KubernetesDns | S::KubernetesDnsSrv, "service") => to("service"),
        (S::KubernetesDns | S::KubernetesDnsSrv, "namespace") => to("namespace"),
        (
            S::Dns | S::KubernetesDns | S::KubernetesDnsSrv | S::Rancher,
            "polling_interval" | "poll_interval",
        ) => to("poll_ms"),
        (S::Dns | S::Rancher, "node_basename")
        | (S::KubernetesDns | S::KubernetesDnsSrv, "application_name") => {
            Ok(Imported::Nothing(NAMES))
        }
        (S::Dns | S::KubernetesDns | S::KubernetesDnsSrv, "resolver") => {
            Ok(Imported::Nothing("server names other name servers"))
        }
        _ => Err(unknown(strategy, key)),
    }
}

fn of_gossip(key: &str, value: &LibclusterValue) -> Result<Imported, String> {
    let to = |ours: &'static str| value.text().map(|text| Imported::Setting(ours, text));
    match key {
        "port" | "multicast_addr" => value.text().map(|_| Imported::Group),
        "if_addr" => Ok(Imported::Nothing(
            "beacons are heard on all addresses; interface names one interface",
        )),
        "multicast_if" => to("interface"),
        "multicast_ttl" => to("ttl"),
        "broadcast_only" => to("broadcast"),
        "secret" => Ok(Imported::WithRemark(
            "secret_file",
            "/etc/overlane/secret".to_owned(),
            "a secret is never in the configuration: put it into this file, 16 bytes at least",
        )),
        _ => Err(unknown(S::Multicast, key)),
    }
}

fn of_kubernetes(key: &str, value: &LibclusterValue) -> Result<Imported, String> {
    let to = |ours: &'static str| value.text().map(|text| Imported::Setting(ours, text));
    match key {
        "kubernetes_selector" => to("selector"),
        "kubernetes_namespace" => to("namespace"),
        "kubernetes_service_name" => to("service"),
        "kubernetes_cluster_name" => Ok(Imported::Setting(
            "domain",
            format!("{}.local", value.text()?),
        )),
        "kubernetes_ip_lookup_mode" => to("lookup"),
        "mode" => to("mode"),
        "kubernetes_master" => Ok(Imported::Setting(
            "url",
            format!("https://{}", value.text()?),
        )),
        "kubernetes_service_account_path" => to("account"),
        "polling_interval" => to("poll_ms"),
        "kubernetes_use_cached_resources" => Ok(Imported::Nothing(
            "objects are listed once and then watched",
        )),
        "kubernetes_node_basename" => Ok(Imported::Nothing(NAMES)),
        _ => Err(unknown(S::Kubernetes, key)),
    }
}

fn unknown(strategy: S, key: &str) -> String {
    let known = keys_of(strategy).iter().copied();
    did_you_mean(
        key,
        known,
        "libcluster has no such setting for this strategy",
    )
}

/// The keys that libcluster has for a strategy.
const fn keys_of(strategy: S) -> &'static [&'static str] {
    match strategy {
        S::Static => &["hosts", "timeout"],
        S::HostsFile => &["timeout"],
        S::Local => &["hosts"],
        S::Multicast => &[
            "port",
            "if_addr",
            "multicast_addr",
            "multicast_if",
            "multicast_ttl",
            "broadcast_only",
            "secret",
        ],
        S::Kubernetes => &[
            "kubernetes_node_basename",
            "kubernetes_selector",
            "kubernetes_namespace",
            "kubernetes_service_name",
            "kubernetes_cluster_name",
            "kubernetes_ip_lookup_mode",
            "mode",
            "kubernetes_use_cached_resources",
            "kubernetes_master",
            "kubernetes_service_account_path",
            "polling_interval",
        ],
        S::KubernetesDns => &[
            "service",
            "application_name",
            "resolver",
            "polling_interval",
        ],
        S::KubernetesDnsSrv => &[
            "service",
            "application_name",
            "namespace",
            "resolver",
            "polling_interval",
        ],
        S::Dns | S::DnsSrv => &["query", "node_basename", "resolver", "polling_interval"],
        S::Rancher => &["node_basename", "polling_interval"],
    }
}

/// Erlang nodes as places: `app@host` at the port of nodes.
fn hosts(value: &LibclusterValue) -> Result<Imported, String> {
    let LibclusterValue::List(nodes) = value else {
        return Err("a list of nodes such as app@10.0.0.1".to_owned());
    };
    let place = |node: &String| {
        let host = node
            .rsplit_once('@')
            .map_or(node.as_str(), |(_, host)| host);
        format!("{host}:{PORT}")
    };
    let places: Vec<_> = nodes.iter().map(place).collect();
    let remark = "an Erlang node has no port of its own: 7400 is taken for each";
    Ok(Imported::WithRemark("hosts", places.join("+"), remark))
}

impl LibclusterValue {
    /// The single value.
    fn text(&self) -> Result<String, String> {
        match self {
            Self::Text(text) => Ok(text.clone()),
            Self::List(_) => Err("a single value, not a list".to_owned()),
        }
    }
}
