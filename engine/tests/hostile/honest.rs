//! Two honest nodes, one of which is attacked: they exchange messages all the while and check that
//! each arrives, once, in order, and is accounted for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use overlane::config::{ChannelConfig, ConfigBuilder};
use overlane::wire::CloseReason;
use overlane::{Channel, Destination, Inbox, Node};

use crate::support::{GENEROUS, best_effort, config, drained, reliable, start, wait_until};

/// Messages of one round: sent together, and each waited for.
const ROUND: u64 = 16;

/// See the module's text.
pub(crate) struct Honest {
    /// The node under attack. It is called `target`, its friend `friend`.
    pub(crate) target: Node,
    friend: Node,
    over: Arc<AtomicBool>,
    rounds: Arc<AtomicU64>,
    talk: JoinHandle<u64>,
}

/// The channels of both, unless a test needs others.
pub(crate) fn channels() -> Vec<ChannelConfig> {
    vec![reliable("data"), best_effort("gossip")]
}

impl Honest {
    /// Both nodes, with the usual channels, talking. `tune` sets what the attack is aimed at.
    pub(crate) fn start(tune: impl FnOnce(ConfigBuilder) -> ConfigBuilder) -> Self {
        Self::with(channels(), tune)
    }

    /// Both nodes with these channels; they talk on `data`.
    pub(crate) fn with(
        channels: Vec<ChannelConfig>,
        tune: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Self {
        Self::with_both(channels, tune, |config| config)
    }

    /// Both nodes with the usual channels, each with what `protect` gives the node of that name.
    pub(crate) fn protected(protect: impl Fn(&str, ConfigBuilder) -> ConfigBuilder) -> Self {
        let target = |config| protect("target", config);
        Self::with_both(channels(), target, |config| protect("friend", config))
    }

    fn with_both(
        channels: Vec<ChannelConfig>,
        tune: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
        tune_friend: impl FnOnce(ConfigBuilder) -> ConfigBuilder,
    ) -> Self {
        let with_channels = |config: ConfigBuilder| {
            channels
                .iter()
                .fold(config, |config, channel| config.channel(channel.clone()))
        };
        // Two shards, so that connections are accepted on one and handed to the other.
        let target = start(tune(with_channels(config("target").shards(2))));
        let friend = start(tune_friend(with_channels(config("friend"))));
        echo(&target);
        let back = friend.inbox("back").expect("a mailbox");
        friend
            .connect("target", target.local_addr())
            .expect("a name");
        friend
            .wait_connected("target", GENEROUS)
            .expect("lanes come up");
        target
            .wait_connected("friend", GENEROUS)
            .expect("lanes come up");
        let (over, rounds) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicU64::new(0)),
        );
        let talk = std::thread::spawn({
            let channel = friend.channel("data").expect("it is configured");
            let to = friend.destination("target", "echo").expect("names");
            let (over, rounds) = (Arc::clone(&over), Arc::clone(&rounds));
            move || talk(&channel, &to, back, &over, &rounds)
        });
        let honest = Self {
            target,
            friend,
            over,
            rounds,
            talk,
        };
        honest.goes_on();
        honest
    }

    /// Waits until honest messages have been there and back several times more.
    pub(crate) fn goes_on(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        let state = || {
            assert!(!self.talk.is_finished(), "the honest talk has broken off");
            self.rounds.load(Ordering::Relaxed)
        };
        wait_until("honest traffic", state, |rounds| *rounds >= before + 3);
    }

    /// Connections that the target has: two of them, the engine's own lane and that of `data`, are the
    /// friend's.
    pub(crate) fn connections(&self) -> usize {
        let shards = self.target.metrics().shards;
        shards.iter().map(|shard| shard.connections).sum()
    }

    /// Waits until the lane of `data` to `peer` takes messages: its Welcome goes out before that.
    pub(crate) fn up(&self, peer: &str) {
        let up = || {
            self.target
                .metrics()
                .channel(peer, "data")
                .map_or(0, |lane| lane.lanes_up)
        };
        wait_until("the lane", up, |lanes| *lanes == 1);
    }

    /// Waits until the target has refused `count` connections for that reason.
    pub(crate) fn refused(&self, reason: CloseReason, count: u64) {
        let refused = || self.target.metrics().refused_connections;
        wait_until("the refusals", refused, |refused| {
            refused.get(&reason) == Some(&count)
        });
    }

    /// Waits until `count` lanes of `channel` to `peer` have ended for that reason.
    pub(crate) fn closed(&self, peer: &str, channel: &str, reason: CloseReason, count: u64) {
        let closes = || {
            let metrics = self.target.metrics();
            metrics
                .channel(peer, channel)
                .map(|lane| lane.closes.clone())
                .unwrap_or_default()
        };
        wait_until("the end of the lane", closes, |closes| {
            closes.get(&reason) == Some(&count)
        });
    }

    /// Ends the talk and checks the books of both nodes.
    pub(crate) fn finish(self) {
        self.goes_on();
        self.over.store(true, Ordering::Relaxed);
        let sent = self
            .talk
            .join()
            .expect("the honest talk is as it should be");
        for (node, peer) in [(&self.friend, "target"), (&self.target, "friend")] {
            let metrics = drained(node);
            let lane = metrics.channel(peer, "data").expect("it was used");
            let settled = (
                lane.accepted,
                lane.acknowledged,
                lane.reported,
                lane.delivered,
            );
            assert_eq!(settled, (sent, sent, 0, sent), "{lane:#?}");
            assert!(
                lane.closes.is_empty(),
                "an honest lane ended: {:?}",
                lane.closes
            );
        }
    }
}

/// The target sends each message of `echo` back to where it came from.
fn echo(target: &Node) {
    let channel = target.channel("data").expect("it is configured");
    let back = target.mailbox("back").expect("a name");
    let handler = move |context: &mut overlane::ShardContext<'_>,
                        message: overlane::Message<'_>| {
        let to = message.reply_to(&back);
        context
            .try_send(&channel, &to, message.payload())
            .expect("there is room for a round");
    };
    target.handle("echo", handler).expect("a mailbox");
}

/// Rounds of messages of all sizes until it is over; how many messages.
fn talk(
    channel: &Channel,
    to: &Destination,
    mut back: Inbox,
    over: &AtomicBool,
    rounds: &AtomicU64,
) -> u64 {
    let mut sent = 0;
    while !over.load(Ordering::Relaxed) {
        let payload = |number: u64| {
            let size = 8 + usize::try_from(number * 37 % 3000).expect("small");
            let mut payload = vec![0; size];
            payload[..8].copy_from_slice(&number.to_le_bytes());
            payload
        };
        for number in sent..sent + ROUND {
            channel
                .try_send(to, payload(number))
                .expect("there is room for a round");
        }
        for number in sent..sent + ROUND {
            let message = back
                .recv_timeout(GENEROUS)
                .expect("each message comes back");
            assert_eq!(message.payload(), payload(number));
        }
        sent += ROUND;
        rounds.fetch_add(1, Ordering::Relaxed);
        // Steady, not heavy: the cores are for the attack.
        std::thread::sleep(Duration::from_millis(1));
    }
    sent
}
