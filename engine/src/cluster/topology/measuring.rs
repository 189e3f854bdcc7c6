//! Measuring: what a node notes of itself and of its peers between two looks.
//!
//! A state machine without I/O: pings go out and come back through the driver, counts of shards are handed in. All
//! that it keeps is bounded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use overlane_overlays::Time;
use rand::Rng;
use rand::RngExt;
use rand::seq::IteratorRandom;

use super::measurements::{Measurements, PeerRtt, Report, at_percent};
use crate::cluster::identity::NodeId;
use crate::config::TopologyConfig;

/// Round trips kept of one peer.
const WINDOW: usize = 16;
/// Peers of which they are kept: as many as can be pinged in one look.
const PEERS_MAX: usize = 256;
/// Lanes lost that are counted in one minute, at most.
const LOSSES_MAX: usize = 1_024;
/// Partitions that are counted in one hour, at most.
const PARTITIONS_MAX: usize = 64;
/// Broadcasts whose hops are kept.
const HOPS_MAX: usize = 256;
/// Gauges of the application, at most.
pub(in crate::cluster) const GAUGES_MAX: usize = 64;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// What shards and the kernel count, at one moment.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Readings {
    /// Processor time of the process.
    pub(in crate::cluster) processor: Duration,
    /// Bytes sent and received on lanes.
    pub(in crate::cluster) bytes: u64,
    /// Bytes that wait to be sent.
    pub(in crate::cluster) queue_bytes: u64,
    /// See [`Measurements::message_p99_us`].
    pub(in crate::cluster) message_p99_us: Option<u64>,
}

/// What the driver knows of the cluster.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Facts {
    pub(in crate::cluster) members: usize,
    pub(in crate::cluster) suspects: usize,
    pub(in crate::cluster) lanes: usize,
    /// Lanes that the overlay wants, and those of them that are up.
    pub(in crate::cluster) wanted: usize,
    pub(in crate::cluster) wanted_up: usize,
}

/// See the module's text.
#[derive(Debug, Default)]
pub(super) struct Measuring {
    /// Pings of this look that are not answered, by their number.
    asked: BTreeMap<u64, (NodeId, Time)>,
    rtt: BTreeMap<NodeId, VecDeque<u64>>,
    /// What each peer that still has a lane told last.
    reports: BTreeMap<NodeId, Report>,
    losses: VecDeque<Time>,
    partitions: VecDeque<Time>,
    is_partitioned: bool,
    hops: VecDeque<u64>,
    /// The last readings, and when.
    readings: Option<(Time, Readings)>,
    cpu_percent: Option<u64>,
    bytes_per_second: Option<u64>,
    gauges: BTreeMap<String, u64>,
}

impl Measuring {
    /// Whom to ping in this look, and the number of each ping: a sample of the peers that there is a lane to.
    pub(super) fn begin<R: Rng>(
        &mut self,
        now: Time,
        lanes: &BTreeSet<NodeId>,
        most: usize,
        random: &mut R,
    ) -> Vec<(NodeId, u64)> {
        self.asked.clear();
        self.reports.retain(|peer, _| lanes.contains(peer));
        self.rtt.retain(|peer, _| lanes.contains(peer));
        let sample = lanes.iter().copied().sample(random, most.min(PEERS_MAX));
        let pings: Vec<_> = sample
            .into_iter()
            .map(|peer| (peer, random.random()))
            .collect();
        let asked = pings.iter().map(|(peer, number)| (*number, (*peer, now)));
        self.asked.extend(asked);
        pings
    }

    /// A ping was answered.
    pub(super) fn answered(&mut self, now: Time, from: NodeId, number: u64, report: Report) {
        let Some((peer, at)) = self.asked.get(&number).copied() else {
            return;
        };
        if peer != from {
            return;
        }
        self.asked.remove(&number);
        if self.reports.len() >= PEERS_MAX && !self.reports.contains_key(&from) {
            self.reports.pop_first();
        }
        self.reports.insert(from, report);
        if self.rtt.len() >= PEERS_MAX && !self.rtt.contains_key(&from) {
            self.rtt.pop_first();
        }
        let micros = u64::try_from(now.since(at).as_micros()).unwrap_or(u64::MAX);
        keep(self.rtt.entry(from).or_default(), micros, WINDOW);
    }

