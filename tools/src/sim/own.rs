//! A switch of the overlay in somebody's own cluster: nodes that go by a configuration, and the links that were measured or are said.
//!
//! Called for `overlane sim --config` and for `overlane topology switch --dry-run`, which has both from a node that runs.

use std::time::Duration;

use overlane::OverlayKind;
use overlane::config::{Config, ConfigError, Flags, Sources};
use overlane_overlays::protocols::Protocols;
use overlane_overlays::sim::switching::{BEFORE_S, Experiment, Figures, simulated};
use overlane_overlays::sim::{Latency, NetworkConfig};

use super::output::{Bar, print_report};
use crate::ending::{Ending, Failure};

/// What the nodes of a simulation go by.
pub(super) struct Own {
    pub(super) protocols: Protocols,
    pub(super) servers: Option<u32>,
}

impl Own {
    /// As a file says it, with the environment and without flags; without a file, what the simulator has by itself.
    pub(super) fn of_file(file: Option<&str>) -> Result<Self, ConfigError> {
        let Some(file) = file else {
            return Ok(Self {
                protocols: simulated(),
                servers: None,
            });
        };
        let flags = Flags {
            config: Some(file.to_owned()),
            ..Flags::default()
        };
        let config = Sources::of_process(flags).load()?;
        Ok(Self::of(&config))
    }

    fn of(config: &Config) -> Self {
        let servers = u32::try_from(config.servers.len()).unwrap_or(u32::MAX);
        Self {
            protocols: overlane::protocols(config),
            servers: (servers > 0).then_some(servers),
        }
    }
}

/// What is known of a cluster that runs.
pub(crate) struct Live {
    /// Its live members.
    pub(crate) members: u32,
    /// The overlay in force.
    pub(crate) overlay: OverlayKind,
    /// The parameters of the node that was asked.
    pub(crate) config: Config,
    /// From the nearest member that was measured to the farthest, there and back.
    pub(crate) rtt: (Duration, Duration),
}

/// Simulates a switch of that cluster, and prints what came of it.
pub(crate) fn dry_run(live: &Live, to: OverlayKind, json: bool) -> Result<Ending, Failure> {
    let Own { protocols, servers } = Own::of(&live.config);
    let (min, max) = live.rtt;
    let experiment = Experiment {
        nodes: live.members,
        seed: DRY_RUN_SEED,
        network: NetworkConfig {
            latency: Latency::PerLink {
                min: min / 2,
                max: max / 2,
            },
            ..NetworkConfig::default()
        },
        join_spacing: JOIN_SPACING,
        from: live.overlay,
        to,
        interval: INTERVAL,
        before_s: BEFORE_S,
        protocols,
        servers,
    };
    let figures = run(&experiment);
    print_report(&figures, json)?;
    match what_is_wrong(&figures) {
        None => Ok(Ending::Done),
        Some(reason) => Err(Failure::new(Ending::CheckFailed, reason)),
    }
}

/// Runs it, with a bar that shows how far it is.
pub(super) fn run(experiment: &Experiment) -> Figures {
    let mut bar = Bar::new();
    let figures = experiment.run(&mut |stage, done, all| bar.show(stage, done, all));
    bar.finish();
    figures
}

/// Why a change did not come about as it should, if it did not.
pub(super) fn what_is_wrong(figures: &Figures) -> Option<String> {
    let Figures {
        lost, duplicates, ..
    } = figures;
    if let Some(violation) = &figures.violation {
        return Some(violation.clone());
    }
    if !figures.switched {
        return Some(format!("not all nodes have {} alone", figures.to));
    }
    (lost + duplicates > 0).then(|| format!("{lost} deliveries lost, {duplicates} repeated"))
}

/// The same cluster gives the same answer twice.
const DRY_RUN_SEED: u64 = 7;

/// As `overlane sim` has them by itself.
const JOIN_SPACING: Duration = Duration::from_millis(10);
const INTERVAL: Duration = Duration::from_secs(1);
