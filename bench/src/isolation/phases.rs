//! The windows of one round, over the engine.
//!
//! From a shard, heartbeats and bulk go the same way. With application threads bulk goes the way of the
//! answers: one process sends heartbeats and reads bulk, the other answers and floods, as the
//! comparisons with other systems do it.

use overlane::config::Config;

use super::plain::{Plain, PlainRound};
use super::{BULK, HEARTBEATS, Plan};
use crate::error::Outcome;
use crate::flags::{Consumer, Producer};
use crate::node::pair::{self, NodePair, NodeProcess, RECEIVER, SENDER};
use crate::node::protocol::{Command, RoundTripOrder, SendOrder};
use crate::ping::Timed;
use crate::progress::Progress;
use crate::remote::site::Hosts;
use crate::sample::{CpuShare, Sample, Window};

/// Two nodes and what they are asked in each window.
pub(super) struct Phases {
    nodes: NodePair,
    bulk: SendOrder,
    beats: RoundTripOrder,
    plain: Option<Plain>,
}

/// The windows of one round.
pub(super) struct Round {
    pub(super) idle: Timed,
    pub(super) loaded: Timed,
    pub(super) shared: Timed,
    pub(super) bulk: Window,
    pub(super) bulk_alone: Window,
    pub(super) plain: Option<PlainRound>,
}

impl Phases {
    pub(super) fn start(hosts: &Hosts, common: &Config, plan: &Plan<'_>) -> Outcome<Self> {
        let (flags, producer) = (plan.flags, plan.flags.producer);
        let (nodes, bulk_to, consumer, plain) = match producer {
            Producer::Shard => {
                let nodes = NodePair::on_cores(hosts, common, flags.pair.cores())?;
                (nodes, RECEIVER, Consumer::Handler, None)
            }
            Producer::App => {
                let nodes = NodePair::as_configured(hosts, common)?;
                (
                    nodes,
                    SENDER,
                    Consumer::Inbox,
                    Some(Plain::start(hosts, plan)?),
                )
            }
        };
        let bulk = SendOrder {
            peers: vec![bulk_to.to_owned()],
            channel: BULK.to_owned(),
            payload_bytes: flags.bulk_payload,
            producer,
            consumer,
            producer_core: None,
        };
        let beats = RoundTripOrder {
            peer: RECEIVER.to_owned(),
            channel: HEARTBEATS.to_owned(),
            payload_bytes: plan.heartbeat_bytes,
            pace: plan.pace,
            producer,
            warm_up: flags.pair.warm_up(),
            measure: flags.pair.measure(),
        };
        Ok(Self {
            nodes,
            bulk,
            beats,
            plain,
        })
    }

    /// How many windows a round has.
    pub(super) fn windows(&self) -> u64 {
        4 + self.plain.as_ref().map_or(0, |_| Plain::WINDOWS)
    }

    pub(super) fn round(&mut self, progress: &Progress) -> Outcome<Round> {
        progress.say("heartbeats alone");
        let idle = self.nodes.sender.round_trips(self.beats.clone())?;
        progress.step();
        let plain = match &mut self.plain {
            Some(plain) => Some(plain.round(progress)?),
            None => None,
        };
        progress.say("beside bulk");
        let (loaded, bulk) = self.beside_bulk(HEARTBEATS)?;
        progress.step();
        progress.say("in one lane with bulk");
        let (shared, _) = self.beside_bulk(BULK)?;
        progress.step();
        progress.say("bulk alone");
        let times = (self.beats.warm_up, self.beats.measure);
        let order = self.bulk.clone();
        let (from, to) = self.bulk_ends();
        let bulk_alone = pair::stream_between(from, to, &order, times)?;
        progress.step();
        Ok(Round {
            idle,
            loaded,
            shared,
            bulk,
            bulk_alone,
            plain,
        })
    }

    /// Holds the counters of both nodes against each other.
    pub(super) fn settle(&mut self) -> Outcome<()> {
        self.nodes.settle().map(drop)
    }

    /// Heartbeats on `channel` while bulk messages saturate theirs.
    fn beside_bulk(&mut self, channel: &str) -> Outcome<(Timed, Window)> {
        let flood = Command::StartSending(self.bulk.clone());
        self.bulk_ends().0.order(&flood)?;
        std::thread::sleep(self.beats.warm_up);
        let before = self.bulk_samples()?;
        let beats = RoundTripOrder {
            channel: channel.to_owned(),
            ..self.beats.clone()
        };
        let timed = self.nodes.sender.round_trips(beats)?;
        let after = self.bulk_samples()?;
        self.bulk_ends().0.order(&Command::StopSending)?;
        let window = Window::between((before.0, after.0), (before.1, after.1));
        Ok((timed, window))
    }

    /// What the near and the far process used beside bulk, over all rounds.
    pub(super) fn cpu_shares(&self, rounds: &[Round]) -> [CpuShare; 2] {
        let bulk = rounds.iter().map(|round| round.bulk);
        let [from, to] = bulk.fold(Window::default(), Window::and).cpu_shares();
        match self.bulk.producer {
            Producer::Shard => [from, to],
            Producer::App => [to, from],
        }
    }

    /// The process that sends bulk, and the one that receives it.
    fn bulk_ends(&mut self) -> (&mut NodeProcess, &mut NodeProcess) {
        let NodePair { sender, receiver } = &mut self.nodes;
        match self.bulk.producer {
            Producer::Shard => (sender, receiver),
            Producer::App => (receiver, sender),
        }
    }

    fn bulk_samples(&mut self) -> Outcome<(Sample, Sample)> {
        let (from, to) = self.bulk_ends();
        Ok((from.sample()?, to.sample()?))
    }
}
