//! The accounting identity, as every test that sends checks it: on the sending side, exactly, and on
//! the receiving side, against what the sender was told. The check itself is the test kit's (`overlane::testing`).

use overlane::{ChannelMetrics, Metrics, Node};

use super::GENEROUS;

/// Waits until all `nodes` have drained, and checks the identity of every channel from each of them
/// to each of them (itself too). Channels to a node that is not given are checked on the sending
/// side alone. Returns the counters, in the order of `nodes`.
pub fn check_accounting(nodes: &[&Node]) -> Vec<Metrics> {
    let counted = overlane::testing::check_accounting(nodes, GENEROUS);
    counted.unwrap_or_else(|error| panic!("{error}"))
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
