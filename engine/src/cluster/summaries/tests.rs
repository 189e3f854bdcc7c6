//! Summaries by themselves: what is in one, who has which after how long at what cost, and what nobody takes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use overlane_overlays::Time;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;

use super::counted::COUNT_MAX;
use super::messages::NUMBER_MAX;
use super::summary::{ChannelSummary, OTHERS};
use super::*;
use crate::cluster::identity::NodeId;
use crate::metrics::{ChannelMetrics, Metrics, ShardMetrics};
use crate::shard::tally::new_histogram;

const LIFE: u64 = 7;
const PERIOD: Duration = Duration::from_secs(10);

/// A node that has sent so many messages on each of its channels, to each of two peers.
fn metrics(channels: usize, accepted: u64) -> Metrics {
    let mut metrics = Metrics {
        shards: vec![ShardMetrics::default(); 2],
        ..Metrics::default()
    };
    for channel in 0..channels {
        let name = format!("channel-{channel}");
        for peer in ["a", "b"] {
            metrics.lanes.push(ChannelMetrics {
                peer: peer.to_owned(),
                channel: name.as_str().into(),
                reliable: true,
                accepted,
                acknowledged: accepted,
                bytes_sent: accepted * 1_000,
                ..ChannelMetrics::default()
            });
        }
        metrics.latency_us.insert(name.as_str().into(), latency());
    }
    metrics
}

/// As loopback has it under load: from 30 us to 30 ms, long-tailed.
fn latency() -> Histogram<u32> {
    let mut latency = new_histogram();
    for step in 0..1_000_u64 {
        latency.saturating_record(30 + step * step * step / 33_000);
    }
    latency
}

fn summary_of(metrics: Metrics) -> Summary {
    Summary::of(&Counted {
        metrics,
        processor_s: 3,
        uptime_s: 60,
    })
}

fn total(summaries: &[Summary]) -> ClusterMetrics {
    let members = summaries.iter().enumerate().map(|(number, summary)| {
        let age = Duration::from_secs(number as u64);
        (format!("n{number}"), Some((age, summary.write())))
    });
    ClusterMetrics::of(Held {
        members: members.collect(),
        refused: 0,
    })
}

#[test]
fn sums_maxima_and_latencies_are_those_of_all_members() {
    let summaries: Vec<_> = [10, 1, 100]
        .map(|count| summary_of(metrics(2, count)))
        .into();
    let mut total = total(&summaries);
    assert_eq!((total.members, total.covered()), (3, 3));
    let oldest = total.oldest().expect("three");
    assert_eq!((&*oldest.member, oldest.age_ms), ("n2", 2_000));
    let channel = &total.channels["channel-1"];
    let accepted = &channel.figures["accepted"];
    assert_eq!((accepted.sum, accepted.max), (222, 200));
    assert_eq!((&*accepted.max_at, channel.members), ("n2", 3));
    assert_eq!(channel.latency_us.len(), 3_000);
    let (own, of_all) = (latency(), &channel.latency_us);
    for quantile in [0.5, 0.99, 1.0] {
        let (own, all) = (
            own.value_at_quantile(quantile),
            of_all.value_at_quantile(quantile),
        );
        assert!(all.abs_diff(own) * 15 <= own, "{own} {all}");
    }
    let shards = total.node.remove("shards").expect("all have some");
    assert_eq!((shards.sum, shards.max), (6, 2));
    assert_eq!(total.node["unaccounted"].sum, 0);
}

#[test]
fn what_does_not_fit_is_summed_up_and_nothing_is_lost_in_sums() {
    for channels in [0, 1, 6, 20, 300] {
        let summary = summary_of(metrics(channels, 1 << 50));
        let bytes = summary.write();
        assert!(
            bytes.len() <= SUMMARY_BYTES_MAX,
            "{channels}: {}",
            bytes.len()
        );
        assert_eq!(Summary::read(&bytes).as_ref(), Ok(&summary));
        let others = summary.channels.iter().any(|one| one.channel == OTHERS);
        assert_eq!(others, channels >= 300, "{channels}");
        let total = total(&[summary]);
        let accepted = total.channels.values();
        let accepted: u64 = accepted
            .map(|channel| channel.figures["accepted"].sum)
            .sum();
        assert_eq!(accepted, (2 * channels as u64) << 50, "{channels}");
    }
    let bytes = summary_of(metrics(3, 1_000)).write().len();
    println!("three channels with latencies: {bytes} bytes");
    assert!(bytes < 2_000, "{bytes}");
}

