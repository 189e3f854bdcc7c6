//! Finding other nodes: the discoveries of the configuration, each a strategy of `overlane_discovery` on a thread of its
//! own.
//!
//! Started by `node` once there is a cluster, which is told what each finds. `strategies` makes them of the configuration,
//! `local` is the one that needs the admin socket. Nothing here runs on a shard or the control shard.

mod local;
mod strategies;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlane_discovery::{Found, Place, Plan, Report, Task};

use crate::cluster::Cluster;
use crate::config::{DiscoveryConfig, StrategyChoice};
use crate::error::StartError;
use crate::fabric::Fabric;
use strategies::strategy_of;

/// How long a node that stops waits for them. A guess: one that waits for a server ends at once, as its connection is
/// shut; one that dials may take longer and harms nobody.
const PATIENCE: Duration = Duration::from_millis(500);

/// Of a node, what strategies say of it.
#[derive(Clone, Debug)]
struct Here {
    cluster: String,
    name: String,
    incarnation: u64,
    /// Where others find it, best first.
    addresses: Vec<SocketAddr>,
    /// The port it listens on.
    port: u16,
}

/// The discoveries of a node. Dropping it asks them to end.
#[derive(Debug)]
pub(crate) struct Discovery {
    tasks: Vec<Task>,
}

/// Starts the discoveries of the configuration, if there are any.
pub(crate) fn start(
    fabric: &Arc<Fabric>,
    cluster: &Cluster,
) -> Result<Option<Discovery>, StartError> {
    let config = &fabric.config;
    if config.discovery.is_empty() {
        return Ok(None);
    }
    let here = Here {
        cluster: config.cluster.clone(),
        name: config.node_name.clone(),
        incarnation: fabric.incarnation,
        addresses: match config.advertise.as_slice() {
            [] => vec![fabric.address],
            advertised => advertised.to_vec(),
        },
        port: fabric.address.port(),
    };
    let mut tasks = Vec::new();
    for (number, discovery) in config.discovery.iter().enumerate() {
        let failed = |why: String| StartError::Discovery {
            discovery: discovery.name.clone(),
            why,
        };
        if discovery.strategy == StrategyChoice::Static {
            cluster.discovered(number, named(discovery));
            continue;
        }
        let (strategy, pace) = strategy_of(discovery, &here).map_err(failed)?;
        let cluster = cluster.clone();
        let report = move |report| cluster.discovered(number, report);
        // A name of the kernel has 15 bytes.
        let thread = format!("overlane-find-{number}");
        let task = Task::start(thread, strategy, pace, fastrand::u64(..), report);
        tasks.push(task.map_err(|error| failed(format!("no thread could be made ({error})")))?);
    }
    Ok(Some(Discovery { tasks }))
}

/// What a list of the configuration finds: itself.
fn named(discovery: &DiscoveryConfig) -> Report {
    let places = discovery.hosts.places().iter();
    let places = places.filter_map(|seed| {
        let (host, port) = seed.place().rsplit_once(':')?;
        let host = host.trim_matches(['[', ']']);
        Place::of_host(host, port.parse().ok()?)
    });
    let found = Found::of(places);
    let mut plan = Plan::new(strategies::PACE, Duration::ZERO);
    Report {
        outcome: plan.answered(Duration::ZERO, &found, 0.0),
        places: BTreeSet::clone(found.places()),
        left_out: found.left_out(),
        refused: 0,
    }
}

impl Discovery {
    /// Asks them to end.
    pub(crate) fn stop(&self) {
        self.tasks.iter().for_each(Task::stop);
    }

    /// Waits a little until they have.
    pub(crate) fn join(mut self) {
        let deadline = Instant::now() + PATIENCE;
        for task in &mut self.tasks {
            task.join_by(deadline);
        }
    }
}
