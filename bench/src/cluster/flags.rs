//! What may be asked of a cluster run, and what is refused at once.

use std::time::Duration;

use clap::Args;
use overlane::config::Flags;
use overlane::{BroadcastKind, OverlayKind};

use super::hosts::HOSTS_MAX;
use super::process::HEAD_BYTES;
use crate::error::{BenchError, Outcome};
use crate::flags;

/// What every run of a cluster is asked besides its own.
#[derive(Debug, Clone, Args)]
pub(crate) struct RunFlags {
    /// How long the nodes may take to agree who is a member, or for what else all have to do, each time
    #[arg(long, default_value_t = 120, value_name = "SECONDS")]
    patience: u32,
    /// One JSON object on one line instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) engine: Flags,
}

impl RunFlags {
    fn check(&self) -> Outcome<()> {
        flags::within("--patience", self.patience as usize, 1, 3_600)
    }

    /// For how long the nodes are waited for.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.patience.into())
    }
}

/// Flags of `cluster`.
#[derive(Debug, Args)]
pub(crate) struct ClusterFlags {
    /// Nodes, each a process with one shard
    #[arg(long, default_value_t = 25, value_name = "COUNT")]
    pub(super) nodes: usize,
    /// Without `--overlay`, which is the engine's own flag.
    #[arg(skip = OverlayKind::HyParView)]
    overlay: OverlayKind,
    /// Clients cannot be dialled, and have a channel that passes on over others.
    #[arg(skip)]
    pub(super) relays: bool,
    /// Broadcasts in all, from one node after the other
    #[arg(long, default_value_t = 200, value_name = "COUNT")]
    pub(super) broadcasts: u32,
    /// Bytes of each broadcast
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(super) payload: usize,
    /// How long it is watched what the nodes cost while nothing happens
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub(super) idle_seconds: u32,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

impl ClusterFlags {
    /// A cluster for another run, which asks for no figures of the cluster itself.
    fn of(nodes: usize, overlay: OverlayKind, run: &RunFlags) -> Self {
        Self {
            nodes,
            overlay,
            relays: false,
            broadcasts: 1,
            payload: HEAD_BYTES,
            idle_seconds: 0,
            run: run.clone(),
        }
    }

    /// The overlay that the cluster begins with.
    pub(super) fn overlay(&self) -> Outcome<OverlayKind> {
        let mut given = self.run.engine.node.iter().rev();
        match given.find(|(name, _)| *name == "overlay") {
            None => Ok(self.overlay),
            Some((_, text)) => text
                .parse()
                .map_err(|error| BenchError::BadInput(format!("--overlay: {error}"))),
        }
    }

    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        self.overlay()?;
        flags::within("--nodes", self.nodes, 2, 10_000)?;
        flags::within("--broadcasts", self.broadcasts as usize, 1, 1_000_000)?;
        flags::within("--payload", self.payload, HEAD_BYTES, 200 << 10)?;
        flags::within("--idle-seconds", self.idle_seconds as usize, 0, 3_600)?;
        self.run.check()
    }
}

/// Flags of `broadcast`.
#[derive(Debug, Args)]
pub(crate) struct BroadcastFlags {
    /// Nodes, each a process with one shard
    #[arg(long, default_value_t = 3, value_name = "COUNT")]
    pub(super) nodes: usize,
    /// Broadcasts, all from the first node, as fast as it takes them
    #[arg(long, default_value_t = 10_000, value_name = "COUNT")]
    pub(super) broadcasts: u32,
    /// Bytes of each
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(super) payload: usize,
    /// plain, causal or epidemic
    #[arg(long, default_value_t = BroadcastKind::Plain, value_name = "KIND")]
    pub(super) kind: BroadcastKind,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

impl BroadcastFlags {
    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        flags::within("--nodes", self.nodes, 2, 200)?;
        flags::within("--broadcasts", self.broadcasts as usize, 1, 10_000_000)?;
        flags::within("--payload", self.payload, HEAD_BYTES, 200 << 10)?;
        self.run.check()?;
        if self.kind == BroadcastKind::Atomic {
            return Err(BenchError::BadInput(
                "--kind: an atomic broadcast waits for all members; take plain, causal or epidemic"
                    .into(),
            ));
        }
        Ok(())
    }