    /// A lane that was up was lost.
    pub(super) fn lane_lost(&mut self, now: Time) {
        keep(&mut self.losses, now, LOSSES_MAX);
    }

    pub(super) fn partitioned(&mut self, now: Time) {
        self.is_partitioned = true;
        keep(&mut self.partitions, now, PARTITIONS_MAX);
    }

    pub(super) const fn healed(&mut self) {
        self.is_partitioned = false;
    }

    /// A broadcast came over so many hops.
    pub(super) fn broadcast(&mut self, hops: u64) {
        keep(&mut self.hops, hops, HOPS_MAX);
    }

    /// Sets a gauge. False if there are as many as may be.
    pub(super) fn set_gauge(&mut self, name: String, value: u64) -> bool {
        let has_room = self.gauges.len() < GAUGES_MAX || self.gauges.contains_key(&name);
        if has_room {
            self.gauges.insert(name, value);
        }
        has_room
    }

    /// Takes what shards count now.
    pub(super) fn read(&mut self, now: Time, readings: Readings) {
        if let Some((at, before)) = &self.readings {
            let micros = now.since(*at).as_micros();
            let per = |difference: u128, scale: u128| {
                let share = (difference * scale).checked_div(micros)?;
                u64::try_from(share).ok()
            };
            let worked = readings.processor.saturating_sub(before.processor);
            self.cpu_percent = per(worked.as_micros(), 100);
            let moved = readings.bytes.saturating_sub(before.bytes);
            self.bytes_per_second = per(moved.into(), 1_000_000);
        }
        self.readings = Some((now, readings));
    }

    /// What this node tells of itself.
    pub(super) fn report(&self, now: Time, facts: &Facts) -> Report {
        let share = |part: usize, whole: usize| {
            let percent = (part * 100).checked_div(whole)?;
            u64::try_from(percent).ok()
        };
        let lanes = share(facts.wanted_up, facts.wanted);
        let answer = share(facts.members.saturating_sub(facts.suspects), facts.members);
        let losses = self.losses.iter().filter(|at| now.since(**at) < MINUTE);
        Report {
            rtt_p99_us: at_percent(self.rtt.values().flatten().copied().collect(), 99),
            connectivity_percent: lanes.into_iter().chain(answer).min(),
            lane_losses: Some(count(losses.count())),
            cpu_percent: self.cpu_percent,
            bytes_per_second: self.bytes_per_second,
        }
    }

    /// All that is known now.
    pub(super) fn measurements(
        &self,
        now: Time,
        facts: &Facts,
        rules: &TopologyConfig,
        name: impl Fn(NodeId) -> String,
    ) -> Measurements {
        let own = self.report(now, facts);
        let all: Vec<_> = self.reports.values().copied().chain([own]).collect();
        let median =
            |of: fn(&Report) -> Option<u64>| at_percent(all.iter().filter_map(of).collect(), 50);
        let bytes_per_second = median(|report| report.bytes_per_second);
        let bandwidth_percent = bytes_per_second
            .and_then(|bytes| bytes.saturating_mul(100).checked_div(rules.link_bytes));
        let partitions = self.partitions.iter().filter(|at| now.since(**at) < HOUR);
        let readings = self.readings.as_ref().map(|(_, readings)| readings);
        Measurements {
            members: count(facts.members),
            suspects: count(facts.suspects),
            lanes: count(facts.lanes),
            lanes_wanted: count(facts.wanted),
            connectivity_percent: median(|report| report.connectivity_percent),
            rtt_p99_us: median(|report| report.rtt_p99_us),
            message_p99_us: readings.and_then(|readings| readings.message_p99_us),
            lane_losses: median(|report| report.lane_losses),
            partitions: count(partitions.count()),
            is_partitioned: self.is_partitioned,
            cpu_percent: median(|report| report.cpu_percent),
            bytes_per_second,
            bandwidth_percent,
            queue_bytes: readings.map(|readings| readings.queue_bytes),
            hops_p99: at_percent(self.hops.iter().copied().collect(), 99),
            reporters: count(all.len()),
            gauges: self.gauges.clone(),
            peers: self.peers(name),
        }
    }

