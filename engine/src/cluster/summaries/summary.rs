//! What one node says of itself: its figures, and those of its channels with their latencies. Bounded in bytes.
//!
//! Made of the node's counters, written once, and read by every node that adds up; what passes it on looks at nothing
//! but whether it can be read. Channels that do not fit are summed up in one.

use std::collections::BTreeMap;

use bytes::Bytes;
use overlane_overlays::DecodeError;
use overlane_overlays::message::at_most;
use serde::{Deserialize, Serialize};

use super::counted::{COUNT_MAX, Counted};
use super::figures::{CHANNEL_FIGURES, FIGURES_MAX, NODE_FIGURES};
use super::latency::{STEPS_MAX, Steps, check, steps_of};
use crate::metrics::{ChannelMetrics, Metrics};
use crate::wire::name::check_name;

/// The most bytes of what a node says of itself: half a dozen channels with their latencies.
pub const SUMMARY_BYTES_MAX: usize = 4 << 10;

/// Where channels are summed up that do not fit.
pub(super) const OTHERS: &str = "overlane.others";

/// The most channels: each takes more than 16 bytes.
const CHANNELS_MAX: usize = SUMMARY_BYTES_MAX / 16;

/// See the module's text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::cluster) struct Summary {
    /// In the order of [`NODE_FIGURES`].
    pub(super) node: Vec<u64>,
    pub(super) channels: Vec<ChannelSummary>,
}

/// One channel of a node, with all peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ChannelSummary {
    pub(super) channel: String,
    /// In the order of [`CHANNEL_FIGURES`].
    pub(super) figures: Vec<u64>,
    /// Empty if nothing was acknowledged, or there was no room for it.
    pub(super) latency: Steps,
}

impl Summary {
    /// Of what a node counts, within [`SUMMARY_BYTES_MAX`] bytes: channels with the most messages first, those that do not
    /// fit summed up; then latencies, as many as fit.
    pub(in crate::cluster) fn of(counted: &Counted) -> Self {
        let node = NODE_FIGURES.iter().map(|figure| (figure.get)(counted));
        let mut summary = Self {
            node: node.map(|count| count.min(COUNT_MAX)).collect(),
            channels: Vec::new(),
        };
        let mut others = ChannelSummary::new(OTHERS, vec![COUNT_MAX; CHANNEL_FIGURES.len()]);
        let taken = encoded_bytes(&summary) + encoded_bytes(&others) + COUNT_BYTES_MAX;
        let mut room = SUMMARY_BYTES_MAX.saturating_sub(taken);
        others.figures.fill(0);
        for channel in channels_of(&counted.metrics) {
            if let Some(left) = room.checked_sub(encoded_bytes(&channel)) {
                room = left;
                summary.channels.push(channel);
            } else {
                others.add(&channel);
            }
        }
        for channel in &mut summary.channels {
            let latency = counted.metrics.latency_us.get(&*channel.channel);
            let latency = latency.map(steps_of).unwrap_or_default();
            if let Some(left) = room.checked_sub(encoded_bytes(&latency)) {
                room = left;
                channel.latency = latency;
            }
        }
        if others.figures.iter().any(|count| *count > 0) {
            summary.channels.push(others);
        }
        summary
    }

    pub(in crate::cluster) fn write(&self) -> Bytes {
        let bytes = postcard::to_allocvec(self).expect("lists of names and numbers can be encoded");
        bytes.into()
    }

    /// # Errors
    /// [`DecodeError`] says what is wrong with it. Its length is looked at before anything is allocated.
    pub(in crate::cluster) fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > SUMMARY_BYTES_MAX {
            return Err(DecodeError::TooLong {
                bytes: bytes.len(),
                bytes_max: SUMMARY_BYTES_MAX,
            });
        }
        let Ok((summary, [])) = postcard::take_from_bytes::<Self>(bytes) else {
            return Err(DecodeError::Malformed);
        };
        check_figures(&summary.node)?;
        at_most(&summary.channels, CHANNELS_MAX, "channels")?;
        summary
            .channels
            .iter()
            .try_for_each(ChannelSummary::check)?;
        Ok(summary)
    }
}

/// Of a count of channels: their number is written before them.
const COUNT_BYTES_MAX: usize = 2;

impl ChannelSummary {
    fn new(channel: &str, figures: Vec<u64>) -> Self {
        Self {
            channel: channel.to_owned(),
            figures,
            latency: Vec::new(),
        }
    }

    /// The figures of another one besides.
    fn add(&mut self, other: &Self) {
        for (own, more) in self.figures.iter_mut().zip(&other.figures) {
            *own = own.saturating_add(*more).min(COUNT_MAX);
        }
    }

    fn messages(&self, of: &[&str]) -> u64 {
        let figures = CHANNEL_FIGURES.iter().zip(&self.figures);
        let wanted = figures.filter(|(figure, _)| of.contains(&figure.name));
        wanted.map(|(_, count)| *count).sum()
    }

    fn check(&self) -> Result<(), DecodeError> {
        check_name(&self.channel).map_err(|_| DecodeError::Invalid { field: "channel" })?;
        check_figures(&self.figures)?;
        at_most(&self.latency, STEPS_MAX, "latency")?;
        check(&self.latency)
    }
}

fn encoded_bytes(value: &impl Serialize) -> usize {
    postcard::experimental::serialized_size(value).unwrap_or(usize::MAX)
}

fn check_figures(figures: &[u64]) -> Result<(), DecodeError> {
    let is_believed = figures.iter().all(|count| *count <= COUNT_MAX);
    if figures.len() <= FIGURES_MAX && is_believed {
        Ok(())
    } else {
        Err(DecodeError::Invalid { field: "figures" })
    }
}

/// Those that were used, over all peers, present and gone; those with the most messages first.
fn channels_of(metrics: &Metrics) -> Vec<ChannelSummary> {
    let all = [&metrics.lanes, &metrics.departed, &metrics.removed];
    let mut channels: BTreeMap<&str, ChannelSummary> = BTreeMap::new();
    for one in all.into_iter().flatten() {
        let figures = CHANNEL_FIGURES
            .iter()
            .map(|figure| figure_of(figure.get, one));
        let summary = ChannelSummary::new(&one.channel, figures.collect());
        match channels.get_mut(&*one.channel) {
            Some(before) => before.add(&summary),
            None => drop(channels.insert(&one.channel, summary)),
        }
    }
    let mut channels: Vec<_> = channels.into_values().collect();
    channels.retain(|channel| channel.figures.iter().any(|count| *count > 0));
    channels.sort_by_key(|channel| {
        std::cmp::Reverse(channel.messages(&["accepted", "delivered", "receive_dropped"]))
    });
    channels
}

fn figure_of(get: fn(&ChannelMetrics) -> u64, of: &ChannelMetrics) -> u64 {
    get(of).min(COUNT_MAX)
}
