//! What the members of a cluster count, added up, as the admin protocol has it.
//!
//! Made of [`ClusterMetrics`] by the desk, rendered by commands. Adds nothing up itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metrics_report::LatencyReport;
use crate::cluster::{ChannelTotal, ClusterMetrics, FigureTotal, SummaryAge};

/// The members of a cluster, added up by one of them; [`ClusterMetrics`] says what each means.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClusterMetricsReport {
    /// Live members.
    pub members: usize,
    /// Of those, how many are in the sums.
    pub covered: usize,
    /// Those that are not.
    pub missing: Vec<String>,
    /// Whose part of the sums is the oldest.
    pub oldest: Option<SummaryAge>,
    /// How old each part is; the oldest first.
    pub ages: Vec<SummaryAge>,
    /// Summaries that the node that answers refused.
    pub refused: u64,
    /// Figures of nodes, by name.
    pub node: BTreeMap<String, FigureTotal>,
    /// Channels, by name.
    pub channels: BTreeMap<String, ChannelTotalReport>,
}

/// One channel of all members.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ChannelTotalReport {
    /// Members that say something of it.
    pub members: usize,
    /// Its figures, by name: those of [`ChannelMetrics`](crate::ChannelMetrics), over all peers.
    pub figures: BTreeMap<String, FigureTotal>,
    /// From hand-over to the kernel to the acknowledgement, if anything was acknowledged.
    pub latency: Option<LatencyReport>,
}

impl From<ClusterMetrics> for ClusterMetricsReport {
    fn from(total: ClusterMetrics) -> Self {
        let channels = { total.channels.iter() }
            .map(|(name, channel)| (name.clone(), ChannelTotalReport::of(channel)));
        Self {
            members: total.members,
            covered: total.covered(),
            oldest: total.oldest().cloned(),
            refused: total.refused,
            node: named(&total.node),
            channels: channels.collect(),
            missing: total.missing,
            ages: total.ages,
        }
    }
}

impl ChannelTotalReport {
    fn of(total: &ChannelTotal) -> Self {
        let latency = &total.latency_us;
        Self {
            members: total.members,
            figures: named(&total.figures),
            latency: (!latency.is_empty()).then(|| LatencyReport::of(latency)),
        }
    }
}

fn named(figures: &BTreeMap<&'static str, FigureTotal>) -> BTreeMap<String, FigureTotal> {
    let figures = figures.iter();
    figures
        .map(|(name, total)| ((*name).to_owned(), total.clone()))
        .collect()
}
