//! One of all: the summaries of a cluster's members added up.
//!
//! Made on the thread of whoever asks, of what the control shard hands out without looking into it.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::figures::{CHANNEL_FIGURES, NODE_FIGURES};
use super::latency::{coarse, merge};
use super::summary::{ChannelSummary, OTHERS, SUMMARY_BYTES_MAX, Summary};

/// The most channels that are told apart, at some KiB each: what of others there is more is summed up.
const CHANNELS_MAX: usize = 1_024;

/// What the members of a cluster count, added up by one of them from what each said of itself last: some periods
/// (`summaries_period_ms`) ago, the ages say how long.
///
/// A member that leaves takes its counts along, so sums can get smaller.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ClusterMetrics {
    /// Live members, this node among them.
    pub members: usize,
    /// Live members of which nothing is known yet, by name. All others are in the sums.
    pub missing: Vec<String>,
    /// Of those that are in the sums, how old what they said is; the oldest first.
    pub ages: Vec<SummaryAge>,
    /// Summaries that this node could not read, or had not asked for.
    pub refused: u64,
    /// Figures of nodes, by name.
    pub node: BTreeMap<&'static str, FigureTotal>,
    /// By channel, 1,024 at most. What did not fit, into these or into summaries, is in the channel `overlane.others`.
    pub channels: BTreeMap<String, ChannelTotal>,
}

/// How old what a member said is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryAge {
    /// The member.
    pub member: String,
    /// Since it said so, but for the time on the way.
    pub age_ms: u64,
}

/// One figure of all members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FigureTotal {
    /// Of all together.
    pub sum: u64,
    /// Of the one with the most.
    pub max: u64,
    /// That one; empty if nobody has any.
    pub max_at: String,
}

/// One channel of all members.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChannelTotal {
    /// Members that say something of it.
    pub members: usize,
    /// Its figures, by name.
    pub figures: BTreeMap<&'static str, FigureTotal>,
    /// The time from hand-over to the kernel to the acknowledgement, in microseconds, of all members.
    pub latency_us: Histogram<u64>,
}

/// The live members, each with what it said last and how long ago.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Held {
    pub(in crate::cluster) members: Vec<(String, Option<(Duration, Bytes)>)>,
    pub(in crate::cluster) refused: u64,
}

impl ClusterMetrics {
    /// How many members are in the sums.
    #[must_use]
    pub fn covered(&self) -> usize {
        self.ages.len()
    }

    /// Whose part is the oldest.
    #[must_use]
    pub fn oldest(&self) -> Option<&SummaryAge> {
        self.ages.first()
    }

    pub(in crate::cluster) fn of(held: Held) -> Self {
        let mut total = Self {
            members: held.members.len(),
            refused: held.refused,
            ..Self::default()
        };
        for (member, said) in held.members {
            let read = said.map(|(age, summary)| (age, Summary::read(&summary)));
            if let Some((age, Ok(summary))) = read {
                total.add(&member, &summary);
                let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                total.ages.push(SummaryAge { member, age_ms });
            } else {
                total.missing.push(member);
            }
        }
        total.missing.sort_unstable();
        total
            .ages
            .sort_by_key(|age| (std::cmp::Reverse(age.age_ms), age.member.clone()));
        total
    }

    fn add(&mut self, member: &str, summary: &Summary) {
        let names = NODE_FIGURES.iter().map(|figure| figure.name);
        add_figures(&mut self.node, names, &summary.node, member);
        for channel in &summary.channels {
            let name = channel.channel.as_str();
            let has_room = self.channels.len() < CHANNELS_MAX || self.channels.contains_key(name);
            let name = if has_room { name } else { OTHERS };
            let total = self.channels.entry(name.to_owned());
            total.or_insert_with(ChannelTotal::new).add(member, channel);
        }
    }
}

impl ChannelTotal {
    fn new() -> Self {
        Self {
            members: 0,
            figures: BTreeMap::new(),
            latency_us: coarse(),
        }
    }

    fn add(&mut self, member: &str, channel: &ChannelSummary) {
        self.members += 1;
        let names = CHANNEL_FIGURES.iter().map(|figure| figure.name);
        add_figures(&mut self.figures, names, &channel.figures, member);
        merge(&channel.latency, &mut self.latency_us);
    }
}

/// What an older node does not count is nothing; what a newer one counts besides is not looked at.
fn add_figures(
    totals: &mut BTreeMap<&'static str, FigureTotal>,
    names: impl Iterator<Item = &'static str>,
    counts: &[u64],
    member: &str,
) {
    for (place, name) in names.enumerate() {
        let count = counts.get(place).copied().unwrap_or(0);
        let total = totals.entry(name).or_default();
        total.sum = total.sum.saturating_add(count);
        if count > total.max {
            total.max = count;
            member.clone_into(&mut total.max_at);
        }
    }
}

/// Reads arbitrary bytes as a summary: it must not panic, what is accepted is within its bounds, can be written and read
/// again, and added up.
#[doc(hidden)]
pub fn fuzz_summary(bytes: &[u8]) {
    let Ok(summary) = Summary::read(bytes) else {
        return;
    };
    assert!(bytes.len() <= SUMMARY_BYTES_MAX);
    let again = Summary::read(&summary.write());
    assert_eq!(again.as_ref(), Ok(&summary));
    let said = Some((Duration::ZERO, Bytes::copy_from_slice(bytes)));
    let members = (0..20).map(|number| (number.to_string(), said.clone()));
    let total = ClusterMetrics::of(Held {
        members: members.collect(),
        refused: 0,
    });
    assert_eq!((total.covered(), total.missing.len()), (20, 0));
}
