//! One message to every connected peer.

use std::sync::atomic::Ordering;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{best_effort, config, connect_both, reliable, start, wait_until};
use overlane::{Node, SendError};

fn node(name: &str) -> Node {
    let config = config(name).shards(2).channel(reliable("news"));
    start(config.channel(best_effort("gossip")))
}

#[test]
fn every_connected_peer_gets_it_once_and_the_sender_itself_does_not() {
    let hub = node("hub");
    let (own, own_count) = crate::support::counting_handler();
    hub.handle("in", own).expect("a mailbox");
    let mailbox = hub.mailbox("in").expect("a name");
    let peers = ["one", "two", "three"].map(node);
    let counts = peers.each_ref().map(|peer| {
        let (handler, count) = crate::support::counting_handler();
        peer.handle("in", handler).expect("a mailbox");
        connect_both(&hub, peer);
        count
    });
    // Known, and not connected.
    hub.destination("nobody", "in").expect("names");
    for name in ["news", "gossip"] {
        let channel = hub.channel(name).expect("it is configured");
        // Small ones are copied for each peer, large ones shared by all.
        for bytes in [0, 50, 100_000] {
            let sent = channel
                .broadcast(&mailbox, vec![1; bytes])
                .expect("accepted");
            assert_eq!((sent.accepted, sent.refused.len()), (3, 0));
        }
    }
    for count in &counts {
        wait_until(
            "all have come",
            || count.load(Ordering::Relaxed),
            |count| *count == 6,
        );
    }
    let [one, two, three] = &peers;
    let metrics = check_accounting(&[&hub, one, two, three]);
    for peer in ["one", "two", "three"] {
        all_acknowledged(&metrics[0], peer, "news", 3);
        assert_eq!(counted(&metrics[0], peer, "gossip").sent, 3);
    }
    assert_eq!(own_count.load(Ordering::Relaxed), 0);
}

#[test]
fn a_broadcast_says_which_peer_refused_it_and_reaches_the_others() {
    let channel = || {
        reliable("news")
            .message_bytes_max(50_000)
            .queue_bytes_max(100_000)
    };
    let node = |name| start(config(name).channel(channel()));
    let (hub, quick, slow) = (node("hub"), node("quick"), node("slow"));
    let mut read = quick.inbox("in").expect("a mailbox");
    let unread = slow.inbox_of("in", 64 << 10).expect("a mailbox");
    connect_both(&hub, &quick);
    connect_both(&hub, &slow);
    let mailbox = hub.mailbox("in").expect("a name");
    let channel = hub.channel("news").expect("it is configured");
    let refused = loop {
        let sent = channel
            .broadcast(&mailbox, vec![2; 50_000])
            .expect("accepted");
        read.recv_timeout(crate::support::GENEROUS)
            .expect("the quick one gets it");
        if let Some((peer, error)) = sent.refused.first() {
            break (peer.name().to_owned(), error.clone());
        }
        assert_eq!(sent.accepted, 2);
    };
    assert_eq!(refused, ("slow".to_owned(), SendError::Full));
    drop(unread);
    check_accounting(&[&hub, &quick, &slow]);
}
