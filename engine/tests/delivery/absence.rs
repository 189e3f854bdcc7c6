//! A peer that is away: what a channel keeps is taken for it on lanes that were never up, or came to rest, within
//! bounds.

use std::net::SocketAddr;

use overlane::config::{ChannelConfig, ConfigBuilder, Reliability};
use overlane::{Event, Events, Inbox, Node, SendError};
use overlane_proxy::Proxy;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{
    GENEROUS, config, connect_through_proxy, counting_handler, drained, reliable, start,
    wait_for_event, wait_until,
};

const KEPT: [(&str, Reliability); 2] = [
    ("at_least_once", Reliability::AtLeastOnce),
    ("guaranteed", Reliability::Guaranteed),
];

/// Two that keep their messages, and one that does not.
fn channels(resume_timeout_ms: u64) -> Vec<ChannelConfig> {
    let kept = KEPT.into_iter().map(|(name, kind)| {
        let channel = reliable(name).reliability(kind).parallelism(2);
        channel.resume_timeout_ms(resume_timeout_ms)
    });
    kept.chain([reliable("reliable")]).collect()
}

fn node(config: ConfigBuilder, resume_timeout_ms: u64) -> Node {
    let channels = channels(resume_timeout_ms).into_iter();
    start(channels.fold(config, ConfigBuilder::channel))
}

/// `a`, which has dialled `b` through a proxy, and both are connected by their control lane alone.
struct Pair {
    a: Node,
    b: Node,
    proxy: Proxy,
}

fn pair(shards: usize, resume_timeout_ms: u64) -> Pair {
    let [a, b] = ["a", "b"].map(|name| node(config(name).shards(shards), resume_timeout_ms));
    connected(a, b)
}

fn connected(a: Node, b: Node) -> Pair {
    let proxy = connect_through_proxy(&a, &b);
    b.wait_connected("a", GENEROUS).expect("it is there");
    Pair { a, b, proxy }
}

impl Pair {
    /// The two lose each other: where the proxy leads to from now on, nobody answers.
    fn part(&self) {
        let events = [self.a.events(), self.b.events()];
        self.proxy.set_target(nowhere());
        self.proxy.cut();
        for events in events {
            wait_for_event(&events, "the peer is down", |event| {
                matches!(event, Event::PeerDown { .. }).then_some(())
            });
        }
    }

    fn come_together(&self) {
        self.proxy.set_target(self.b.local_addr());
    }
}

/// An address at which nobody listens.
fn nowhere() -> SocketAddr {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    port.local_addr().expect("it is bound")
}

fn try_send(
    from: &Node,
    to: &str,
    channel: &str,
    key: u64,
    payload: &[u8],
) -> Result<(), SendError> {
    let to = from.destination(to, "in").expect("names");
    let channel = from.channel(channel).expect("it is configured");
    channel.try_send(&to.with_key(key), payload)
}

fn receive(inbox: &mut Inbox, count: usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|_| {
            inbox
                .recv_timeout(GENEROUS)
                .expect("it comes")
                .payload()
                .to_vec()
        })
        .collect()
}

/// The next messages that were reported on a channel, all of them undelivered.
fn reported(events: &Events, on: &str, count: u64) {
    let mut told = 0;
    wait_for_event(events, "a report", |event| {
        if let Event::Reported {
            channel,
            undelivered,
            unknown,
            ..
        } = event
            && **channel == *on
        {
            assert_eq!(*unknown, 0, "none of them was ever sent");
            told += undelivered;
        }
        (told >= count).then_some(())
    });
    assert_eq!(told, count);
}

fn is_refused(from: &Node, to: &str, channel: &str) -> bool {
    try_send(from, to, channel, 0, b"refused?") == Err(SendError::Unreachable)
}

#[test]
fn a_lane_that_has_never_been_up_takes_messages_while_its_peer_is_away() {
    for shards in [1, 3] {
        let pair = pair(shards, 60_000);
        let mut inboxes = [&pair.a, &pair.b].map(|node| node.inbox("in").expect("free"));
        pair.part();
        // One side can dial, the other cannot; each lane by itself, on whichever shard.
        for (from, to) in [(&pair.a, "b"), (&pair.b, "a")] {
            for (channel, _) in KEPT {
                for number in 0..10_u8 {
                    for key in 0..2 {
                        try_send(from, to, channel, key, &[number]).expect("it waits");
                    }
                }
            }
            assert!(is_refused(from, to, "reliable"), "it keeps nothing");
        }
        pair.come_together();
        for inbox in &mut inboxes {
            let mut came = receive(inbox, 40);
            came.sort();
            let all = (0..10_u8).flat_map(|number| [[number]; 4]);
            assert!(came.into_iter().eq(all), "each once from each lane");
        }
        let metrics = check_accounting(&[&pair.a, &pair.b]);
        for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
            for (channel, _) in KEPT {
                all_acknowledged(metrics, peer, channel, 20);
                assert_eq!(counted(metrics, peer, channel).delivered, 20);
            }
        }
    }
}