#[test]
fn channels_of_invented_names_are_summed_up() {
    let summaries = (0..40).map(|member| {
        let channel = |number| ChannelSummary {
            channel: format!("invented-{member}-{number}"),
            figures: vec![0, 1],
            latency: Vec::new(),
        };
        Summary {
            node: Vec::new(),
            channels: (0..100).map(channel).collect(),
        }
    });
    let total = total(&summaries.collect::<Vec<_>>());
    assert_eq!((total.covered(), total.channels.len()), (40, 1_025));
    let accepted = total.channels.values();
    let accepted: u64 = accepted
        .map(|channel| channel.figures["accepted"].sum)
        .sum();
    assert_eq!(accepted, 4_000);
}

#[test]
fn the_bytes_of_a_summary_stay_what_they_are() {
    let channel = ChannelSummary {
        channel: "data".to_owned(),
        figures: vec![1, 2],
        latency: vec![(40, 3)],
    };
    let summary = Summary {
        node: vec![2, 300],
        channels: vec![channel],
    };
    let bytes = b"\x02\x02\xac\x02\x01\x04data\x02\x01\x02\x01\x28\x03";
    assert_eq!(summary.write(), bytes[..]);
    assert_eq!(Summary::read(bytes), Ok(summary));
}

#[test]
fn counts_beyond_belief_and_wrong_lengths_are_refused() {
    let good = summary_of(metrics(1, 1));
    let refused = |change: fn(&mut Summary)| {
        let mut bad = good.clone();
        change(&mut bad);
        Summary::read(&bad.write()).is_err()
    };
    assert!(refused(|bad| bad.node[0] = COUNT_MAX + 1));
    assert!(refused(|bad| bad.channels[0].figures[0] = u64::MAX));
    assert!(refused(|bad| bad.node = vec![0; 65]));
    assert!(refused(|bad| bad.channels[0].figures = vec![0; 65]));
    assert!(refused(|bad| bad.channels[0].latency = vec![(1, u64::MAX)]));
    assert!(refused(|bad| bad.channels[0].channel.clear()));
    assert!(refused(|bad| bad.channels[0].channel = "\u{1b}".to_owned()));
    assert!(refused(
        |bad| bad.channels = vec![bad.channels[0].clone(); 300]
    ));
    assert!(Summary::read(&[0; SUMMARY_BYTES_MAX + 1]).is_err());
    let mut longer = good.write().to_vec();
    longer.push(0);
    assert!(Summary::read(&longer).is_err());
    // A later version counts more, an earlier one less.
    let mut later = good.clone();
    later.node.push(5);
    let mut earlier = good;
    earlier.node.truncate(3);
    let total = total(&[later, earlier]);
    assert_eq!((total.covered(), total.node["shards"].sum), (2, 4));
    // Sums of what is believed do not wrap.
    let most = Summary {
        node: vec![COUNT_MAX; NODE_FIGURES.len()],
        channels: Vec::new(),
    };
    assert_eq!(self::total(&vec![most; 20]).node["shards"].sum, u64::MAX);
}

/// Nodes by themselves, without a network: what one says another hears at once.
struct Nodes {
    spreads: BTreeMap<NodeId, Spread>,
    links: BTreeMap<NodeId, Vec<NodeId>>,
    /// Who counts as a live member, everywhere.
    live: BTreeSet<NodeId>,
    random: SmallRng,
    now: Time,
    /// The most bytes that a node was sent in the last period.
    bytes_max: usize,
    heads: usize,
    parts: usize,
}

fn id(number: usize) -> NodeId {
    NodeId::of(&format!("n{number}"))
}

impl Nodes {
    /// So many, each linked to at least `degree` others.
    fn new(seed: u64, count: usize, degree: usize) -> Self {
        println!("seed {seed}");
        let mut random = SmallRng::seed_from_u64(seed);
        let mut links: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for _ in 0..degree.div_ceil(2) {
            // Rings in any order: all are linked, and nobody to all.
            let mut ring: Vec<_> = (0..count).map(id).collect();
            ring.shuffle(&mut random);
            for (place, one) in ring.iter().enumerate() {
                let other = ring[(place + 1) % count];
                if other != *one {
                    links.entry(*one).or_default().insert(other);
                    links.entry(other).or_default().insert(*one);
                }
            }
        }
        let spreads = (0..count).map(|number| (id(number), Spread::new(id(number), LIFE, PERIOD)));
        Self {
            spreads: spreads.collect(),
            links: { links.into_iter() }
                .map(|(one, others)| (one, others.into_iter().collect()))
                .collect(),
            live: (0..count).map(id).collect(),
            random,
            now: Time::ZERO,
            bytes_max: 0,
            heads: 0,
            parts: 0,
        }
    }