    /// The cluster that they go through.
    pub(super) fn cluster(&self) -> ClusterFlags {
        ClusterFlags {
            payload: self.payload,
            ..ClusterFlags::of(self.nodes, OverlayKind::HyParView, &self.run)
        }
    }
}

/// Flags of `switch`.
#[derive(Debug, Args)]
pub(crate) struct SwitchFlags {
    /// Nodes, each a process with one shard, that send to each other
    #[arg(long, default_value_t = 6, value_name = "COUNT")]
    pub(super) nodes: usize,
    /// How often the overlay is switched; twelve times is each overlay in place of each other
    #[arg(long, default_value_t = 12, value_name = "COUNT")]
    pub(super) switches: u32,
    /// Guaranteed messages per second, of all nodes together
    #[arg(long, default_value_t = 20_000, value_name = "HZ")]
    pub(super) rate: u32,
    /// In how many switches a node is killed in the middle, and started again after it
    #[arg(long, default_value_t = 0, value_name = "COUNT")]
    pub(super) kills: u32,
    /// Who orders switches and who is killed follows from it [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

impl SwitchFlags {
    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        let within =
            |flag, value: u32, least, most| flags::within(flag, value as usize, least, most);
        flags::within("--nodes", self.nodes, 3, 200)?;
        within("--switches", self.switches, 1, 100_000)?;
        within("--rate", self.rate, 1, 10_000_000)?;
        within("--kills", self.kills, 0, 1_000)?;
        within("--kills", self.kills, 0, self.switches as usize)?;
        self.run.check()
    }

    /// The cluster that is switched.
    pub(super) fn cluster(&self) -> ClusterFlags {
        ClusterFlags::of(self.nodes, OverlayKind::FullMesh, &self.run)
    }
}

/// Flags of `auto`.
#[derive(Debug, Args)]
pub(crate) struct AutoFlags {
    /// Nodes at the beginning and at the end, each a process with one shard
    #[arg(long, default_value_t = 5, value_name = "COUNT")]
    pub(super) small: usize,
    /// Nodes in between
    #[arg(long, default_value_t = 25, value_name = "COUNT")]
    pub(super) large: usize,
    /// Guaranteed messages per second, of all nodes together when all run
    #[arg(long, default_value_t = 2_000, value_name = "HZ")]
    pub(super) rate: u32,
    /// How long rules wait after a switch
    #[arg(long, default_value_t = 3, value_name = "SECONDS")]
    pub(super) cooldown_s: u32,
    /// How long each size is held: long enough for rules to switch again if they wanted to
    #[arg(long, default_value_t = 12, value_name = "SECONDS")]
    pub(super) hold_seconds: u32,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

impl AutoFlags {
    /// Refuses what no run could be made of: rules go by a size of 10 and of 20, or by what is given.
    pub(super) fn check(&self) -> Outcome<()> {
        flags::within("--small", self.small, 2, 1_000)?;
        flags::within("--large", self.large, self.small + 1, 1_000)?;
        flags::within("--rate", self.rate as usize, 1, 10_000_000)?;
        flags::within("--cooldown-s", self.cooldown_s as usize, 1, 3_600)?;
        flags::within("--hold-seconds", self.hold_seconds as usize, 0, 3_600)?;
        self.run.check()
    }

    /// The cluster that follows rules: looks each second, full mesh below 10 members, HyParView above 20, unless flags say
    /// otherwise.
    pub(super) fn cluster(&self) -> ClusterFlags {
        let rules = [
            ("topology_mode", "auto".to_owned()),
            ("topology_look_s", "1".to_owned()),
            ("topology_cooldown_s", self.cooldown_s.to_string()),
            ("topology_size_only_mesh_below", "10".to_owned()),
            ("topology_size_only_hyparview_above", "20".to_owned()),
        ];
        let mut run = self.run.clone();
        run.engine.node.splice(0..0, rules);
        ClusterFlags::of(self.large, OverlayKind::FullMesh, &run)
    }
}

/// Flags of `partition`.
#[derive(Debug, Args)]
pub(crate) struct PartitionFlags {
    /// Nodes, one after the other on each host
    #[arg(long, default_value_t = 12, value_name = "COUNT")]
    pub(super) nodes: usize,
    /// Hosts, which are all cut off from each other
    #[arg(long, default_value_t = 2, value_name = "COUNT")]
    pub(super) ways: usize,
    /// Instead of a cut: how much is lost of what the first host sends to the others, and of nothing else
    #[arg(long, value_name = "PERCENT")]
    pub(super) one_way_loss: Option<usize>,
    /// How long they are cut off, at least
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) seconds: u32,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

impl PartitionFlags {
    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        flags::within("--ways", self.ways, 2, HOSTS_MAX)?;
        if let Some(percent) = self.one_way_loss {
            flags::within("--one-way-loss", percent, 1, 100)?;
        }
        flags::within("--nodes", self.nodes, self.ways, 1_000)?;
        flags::within("--seconds", self.seconds as usize, 1, 86_400)?;
        self.run.check()
    }