#[test]
fn a_lane_that_came_to_rest_takes_messages_while_its_peer_is_away() {
    let [a, b] = ["a", "b"].map(|name| node(config(name).lane_idle_ms(100_u64), 60_000));
    let pair = connected(a, b);
    let mut inbox = pair.b.inbox("in").expect("free");
    try_send(&pair.a, "b", "guaranteed", 0, b"one").expect("it is there");
    assert_eq!(receive(&mut inbox, 1), [b"one"]);
    let lanes_up = || counted(&pair.a.metrics(), "b", "guaranteed").lanes_up;
    wait_until("the lane is at rest", lanes_up, |up| *up == 0);
    pair.part();
    try_send(&pair.a, "b", "guaranteed", 0, b"two").expect("it waits");
    pair.come_together();
    assert_eq!(receive(&mut inbox, 1), [b"two"]);
    let metrics = check_accounting(&[&pair.a, &pair.b]);
    all_acknowledged(&metrics[0], "b", "guaranteed", 2);
}

#[test]
fn what_was_taken_for_a_peer_that_stays_away_is_reported_and_then_nothing_is_taken() {
    for shards in [1, 3] {
        let pair = pair(shards, 500);
        pair.part();
        let events = pair.a.events();
        let (mut taken, mut refused) = (0, false);
        // It takes them for half a second; a slow machine may need longer to come here.
        for _ in 0..5 {
            let sent = try_send(&pair.a, "b", "guaranteed", 0, b"x");
            taken += u64::from(sent.is_ok());
            refused |= sent == Err(SendError::Unreachable);
        }
        if taken > 0 {
            reported(&events, "guaranteed", taken);
        } else {
            assert!(refused);
        }
        // On the lanes that nobody has used too.
        for (channel, _) in KEPT {
            let now = || is_refused(&pair.a, "b", channel);
            wait_until("it is given up", now, |refused| *refused);
        }
        check_accounting(&[&pair.a, &pair.b]);
        pair.come_together();
        pair.a.wait_connected("b", GENEROUS).expect("it is back");
        let (handler, _) = counting_handler();
        pair.b.handle("in", handler).expect("a mailbox");
        try_send(&pair.a, "b", "guaranteed", 0, b"x").expect("it is there");
        drained(&pair.a);
        check_accounting(&[&pair.a, &pair.b]);
    }
}

#[test]
fn what_waits_for_a_peer_that_is_told_to_go_ends_at_once() {
    type Part = fn(&Node) -> Result<(), overlane::NameError>;
    let parts: [Part; 2] = [|node| node.disconnect("b"), |node| node.forget("b")];
    for part in parts {
        let pair = pair(3, 600_000);
        pair.part();
        let events = pair.a.events();
        for key in 0..2 {
            try_send(&pair.a, "b", "guaranteed", key, b"x").expect("it waits");
        }
        part(&pair.a).expect("a name");
        reported(&events, "guaranteed", 2);
        let now = || is_refused(&pair.a, "b", "at_least_once");
        wait_until("nothing is taken any more", now, |refused| *refused);
        check_accounting(&[&pair.a]);
    }
}

#[test]
fn what_waits_for_a_peer_that_is_away_is_bounded_by_the_lane() {
    let pair = pair(1, 600_000);
    pair.part();
    let mut taken = 0;
    let refused = loop {
        match try_send(&pair.a, "b", "guaranteed", 0, &[1; 10_000]) {
            Ok(()) => taken += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, SendError::Full);
    let bytes_max = pair.a.channel_config("guaranteed").expect("it is there");
    let bytes_max = bytes_max.log_bytes_max;
    assert!((1..=bytes_max / 10_000).contains(&taken), "{taken}");
    let (handler, _) = counting_handler();
    pair.b.handle("in", handler).expect("a mailbox");
    pair.come_together();
    let metrics = check_accounting(&[&pair.a, &pair.b]);
    all_acknowledged(&metrics[0], "b", "guaranteed", taken as u64);
}