    fn period(&mut self) {
        self.now = self.now + PERIOD;
        let (now, live) = (self.now, self.live.clone());
        let life_of = |member: NodeId| live.contains(&member).then_some(LIFE);
        let summary = summary_of(metrics(3, 1_000));
        let mut received: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut order: Vec<_> = self.spreads.keys().copied().collect();
        order.shuffle(&mut self.random);
        for one in order {
            let neighbors = self.links.get(&one).cloned().unwrap_or_default();
            let neighbors: Vec<_> = neighbors
                .into_iter()
                .filter(|other| self.spreads.contains_key(other))
                .collect();
            let spread = self.spreads.get_mut(&one).expect("it is there");
            let round = spread.begin(now, live.len(), life_of, &neighbors, &mut self.random);
            if round == Round::Count {
                assert!(spread.counted(now, &summary));
            }
            for (other, heads) in spread.tell(neighbors, &mut self.random) {
                self.exchange(one, other, heads, &life_of, &mut received);
            }
        }
        self.bytes_max = received.into_values().max().unwrap_or(0);
    }

    /// `one` tells `other`, which asks, and answers.
    fn exchange(
        &mut self,
        one: NodeId,
        other: NodeId,
        heads: Heads,
        life_of: &impl Fn(NodeId) -> Option<u64>,
        received: &mut BTreeMap<NodeId, usize>,
    ) {
        let now = self.now;
        let mut said = vec![(one, other, heads)];
        while let Some((from, to, heads)) = said.pop() {
            self.heads += heads.heads.len();
            *received.entry(to).or_default() += postcard::to_allocvec(&heads).unwrap().len();
            let there = self.spreads.get_mut(&to).expect("it is there");
            let (wants, answer) = there.heard(now, from, &heads, true, life_of);
            said.extend(answer.map(|heads| (to, from, heads)));
            let here = self.spreads.get_mut(&from).expect("it is there");
            for parts in here.wanted(now, to, &wants) {
                self.parts += parts.len();
                *received.entry(to).or_default() += postcard::to_allocvec(&parts).unwrap().len();
                let there = self.spreads.get_mut(&to).expect("it is there");
                there.take(now, from, parts, life_of);
            }
        }
    }

    /// The age of the oldest summary that a node has, and how many live members it has none of; of the node that is worst
    /// off.
    fn worst(&self) -> (Duration, usize) {
        let of = |spread: &Spread| {
            let known = self.live.iter();
            let known = known.map(|member| spread.of(*member, LIFE, self.now));
            let ages: Vec<_> = known.map(|said| said.map(|(age, _)| age)).collect();
            let missing = ages.iter().filter(|age| age.is_none()).count();
            let oldest = ages.into_iter().flatten().max().unwrap_or_default();
            (oldest, missing)
        };
        let all: Vec<_> = self.spreads.values().map(of).collect();
        let oldest = all.iter().map(|(age, _)| *age).max().unwrap_or_default();
        (
            oldest,
            all.iter().map(|(_, missing)| *missing).max().unwrap_or(0),
        )
    }
}

#[test]
fn every_node_soon_has_a_summary_of_every_member_and_none_of_those_that_are_gone() {
    for (seed, count, degree) in [(1, 3, 2), (2, 24, 4), (3, 24, 46), (4, 60, 6)] {
        let mut nodes = Nodes::new(seed, count, degree);
        for _ in 0..12 {
            nodes.period();
        }
        let (oldest, missing) = nodes.worst();
        println!(
            "{count} nodes: {oldest:?} old, {} bytes in a period",
            nodes.bytes_max
        );
        assert_eq!(missing, 0, "{count}");
        assert!(oldest <= 9 * PERIOD, "{count}: {oldest:?}");
        nodes.live.remove(&id(0));
        nodes.spreads.remove(&id(0));
        nodes.period();
        for spread in nodes.spreads.values() {
            assert!(spread.of(id(0), LIFE, nodes.now).is_none());
        }
    }
}