    /// The cluster that is split.
    pub(super) fn cluster(&self) -> ClusterFlags {
        let overlay = OverlayKind::HyParView;
        ClusterFlags::of(self.nodes, overlay, &self.run)
    }
}

/// Flags of `pause`.
#[derive(Debug, Args)]
pub(crate) struct PauseFlags {
    /// Nodes, each a process with one shard
    #[arg(long, default_value_t = 25, value_name = "COUNT")]
    pub(super) nodes: usize,
    /// How long one of them is stopped, at least
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) seconds: u32,
    /// Messages per second in all, from each node to the next
    #[arg(long, default_value_t = 5_000, value_name = "HZ")]
    rate: usize,
    /// Which node it is follows from it, never the first, which is the seed [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

impl PauseFlags {
    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        flags::within("--nodes", self.nodes, 3, 1_000)?;
        flags::within("--seconds", self.seconds as usize, 1, 86_400)?;
        flags::within("--rate", self.rate, self.nodes, 1_000_000)?;
        self.run.check()
    }

    /// Messages per second of each node.
    pub(super) fn share_hz(&self) -> u32 {
        u32::try_from(self.rate / self.nodes).unwrap_or(u32::MAX)
    }

    /// The cluster, one node of which is stopped.
    pub(super) fn cluster(&self) -> ClusterFlags {
        let overlay = OverlayKind::HyParView;
        ClusterFlags::of(self.nodes, overlay, &self.run)
    }
}

/// Flags of `relay`.
#[derive(Debug, Args)]
pub(crate) struct RelayFlags {
    /// Nodes, each a process with one shard, of which one in fifty, three at least, are servers
    #[arg(long, default_value_t = 50, value_name = "COUNT")]
    pub(super) nodes: usize,
    /// Messages, besides those that go one at a time
    #[arg(long, default_value_t = 100_000, value_name = "COUNT")]
    pub(super) messages: u32,
    /// Bytes of each message
    #[arg(long, default_value_t = 64, value_name = "BYTES")]
    pub(super) payload: usize,
    #[command(flatten)]
    pub(super) run: RunFlags,
}

impl RelayFlags {
    /// Refuses what no run could be made of: three servers and two clients there have to be.
    pub(super) fn check(&self) -> Outcome<()> {
        flags::within("--nodes", self.nodes, 5, 1_000)?;
        flags::within("--messages", self.messages as usize, 1, 100_000_000)?;
        flags::within("--payload", self.payload, HEAD_BYTES, 200 << 10)?;
        self.run.check()
    }

    /// The cluster that relays.
    pub(super) fn cluster(&self) -> ClusterFlags {
        let overlay = OverlayKind::ClientServer;
        ClusterFlags {
            relays: true,
            payload: self.payload,
            ..ClusterFlags::of(self.nodes, overlay, &self.run)
        }
    }
}

/// Flags of `churn`.
#[derive(Debug, Args)]
pub(crate) struct ChurnFlags {
    #[command(flatten)]
    pub(super) cluster: ClusterFlags,
    /// Percent of the nodes that are killed at once, and started again later; never the first, which is the seed
    #[arg(long, default_value_t = 30, value_name = "PERCENT")]
    pub(super) kill: usize,
    /// Which of them follows from it [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    pub(super) seed: Option<u64>,
}

impl ChurnFlags {
    /// Refuses what no run could be made of.
    pub(super) fn check(&self) -> Outcome<()> {
        self.cluster.check()?;
        flags::within("--kill", self.kill, 1, 90)
    }
}
