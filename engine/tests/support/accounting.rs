//! The accounting identity, as every test that sends checks it: on the sending side, exactly, and on
//! the receiving side, against what the sender was told.

use overlane::{ChannelMetrics, Metrics, Node};

use super::drained;

/// Waits until all `nodes` have drained, and checks the identity of every channel from each of them
/// to each of them (itself too). Channels to a node that is not given are checked on the sending
/// side alone. Returns the counters, in the order of `nodes`.
pub fn check_accounting(nodes: &[&Node]) -> Vec<Metrics> {
    let sent: Vec<_> = nodes.iter().map(|node| drained(node)).collect();
    // What a drained sender was told had been counted by then: this is not older.
    let received: Vec<_> = nodes.iter().map(|node| node.metrics()).collect();
    for (sender, metrics) in nodes.iter().zip(&sent) {
        for out in &metrics.lanes {
            check_sender(out);
            for (receiver, metrics) in nodes.iter().zip(&received) {
                if receiver.name() == out.peer {
                    check_receiver(out, metrics.channel(sender.name(), &out.channel));
                }
            }
        }
    }
    received
}

fn check_sender(out: &ChannelMetrics) {
    let settled = if out.reliable {
        out.acknowledged + out.reported
    } else {
        out.sent + out.dropped
    };
    let settled = settled + out.replaced;
    assert_eq!(out.accepted, settled, "the sender's identity: {out:#?}");
    assert!(out.refused <= out.reported, "refused is reported: {out:#?}");
}

fn check_receiver(out: &ChannelMetrics, into: Option<&ChannelMetrics>) {
    let (delivered, dropped) = into.map_or((0, 0), |into| (into.delivered, into.receive_dropped));
    if out.reliable {
        assert!(
            out.acknowledged <= delivered && delivered <= out.acknowledged + out.reported,
            "the receiver's identity: delivered {delivered}, while {out:#?}"
        );
    } else {
        assert!(
            delivered + dropped <= out.sent,
            "more came than was sent: {delivered} and {dropped} dropped, while {out:#?}"
        );
    }
}

/// What one node counted of a channel to (and from) a peer.
pub fn counted<'a>(metrics: &'a Metrics, peer: &str, channel: &str) -> &'a ChannelMetrics {
    metrics
        .channel(peer, channel)
        .unwrap_or_else(|| panic!("{channel} to {peer} was used: {metrics:#?}"))
}

/// Checks that all `messages` accepted on a reliable channel were acknowledged, and nothing else.
pub fn all_acknowledged(metrics: &Metrics, peer: &str, channel: &str, messages: u64) {
    let out = counted(metrics, peer, channel);
    assert_eq!(
        (out.accepted, out.acknowledged, out.reported),
        (messages, messages, 0),
        "every message is accepted and acknowledged: {out:#?}"
    );
}
