//! That every message is accounted for: at its sender, exactly, and at its receiver, against what the sender was told.
//!
//! Reads the counters of nodes, waits for them to come to rest, and changes nothing.

use std::time::{Duration, Instant};

use super::error::TestError;
use crate::metrics::{ChannelMetrics, Metrics};
use crate::node::Node;

/// How often a condition is looked at: each look asks shards.
const LOOK_EACH: Duration = Duration::from_millis(1);

/// Waits until something holds of what `state` returns, and returns it.
pub(super) fn wait_until<S>(
    what: &str,
    patience: Duration,
    mut state: impl FnMut() -> S,
    holds: impl Fn(&S) -> bool,
    say: impl Fn(&S) -> String,
) -> Result<S, TestError> {
    let deadline = Instant::now() + patience;
    loop {
        let now = state();
        if holds(&now) {
            return Ok(now);
        }
        if Instant::now() >= deadline {
            return Err(TestError::TimedOut {
                what: what.to_owned(),
                state: say(&now),
            });
        }
        std::thread::sleep(LOOK_EACH);
    }
}

/// Waits until nothing is queued or under way on a node, and checks that the identity holds for it. Returns its
/// counters.
///
/// # Errors
/// [`TestError::TimedOut`], [`TestError::Unaccounted`].
pub fn drained(node: &Node, patience: Duration) -> Result<Metrics, TestError> {
    let metrics = wait_until(
        &format!("that the node {} drains", node.name()),
        patience,
        || node.metrics(),
        // A shard that does not answer in time is not among them.
        |metrics| metrics.is_drained() && metrics.shards.len() == node.shards(),
        |metrics| {
            let lanes = metrics.lanes.iter();
            let open: Vec<_> = lanes.filter(|lane| !lane.is_drained()).collect();
            format!("{open:#?}")
        },
    )?;
    if metrics.identity_holds() {
        Ok(metrics)
    } else {
        Err(TestError::Unaccounted(format!("{metrics:#?}")))
    }
}

/// Waits until all these nodes have drained, and checks every channel from each of them to each of them, itself too.
/// What they have sent to others is checked at the sender alone. Returns their counters, in the order of `nodes`.
///
/// A node that was started again has forgotten what its earlier process counted: give those that have lived through
/// the test alone, or use [`TestCluster`](super::TestCluster), which knows them.
///
/// # Errors
/// [`TestError::TimedOut`], [`TestError::Unaccounted`].
pub fn check_accounting(nodes: &[&Node], patience: Duration) -> Result<Vec<Metrics>, TestError> {
    let lives = vec![true; nodes.len()];
    check_lives(nodes, &lives, patience)
}

/// The same; receivers are checked between nodes that have lived since the others began.
pub(super) fn check_lives(
    nodes: &[&Node],
    lives: &[bool],
    patience: Duration,
) -> Result<Vec<Metrics>, TestError> {
    let sent: Vec<_> = nodes
        .iter()
        .map(|node| drained(node, patience))
        .collect::<Result<_, _>>()?;
    // What a drained sender was told had been counted by then: this is not older.
    let received: Vec<_> = nodes.iter().map(|node| node.metrics()).collect();
    // The protocols of a cluster do not stop talking: what was accepted meanwhile may have been delivered.
    let after: Vec<_> = nodes.iter().map(|node| node.metrics()).collect();
    for (from, metrics) in sent.iter().enumerate() {
        for out in &metrics.lanes {
            check_sender(out)?;
            let later = after[from].channel(&out.peer, &out.channel);
            let meanwhile = later.map_or(0, |later| later.accepted.saturating_sub(out.accepted));
            for (to, metrics) in received.iter().enumerate() {
                if nodes[to].name() == out.peer && lives[from] && lives[to] {
                    let into = metrics.channel(nodes[from].name(), &out.channel);
                    check_receiver(out, into, meanwhile)?;
                }
            }
        }
    }
    Ok(received)
}

fn check_sender(out: &ChannelMetrics) -> Result<(), TestError> {
    let settled = if out.reliable {
        out.acknowledged + out.reported
    } else {
        out.sent + out.dropped
    };
    require(out.accepted == settled + out.replaced, || {
        format!("what was accepted has not ended once each: {out:#?}")
    })?;
    require(out.refused <= out.reported, || {
        format!("what was refused is not reported: {out:#?}")
    })
}

/// `meanwhile` is what the sender accepted after `out` and before the end: none, where nobody sends any more.
fn check_receiver(
    out: &ChannelMetrics,
    into: Option<&ChannelMetrics>,
    meanwhile: u64,
) -> Result<(), TestError> {
    let (delivered, dropped) = into.map_or((0, 0), |into| (into.delivered, into.receive_dropped));
    let holds = if out.reliable {
        out.acknowledged <= delivered && delivered <= out.acknowledged + out.reported + meanwhile
    } else {
        delivered + dropped <= out.sent + meanwhile
    };
    require(holds, || {
        format!("the receiver has {delivered} delivered and {dropped} dropped, while {out:#?}")
    })
}

fn require(holds: bool, what: impl FnOnce() -> String) -> Result<(), TestError> {
    if holds {
        Ok(())
    } else {
        Err(TestError::Unaccounted(what()))
    }
}