    fn peers(&self, name: impl Fn(NodeId) -> String) -> Vec<PeerRtt> {
        let peers = self.rtt.iter().filter_map(|(peer, window)| {
            let at = |percent| at_percent(window.iter().copied().collect(), percent);
            Some(PeerRtt {
                peer: name(*peer),
                answered: count(window.len()),
                p50_us: at(50)?,
                p99_us: at(99)?,
            })
        });
        peers.collect()
    }
}

/// Keeps the newest.
fn keep<T>(values: &mut VecDeque<T>, value: T, most: usize) {
    if values.len() >= most {
        values.pop_front();
    }
    values.push_back(value);
}

fn count(things: usize) -> u64 {
    u64::try_from(things).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    const fn at(seconds: u64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn answers_are_taken_once_from_whom_they_were_asked_and_all_is_bounded() {
        let mut random = SmallRng::seed_from_u64(1);
        let lanes: BTreeSet<_> = (0..1_000).map(|n| NodeId::of(&format!("n{n}"))).collect();
        let mut measuring = Measuring::default();
        for look in 0..40 {
            let pings = measuring.begin(at(look), &lanes, 10_000, &mut random);
            assert_eq!(pings.len(), PEERS_MAX);
            let (peer, number) = pings[0];
            let (other, known) = (pings[1].0, measuring.reports.len());
            measuring.answered(at(look + 1), other, number, Report::default());
            assert_eq!(measuring.reports.len(), known, "of another node");
            for (peer, number) in pings {
                measuring.answered(at(look + 1), peer, number, Report::default());
            }
            measuring.answered(at(look + 9), peer, number, Report::default());
            measuring.lane_lost(at(look));
        }
        assert!(measuring.rtt.len() <= PEERS_MAX);
        assert!(measuring.rtt.values().all(|window| window.len() <= WINDOW));
        let facts = Facts::default();
        let found = measuring.measurements(at(99), &facts, &TopologyConfig::default(), |_| {
            String::new()
        });
        assert_eq!(found.rtt_p99_us, Some(1_000_000));
        assert_eq!(found.reporters, 1 + count(PEERS_MAX));
        assert!((0..100).all(|n| measuring.set_gauge(n.to_string(), n) == (n < 64)));
    }

    #[test]
    fn one_slow_reporter_of_three_does_not_count() {
        let mut random = SmallRng::seed_from_u64(1);
        let lanes: BTreeSet<_> = ["a", "b"].map(NodeId::of).into();
        let mut measuring = Measuring::default();
        measuring.read(at(0), Readings::default());
        let processor = Duration::from_secs(1);
        let bytes = 1_000;
        measuring.read(
            at(10),
            Readings {
                processor,
                bytes,
                ..Readings::default()
            },
        );
        for (peer, number) in measuring.begin(at(10), &lanes, 16, &mut random) {
            let cpu = if peer == NodeId::of("a") { 400 } else { 20 };
            let report = Report {
                cpu_percent: Some(cpu),
                ..Report::default()
            };
            measuring.answered(at(10), peer, number, report);
        }
        let rules = TopologyConfig {
            link_bytes: 200,
            ..TopologyConfig::default()
        };
        let found = measuring.measurements(at(10), &Facts::default(), &rules, |_| String::new());
        assert_eq!((found.cpu_percent, found.reporters), (Some(20), 3));
        assert_eq!(
            (found.bytes_per_second, found.bandwidth_percent),
            (Some(100), Some(50))
        );
    }
}
