//! What applications order and ask of the topology, and how they are answered.

use crossbeam_channel::{Receiver, Sender};

use super::analysis::Analysis;
use super::error::TopologyError;
use super::history::SwitchRecord;
use crate::cluster::outcome::SwitchOutcome;
use crate::config::TopologyConfig;

/// Why a switch was not even ordered, or that it was not needed.
pub(in crate::cluster) type SwitchBegun = Result<Option<Receiver<SwitchOutcome>>, TopologyError>;

/// What an application wants of the topology.
#[derive(Debug)]
pub(in crate::cluster) enum TopologyOrder {
    Analyze(Sender<Analysis>),
    History(Sender<Vec<SwitchRecord>>),
    Rules(Sender<TopologyConfig>),
    SetRules(Box<TopologyConfig>, Sender<Result<(), TopologyError>>),
    SetGauge(String, u64, Sender<bool>),
    /// Choose a workload and switch to its overlay; none: no workload any more.
    Workload(Option<String>, Sender<SwitchBegun>),
    /// Do what the first rule that holds says.
    FollowRules(Sender<SwitchBegun>),
}