#[test]
fn a_summary_goes_once_to_each_node_however_many_neighbors_have_it() {
    let mut nodes = Nodes::new(5, 40, 38);
    for _ in 0..20 {
        nodes.period();
    }
    // In each of 20 periods each of 40 nodes makes one, which 39 want once.
    assert!(nodes.parts <= 20 * 40 * 39, "{} parts", nodes.parts);
    assert!(nodes.parts >= 3 * 40 * 39, "{} parts", nodes.parts);
}

/// Runs until nothing is left of how it began; the age of the oldest summary since then, and the most bytes to a node in a
/// period.
fn settled(count: usize, begin: usize, periods: usize) -> (Duration, usize) {
    let mut nodes = Nodes::new(6, count, 6);
    let (mut bytes, mut worst) = (0, Duration::ZERO);
    for period in 0..begin + periods {
        nodes.period();
        if period >= begin {
            let (oldest, missing) = nodes.worst();
            assert_eq!(missing, 0, "in period {period}");
            bytes = bytes.max(nodes.bytes_max);
            worst = worst.max(oldest);
        }
    }
    println!(
        "{count} nodes: the oldest of all {worst:?}, at most {bytes} bytes to a node in a period"
    );
    (worst, bytes)
}

#[test]
fn with_many_members_a_period_brings_no_more_and_each_node_has_all() {
    let (few, bytes_of_few) = settled(64, 10, 4);
    let (many, bytes_of_many) = settled(300, 25, 10);
    assert!(few <= 9 * PERIOD && many <= 25 * PERIOD, "{few:?} {many:?}");
    assert!(
        bytes_of_many <= 2 * bytes_of_few,
        "{bytes_of_few} {bytes_of_many}"
    );
    assert!(bytes_of_many <= 256 << 10, "{bytes_of_many}");
}

/// A node that knows `n1` to `n3`, and hears of all that a hostile neighbor `n1` likes.
fn victim() -> (Spread, impl Fn(NodeId) -> Option<u64>) {
    let mut victim = Spread::new(id(0), LIFE, PERIOD);
    let mut random = SmallRng::seed_from_u64(9);
    let life_of = |member: NodeId| (0..4).map(id).any(|live| live == member).then_some(LIFE);
    let neighbors = [id(1), id(2)];
    victim.begin(Time::ZERO, 4, life_of, &neighbors, &mut random);
    victim.counted(Time::ZERO, &summary_of(metrics(1, 1)));
    (victim, life_of)
}

fn head(member: NodeId, life: u64, number: u64) -> Head {
    let version = Version { life, number };
    Head { member, version }
}

fn heads(heads: Vec<Head>) -> Heads {
    let is_answer = false;
    Heads { is_answer, heads }
}

fn part(head: Head, summary: Bytes) -> Part {
    let age_ms = 5;
    Part {
        head,
        age_ms,
        summary,
    }
}

#[test]
fn strangers_other_lives_and_what_nobody_asked_for_are_let_go() {
    let (mut victim, life_of) = victim();
    let good = summary_of(metrics(1, 1)).write();
    let now = Time::from_micros(1_000_000);
    let told = heads(vec![
        head(id(9), LIFE, 1),
        head(id(2), LIFE - 1, 1),
        head(id(2), LIFE + 1, 1),
        head(id(3), LIFE, 4),
    ]);
    let (wants, answer) = victim.heard(now, id(1), &told, true, &life_of);
    assert_eq!(wants, vec![id(3)]);
    assert!(answer.is_some(), "its own is news there");
    // Not asked for, of a stranger, and no summary.
    for (head, bytes) in [
        (head(id(2), LIFE, 1), good.clone()),
        (head(id(9), LIFE, 1), good.clone()),
        (head(id(3), LIFE, 4), Bytes::from_static(&[1, 2, 3])),
    ] {
        let before = victim.refused();
        victim.take(now, id(1), vec![part(head, bytes)], &life_of);
        assert_eq!(victim.refused(), before + 1, "{head:?}");
    }
    // Older than what was asked for meanwhile, of this life and the one before.
    let before = victim.refused();
    let late = [head(id(3), LIFE, 3), head(id(3), LIFE - 1, 9)];
    let late = late.map(|head| part(head, good.clone()));
    victim.take(now, id(1), late.to_vec(), &life_of);
    assert_eq!(victim.refused(), before);
    assert!((1..10).all(|number| victim.of(id(number), LIFE, now).is_none()));
    victim.take(
        now,
        id(1),
        vec![part(head(id(3), LIFE, 4), good.clone())],
        &life_of,
    );
    let (age, held) = victim.of(id(3), LIFE, now).expect("it was asked for");
    assert_eq!((age, held), (Duration::from_millis(5), good));
    assert!(victim.of(id(3), LIFE + 1, now).is_none(), "of another life");
    let (wants, _) = victim.heard(
        now,
        id(2),
        &heads(vec![head(id(3), LIFE, 4)]),
        true,
        &life_of,
    );
    assert_eq!(wants, Vec::new(), "it has that");
}

