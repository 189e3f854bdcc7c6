//! Partition detection: tells when a good part of the cluster was lost at once, and when it is back.
//!
//! A layer above [`crate::membership`]. Members die one by one; where a share of those that were
//! agreed on goes down within a window, a network has split rather than so many nodes died. Then both
//! sides are named. It is over when most of the other side is up again. Members that say goodbye
//! are no loss. Owns what it was told of members; must never decide who is live.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng;
use serde::Serialize;

use crate::coordinator::Nothing;
use crate::event::{Event, Input, InputOf, Output, OutputOf, Peer, Protocol};
use crate::time::Time;

/// Settings of [`Partitions`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Within what time losses count together. 30 s: twice as long as membership takes to tell the
    /// deaths of four of five members (`docs/simulation-layers.md`).
    pub window: Duration,
    /// How long after the last loss the sides are named. 5 s: membership tells the next death of many
    /// well within its least grace of 4 s.
    pub settle: Duration,
    /// Share of the agreed members, in percent, whose loss within the window is a partition. 20: a guess,
    /// above the loss of one rack of eight, below that of one zone of three.
    pub lost_percent: usize,
    /// Losses that are a partition at least, however few members there are. 2: one is a crash.
    pub lost_min: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            settle: Duration::from_secs(5),
            lost_percent: 20,
            lost_min: 2,
        }
    }
}

/// The only timer: all of the other side may have been told down by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SidesKnown;

/// A partition that lasts.
#[derive(Debug)]
struct Partition<P> {
    /// Those lost in it, back or not, but for those that said goodbye.
    there: BTreeSet<P>,
    last_loss: Time,
    is_told: bool,
}

/// Partition detection of one node.
#[derive(Debug)]
pub struct Partitions<P> {
    config: Config,
    /// This node, and the members that are up.
    here: BTreeSet<P>,
    /// Members lost within the window, and when.
    lost: BTreeMap<P, Time>,
    partition: Option<Partition<P>>,
}

impl<P: Peer> Partitions<P> {
    /// Of a node that knows only itself.
    #[must_use]
    pub fn new(me: P, config: Config) -> Self {
        Self {
            config,
            here: BTreeSet::from([me]),
            lost: BTreeMap::new(),
            partition: None,
        }
    }

    /// Whether this node is in a partition, as far as it knows.
    #[must_use]
    pub const fn is_partitioned(&self) -> bool {
        self.partition.is_some()
    }

    fn member_up(&mut self, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        self.here.insert(peer);
        self.lost.remove(&peer);
        self.heal_if_back(out);
    }

    fn member_left(&mut self, peer: &P, out: &mut Vec<OutputOf<Self, P>>) {
        self.here.remove(peer);
        self.lost.remove(peer);
        if let Some(partition) = &mut self.partition {
            partition.there.remove(peer);
        }
        self.heal_if_back(out);
    }

    fn member_down(&mut self, now: Time, peer: P, out: &mut Vec<OutputOf<Self, P>>) {
        if !self.here.remove(&peer) {
            return;
        }
        if let Some(partition) = &mut self.partition {
            // What is lost after the sides were named is a death like any other.
            if !partition.is_told {
                partition.there.insert(peer);
                partition.last_loss = now;
                self.look_later(out);
            }
            return;
        }
        self.lost
            .retain(|_, at| now.since(*at) <= self.config.window);
        self.lost.insert(peer, now);
        let agreed = self.here.len() + self.lost.len();
        let enough = self.lost.len() * 100 >= agreed * self.config.lost_percent;
        if enough && self.lost.len() >= self.config.lost_min {
            self.partition = Some(Partition {
                there: std::mem::take(&mut self.lost).into_keys().collect(),
                last_loss: now,
                is_told: false,
            });
            self.look_later(out);
        }
    }

    fn look_later(&self, out: &mut Vec<OutputOf<Self, P>>) {
        out.push(Output::SetTimer {
            id: SidesKnown,
            after: self.config.settle,
        });
    }

    /// Names both sides, unless more was lost since this timer was set.
    fn name_sides(&mut self, now: Time, out: &mut Vec<OutputOf<Self, P>>) {
        let Some(partition) = &mut self.partition else {
            return;
        };
        if partition.is_told || now.since(partition.last_loss) < self.config.settle {
            return;
        }
        partition.is_told = true;
        out.push(Output::Event(Event::Partitioned {
            here: self.here.iter().copied().collect(),
            there: partition.there.difference(&self.here).copied().collect(),
        }));
    }

    /// More than half of the other side is up again: the rest are deaths, or will follow.
    fn heal_if_back(&mut self, out: &mut Vec<OutputOf<Self, P>>) {
        let Some(partition) = &self.partition else {
            return;
        };
        let missing = partition.there.difference(&self.here);
        let missing: Vec<P> = missing.copied().collect();
        if missing.len() * 2 >= partition.there.len().max(1) {
            return;
        }
        if partition.is_told {
            out.push(Output::Event(Event::Healed { missing }));
        }
        self.partition = None;
    }
}

