//! From the configuration of a discovery to its strategy and its pace.

use std::path::{Path, PathBuf};
use std::time::Duration;

use overlane_discovery::dns::{Dns, DnsSrv};
use overlane_discovery::hosts_file::HostsFile;
use overlane_discovery::multicast::{Beacon, Multicast, Network};
use overlane_discovery::resolver::Resolver;
use overlane_discovery::secret::Secrets;
use overlane_discovery::{Pace, Strategy};

use super::Here;
use super::local::Local;
use crate::admin;
use crate::config::{DiscoveryConfig, StrategyChoice};

/// How often is looked where neither the configuration nor the source says it, and how failures are spaced out. 5 s is
/// libcluster's; the others are guesses.
pub(super) const PACE: Pace = Pace {
    poll: None,
    poll_default: Duration::from_secs(5),
    retry_first: Duration::from_secs(1),
    retry_max: Duration::from_secs(30),
};

/// How often a file is looked at. A guess: a look costs microseconds.
const FILE_EVERY: Duration = Duration::from_secs(1);

/// The longest time between two beacons. A guess: libcluster's are 2.5 s apart on average.
const BEACON_EVERY: Duration = Duration::from_secs(2);

/// What is made: a strategy, and how often it looks.
type Made = (Box<dyn Strategy>, Pace);

/// The strategy of a discovery, or why there is none.
pub(super) fn strategy_of(config: &DiscoveryConfig, here: &Here) -> Result<Made, String> {
    let poll = config.poll_ms.map(Duration::from_millis);
    let pace = Pace { poll, ..PACE };
    let port = config.port.unwrap_or(here.port);
    let resolver = || Resolver::new(config.server.addresses().to_vec());
    let query = || config.query.text().to_owned();
    Ok(match config.strategy {
        // Needs no thread: see `start`.
        StrategyChoice::Static => return Err("a list is not looked for".to_owned()),
        StrategyChoice::HostsFile => {
            let poll = Some(poll.unwrap_or(FILE_EVERY));
            let file = HostsFile::new(config.file.text().into(), port);
            (Box::new(file), Pace { poll, ..pace })
        }
        StrategyChoice::Dns => (Box::new(Dns::new(resolver(), query(), port)), pace),
        StrategyChoice::DnsSrv => (Box::new(DnsSrv::new(resolver(), query(), port)), pace),
        StrategyChoice::KubernetesDns => {
            let name = service_name(config);
            (Box::new(Dns::new(resolver(), name, port)), pace)
        }
        StrategyChoice::KubernetesDnsSrv => {
            let name = match config.port_name.text() {
                "" => service_name(config),
                port => format!("_{port}._tcp.{}", service_name(config)),
            };
            (Box::new(DnsSrv::new(resolver(), name, port)), pace)
        }
        StrategyChoice::Local => {
            let folder = match config.directory.text() {
                "" => admin::folder(),
                path => PathBuf::from(path),
            };
            (Box::new(Local::new(folder, here.cluster.clone())), pace)
        }
        StrategyChoice::Multicast => {
            let period = poll.unwrap_or(BEACON_EVERY);
            let mut multicast =
                Multicast::new(network(config), secret(config)?, beacon(here), period);
            if let Some(path) = given(config.secret_file.text()) {
                multicast = multicast.with_secret_file(path.into());
            }
            (Box::new(multicast), pace)
        }
        StrategyChoice::Kubernetes => (kubernetes(config, port)?, pace),
        StrategyChoice::Rancher => (rancher(config, port)?, pace),
    })
}

/// The name that DNS has for a headless Service. Without a namespace the search list of the pod completes it.
fn service_name(config: &DiscoveryConfig) -> String {
    let service = config.service.text();
    match config.namespace.text() {
        "" => service.to_owned(),
        namespace => format!("{service}.{namespace}.svc.{}.", config.domain.text()),
    }
}

/// A text, unless it is empty.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn network(config: &DiscoveryConfig) -> Network {
    Network {
        group: config.group.address(),
        interface: given(config.interface.text()),
        ttl: config.ttl,
        broadcast: config.broadcast,
    }
}

fn secret(config: &DiscoveryConfig) -> Result<Option<Secrets>, String> {
    let secret = match (config.secret_file.text(), config.secret_env.text()) {
        ("", "") => return Ok(None),
        ("", variable) => Secrets::of_variable(variable),
        (file, _) => Secrets::of_file(Path::new(file)),
    };
    secret.map(Some).map_err(|error| error.to_string())
}

fn beacon(here: &Here) -> Beacon {
    Beacon {
        cluster: here.cluster.clone(),
        node: here.name.clone(),
        incarnation: here.incarnation,
        addresses: here.addresses.clone(),
        sequence: 0,
        time_ms: 0,
    }
}

#[cfg(feature = "discovery-kubernetes")]
fn kubernetes(config: &DiscoveryConfig, port: u16) -> Result<Box<dyn Strategy>, String> {
    use crate::config::{AddressMode, KubernetesLookup};
    use overlane_discovery::kubernetes::{Kubernetes, Lookup, Mode, Naming, Settings};

    let settings = Settings {
        url: given(config.url.text()),
        account: config.account.text().into(),
        namespace: given(config.namespace.text()),
        selector: config.selector.text().to_owned(),
        lookup: match config.lookup {
            KubernetesLookup::EndpointSlices => Lookup::EndpointSlices,
            KubernetesLookup::Endpoints => Lookup::Endpoints,
            KubernetesLookup::Pods => Lookup::Pods,
        },
        naming: Naming {
            mode: match config.mode {
                AddressMode::Ip => Mode::Ip,
                AddressMode::Dns => Mode::Dns,
                AddressMode::Hostname => Mode::Hostname,
            },
            port,
            domain: config.domain.text().to_owned(),
            service: config.service.text().to_owned(),
        },
        watch: config.watch,
    };
    Ok(Box::new(Kubernetes::new(settings)))
}

#[cfg(feature = "discovery-rancher")]
fn rancher(config: &DiscoveryConfig, port: u16) -> Result<Box<dyn Strategy>, String> {
    use overlane_discovery::rancher::{Rancher, URL};

    let url = given(config.url.text()).unwrap_or_else(|| URL.to_owned());
    Ok(Box::new(Rancher::new(url, port)))
}

#[cfg(not(feature = "discovery-kubernetes"))]
fn kubernetes(_: &DiscoveryConfig, _: u16) -> Result<Box<dyn Strategy>, String> {
    Err("this program was built without the feature discovery-kubernetes of the engine".to_owned())
}

#[cfg(not(feature = "discovery-rancher"))]
fn rancher(_: &DiscoveryConfig, _: u16) -> Result<Box<dyn Strategy>, String> {
    Err("this program was built without the feature discovery-rancher of the engine".to_owned())
}