#[test]
fn a_summary_that_does_not_come_is_asked_of_another_neighbor_later() {
    let (mut victim, life_of) = victim();
    let told = heads(vec![head(id(3), LIFE, 4)]);
    let mut asked = |seconds: u64, from| {
        let now = Time::from_micros(seconds * 1_000_000);
        let (wants, _) = victim.heard(now, from, &told, true, &life_of);
        wants.len()
    };
    assert_eq!(
        (asked(1, id(1)), asked(2, id(2)), asked(3, id(1))),
        (1, 0, 0)
    );
    assert_eq!((asked(4, id(2)), asked(5, id(1))), (1, 0));
}

#[test]
fn a_forged_number_of_its_own_is_outrun() {
    let (mut victim, life_of) = victim();
    let told = heads(vec![
        head(id(0), LIFE, 1_000),
        head(id(0), LIFE + 1, NUMBER_MAX),
    ]);
    let (wants, _) = victim.heard(Time::ZERO, id(1), &told, true, &life_of);
    assert_eq!(wants, Vec::new());
    let mut random = SmallRng::seed_from_u64(1);
    let round = victim.begin(Time::ZERO + PERIOD, 4, life_of, &[id(2)], &mut random);
    assert_eq!(round, Round::Count);
    assert!(victim.counted(Time::ZERO + PERIOD, &summary_of(metrics(1, 2))));
    let told = victim.tell(vec![id(2)], &mut random);
    assert_eq!(told[0].1.heads, vec![head(id(0), LIFE, 1_001)]);
}

#[test]
fn who_asks_for_all_again_and_again_gets_so_much_in_a_period() {
    let (mut victim, life_of) = victim();
    let large = summary_of(metrics(300, 1 << 50)).write();
    assert!(large.len() > SUMMARY_BYTES_MAX / 2);
    victim.heard(
        Time::ZERO,
        id(1),
        &heads(vec![head(id(3), LIFE, 1)]),
        true,
        &life_of,
    );
    victim.take(
        Time::ZERO,
        id(1),
        vec![part(head(id(3), LIFE, 1), large)],
        &life_of,
    );
    let mut bytes = 0;
    for _ in 0..1_000 {
        for parts in victim.wanted(Time::ZERO, id(2), &[id(3); IDS_MAX]) {
            let encoded = postcard::to_allocvec(&parts).unwrap().len();
            assert!(encoded <= Part::ALL_BYTES_MAX);
            bytes += encoded;
        }
    }
    assert!((128 << 10..=256 << 10).contains(&bytes), "{bytes} bytes");
    let (mut random, neighbors) = (SmallRng::seed_from_u64(1), [id(2)]);
    victim.begin(Time::ZERO + PERIOD, 4, life_of, &neighbors, &mut random);
    assert!(
        !victim
            .wanted(Time::ZERO + PERIOD, id(2), &[id(3)])
            .is_empty()
    );
}

#[test]
fn a_node_that_is_to_say_nothing_makes_and_asks_for_none() {
    let mut quiet = Spread::new(id(0), LIFE, Duration::ZERO);
    let life_of = |_: NodeId| Some(LIFE);
    let mut random = SmallRng::seed_from_u64(1);
    let round = quiet.begin(Time::ZERO, 2, life_of, &[id(1)], &mut random);
    assert_eq!(round, Round::Off);
    assert!(!quiet.counted(Time::ZERO, &Summary::default()));
    let (wants, answer) = quiet.heard(
        Time::ZERO,
        id(1),
        &heads(vec![head(id(1), LIFE, 1)]),
        true,
        life_of,
    );
    assert_eq!((wants, answer), (Vec::new(), None));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        fuzz_summary(&bytes);
    }
}