impl<P: Peer> Protocol<P> for Partitions<P> {
    type Message = Nothing;
    type Timer = SidesKnown;

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, P>,
        _random: &mut R,
        out: &mut Vec<OutputOf<Self, P>>,
    ) {
        match input {
            Input::Below(event) => {
                // First what happened, then what follows from it.
                out.push(Output::Event(event.clone()));
                match event {
                    Event::MemberUp(peer) => self.member_up(peer, out),
                    Event::MemberDown(peer) => self.member_down(now, peer, out),
                    Event::MemberLeft(peer) => self.member_left(&peer, out),
                    _ => {}
                }
            }
            Input::Timer(SidesKnown) => self.name_sides(now, out),
            Input::Command(command) => out.push(Output::Below(command)),
            Input::Received { message, .. } => match message {},
            Input::Start
            | Input::PeerUp(_)
            | Input::PeerDown { .. }
            | Input::Congested(_)
            | Input::Drained(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    struct Bench {
        layer: Partitions<u32>,
        now: Time,
    }

    impl Bench {
        /// Node 1 of a cluster of 1 to 10.
        fn new() -> Self {
            let layer = Partitions::new(1, Config::default());
            let mut bench = Self {
                layer,
                now: Time::ZERO,
            };
            for peer in 2..=10 {
                assert_eq!(bench.told(Event::MemberUp(peer)), []);
            }
            bench
        }

        /// What it tells besides the event itself.
        fn told(&mut self, event: Event<u32>) -> Vec<Event<u32>> {
            let mut told = self.input(Input::Below(event.clone()));
            assert_eq!(told.remove(0), event, "the event itself goes on");
            told
        }

        /// Seconds pass, and the timer comes.
        fn wait(&mut self, seconds: u64) -> Vec<Event<u32>> {
            self.now = self.now + Duration::from_secs(seconds);
            self.input(Input::Timer(SidesKnown))
        }

        fn input(&mut self, input: Input<u32, Nothing, SidesKnown>) -> Vec<Event<u32>> {
            let mut out = Vec::new();
            let mut random = SmallRng::seed_from_u64(1);
            self.layer.handle(self.now, input, &mut random, &mut out);
            let events = out.into_iter().filter_map(|output| match output {
                Output::Event(event) => Some(event),
                _ => None,
            });
            events.collect()
        }
    }

    #[test]
    fn a_share_lost_within_the_window_is_a_partition_whose_sides_are_named() {
        let mut bench = Bench::new();
        for peer in [7, 8, 9] {
            assert_eq!(bench.told(Event::MemberDown(peer)), []);
            assert_eq!(bench.wait(4), []);
        }
        assert!(bench.layer.is_partitioned());
        let sides = Event::Partitioned {
            here: vec![1, 2, 3, 4, 5, 6, 10],
            there: vec![7, 8, 9],
        };
        assert_eq!(bench.wait(1), [sides]);
        assert_eq!(bench.wait(5), [], "once");
        assert_eq!(bench.told(Event::MemberUp(8)), []);
        let healed = Event::Healed { missing: vec![9] };
        assert_eq!(bench.told(Event::MemberUp(7)), [healed]);
        assert!(!bench.layer.is_partitioned());
    }

    #[test]
    fn deaths_one_by_one_are_none() {
        let mut bench = Bench::new();
        for peer in 2..=10 {
            assert_eq!(bench.told(Event::MemberDown(peer)), []);
            assert_eq!(bench.wait(31), []);
        }
        assert!(!bench.layer.is_partitioned());
    }

    #[test]
    fn goodbyes_are_no_loss_and_end_a_partition() {
        let mut bench = Bench::new();
        for peer in [2, 3, 4] {
            assert_eq!(bench.told(Event::MemberLeft(peer)), []);
        }
        assert!(!bench.layer.is_partitioned());
        for peer in [9, 10] {
            assert_eq!(bench.told(Event::MemberDown(peer)), []);
        }
        assert_eq!(bench.wait(5).len(), 1);
        assert_eq!(bench.told(Event::MemberLeft(9)), []);
        let missing = Vec::new();
        assert_eq!(bench.told(Event::MemberUp(10)), [Event::Healed { missing }]);
    }

    #[test]
    fn one_crash_of_two_nodes_is_none() {
        let mut layer = Partitions::new(1_u32, Config::default());
        let mut out = Vec::new();
        layer.member_up(2, &mut out);
        layer.member_down(Time::ZERO, 2, &mut out);
        assert!(!layer.is_partitioned());
    }

    #[test]
    fn what_is_back_before_the_sides_are_named_is_not_told() {
        let mut bench = Bench::new();
        for peer in [9, 10] {
            bench.told(Event::MemberDown(peer));
        }
        for peer in [9, 10] {
            assert_eq!(bench.told(Event::MemberUp(peer)), []);
        }
        assert_eq!(bench.wait(5), []);
    }
}
