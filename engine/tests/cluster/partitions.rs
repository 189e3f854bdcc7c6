//! Channels and decisions while a cluster is parted, on real nodes whose links are cut.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use overlane::config::{
    MembershipConfig, OnPartition, Overflow, OverlayChoice, PartitionsConfig, Reliability,
};
use overlane::testing::{Formation, TestCluster, TestClusterBuilder, TestError};
use overlane::{ChannelConfig, Decision, Event, Restraint, SendError};

use crate::support::{GENEROUS, io, wait_for_event, wait_until};

const NODES: usize = 5;
/// The smaller side.
const FEW: [usize; 2] = [0, 1];

/// Five nodes that find deaths, splits and ends of splits soon.
fn nodes() -> TestClusterBuilder {
    TestCluster::builder(NODES)
        .formation(Formation::Joined(OverlayChoice::FullMesh))
        .patience(GENEROUS)
        .configure(|config, index| {
            // On node 1 alone the channel goes on, so that there is somebody who sends to one that has halted.
            let strict = if index == 1 {
                OnPartition::Degraded
            } else {
                OnPartition::Halt
            };
            let guaranteed = |name| ChannelConfig::new(name).reliability(Reliability::Guaranteed);
            config
                .io(io())
                .channel(guaranteed("free"))
                .channel(guaranteed("careful").on_partition(OnPartition::ReadOnly))
                .channel(guaranteed("strict").on_partition(strict))
                .channel(
                    guaranteed("narrow")
                        .on_partition(OnPartition::ReadOnly)
                        .overflow(Overflow::Block)
                        .log_bytes_max(4096),
                )
                .membership(MembershipConfig {
                    probe_period_ms: 200,
                    direct_wait_ms: 60,
                    indirect_wait_ms: 120,
                    grace_least_ms: 800,
                    grace_most_ms: 1_600,
                    revisit_every: 2,
                    ..MembershipConfig::default()
                })
                .partitions(PartitionsConfig {
                    settle_ms: 1_000,
                    ..PartitionsConfig::default()
                })
        })
        .prepare(|node, _| node.handle("in", |_, _| {}))
}

fn send(cluster: &TestCluster, [from, to]: [usize; 2], channel: &str) -> Result<(), SendError> {
    let from = cluster.node(from);
    let to = from.destination(&format!("n{to}"), "in").expect("names");
    let channel = from.channel(channel).expect("it is configured");
    channel.try_send(&to, b"x")
}

/// What a node has delivered of a channel from a peer.
fn delivered(cluster: &TestCluster, [from, to]: [usize; 2], channel: &str) -> u64 {
    let metrics = cluster.node(to).metrics();
    let counted = metrics.channel(&format!("n{from}"), channel);
    counted.map_or(0, |counted| counted.delivered)
}

/// Whether each node takes the cluster for parted, and itself for a part of the quorum.
fn quorums(cluster: &TestCluster) -> Vec<Option<bool>> {
    let nodes = cluster.nodes();
    let clusters = nodes.map(|(_, node)| node.cluster().expect("it is in one"));
    let parted = clusters.map(|cluster| cluster.partition());
    parted
        .map(|parted| parted.map(|parted| parted.has_quorum))
        .collect()
}

fn split(cluster: &TestCluster) {
    cluster.split_off(&FEW);
    let sides: Vec<_> = (0..NODES).map(|node| Some(!FEW.contains(&node))).collect();
    wait_until(
        "all see the split",
        || quorums(cluster),
        |seen| *seen == sides,
    );
}

fn heal(cluster: &TestCluster) -> Result<(), TestError> {
    cluster.mend();
    let whole = vec![None; NODES];
    wait_until("it has healed", || quorums(cluster), |seen| *seen == whole);
    cluster.wait_formed()
}

fn is_refused(sent: Result<(), SendError>, of: &str) -> bool {
    matches!(sent, Err(SendError::Partitioned { channel }) if channel == of)
}

#[test]
fn channels_go_on_receive_only_or_halt_by_their_policy_and_side() -> Result<(), TestError> {
    let cluster = nodes().start()?;
    let events = [0, 4].map(|node| cluster.node(node).events());
    split(&cluster);
    let [few, many] = &events;
    for (events, restrained) in [
        (
            few,
            vec![
                ("careful", Restraint::Sending),
                ("strict", Restraint::Everything),
                ("narrow", Restraint::Sending),
            ],
        ),
        (
            many,
            vec![
                ("careful", Restraint::Sending),
                ("narrow", Restraint::Sending),
            ],
        ),
    ] {
        for expected in restrained {
            let found = wait_for_event(events, "a channel is restrained", |event| match event {
                Event::ChannelRestrained { channel, restraint } => {
                    Some((channel.to_string(), *restraint))
                }
                _ => None,
            });
            assert_eq!((found.0.as_str(), found.1), expected);
        }
    }
    for from in [0, 4] {
        let to = if from == 0 { 1 } else { 3 };
        assert!(is_refused(send(&cluster, [from, to], "careful"), "careful"));
        send(&cluster, [from, to], "free")?;
        send(&cluster, [from, from], "careful")?;
    }
    assert!(is_refused(send(&cluster, [0, 1], "strict"), "strict"));
    send(&cluster, [4, 3], "strict")?;
    send(&cluster, [0, 0], "strict")?;

    // What comes to a channel that has halted waits, and what comes on others does not.
    send(&cluster, [1, 0], "strict")?;
    for _ in 0..3 {
        send(&cluster, [1, 0], "free")?;
    }
    let on = |channel| delivered(&cluster, [1, 0], channel);
    wait_until(
        "the free channel goes on",
        || on("free"),
        |count| *count == 3,
    );
    assert_eq!(on("strict"), 0);
    let policy = |policy| {
        let node = cluster.node(0);
        node.retune_channel("strict", |is| is.on_partition(policy))
            .expect("it can be retuned");
    };
    policy(OnPartition::Degraded);
    wait_until(
        "what waited is delivered",
        || on("strict"),
        |count| *count == 1,
    );
    send(&cluster, [0, 1], "strict")?;
    policy(OnPartition::Halt);
    assert!(is_refused(send(&cluster, [0, 1], "strict"), "strict"));
    send(&cluster, [1, 0], "strict")?;

    heal(&cluster)?;
    wait_until(
        "what waited is delivered",
        || on("strict"),
        |count| *count == 2,
    );
    for channel in ["free", "careful", "strict"] {
        send(&cluster, [0, 4], channel)?;
        send(&cluster, [4, 0], channel)?;
    }
    let refused = |node: usize| -> BTreeMap<String, u64> {
        let refused = cluster.node(node).metrics().partitioned.into_iter();
        refused
            .map(|(channel, count)| (channel.to_string(), count))
            .collect()
    };
    let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
        let counts = counts.iter();
        counts
            .map(|(channel, count)| ((*channel).to_owned(), *count))
            .collect()
    };
    assert_eq!(refused(0), counts(&[("careful", 1), ("strict", 2)]));
    assert_eq!(refused(4), counts(&[("careful", 1)]));
    cluster.finish()?;
    Ok(())
}

#[test]
fn a_sender_that_waits_for_room_hears_of_the_partition() -> Result<(), TestError> {
    let cluster = nodes().start()?;
    let mut unread = cluster.node(1).inbox_of("slow", 4096)?;
    let node = cluster.node(0);
    let channel = node.channel("narrow")?;
    let to = node.destination("n1", "slow")?;
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let waiting = std::thread::spawn(move || {
        loop {
            if let Err(unsent) = channel.send_blocking(&to, &[0_u8; 1024][..]) {
                return unsent;
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    split(&cluster);
    let why = waiting.join().expect("it does not panic");
    assert!(is_refused(Err(why), "narrow"));
    for _ in 0..sent.load(Ordering::Relaxed) {
        unread.recv_timeout(GENEROUS).expect("it was accepted");
    }
    heal(&cluster)?;
    cluster.finish()?;
    Ok(())
}

#[test]
fn what_both_sides_decided_is_merged_on_every_node_when_it_has_healed() -> Result<(), TestError> {
    let cluster = nodes().start()?;
    let merged: Arc<Mutex<BTreeMap<usize, Vec<Decision>>>> = Arc::default();
    let of = |node: usize| cluster.node(node).cluster().expect("it is in one").clone();
    let listen = |node: usize| {
        let merged = Arc::clone(&merged);
        of(node)
            .on_merge(move |decisions| {
                let mut merged = merged.lock().expect("nobody panics with it");
                merged.entry(node).or_default().extend(decisions);
            })
            .expect("there is room");
    };
    for node in 0..NODES {
        listen(node);
    }
    split(&cluster);
    for round in ["one", "two"] {
        of(1).decide(format!("few {round}")).expect("it is small");
        of(3).decide(format!("many {round}")).expect("it is small");
    }
    let seen = |node: usize| -> Vec<(String, Option<bool>, Vec<u8>)> {
        let merged = merged.lock().expect("nobody panics with it");
        let of_node = merged.get(&node).cloned().unwrap_or_default().into_iter();
        let mut seen: Vec<_> = of_node
            .map(|one| (one.by, one.with_quorum, one.payload.to_vec()))
            .collect();
        // In order for each that decided; those come in any order.
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        seen
    };
    let decided = |by: usize| -> Vec<_> {
        let (side, quorum) = if by == 1 {
            ("few", false)
        } else {
            ("many", true)
        };
        let rounds = ["one", "two"].into_iter();
        rounds
            .map(|round| {
                let what = format!("{side} {round}").into_bytes();
                (format!("n{by}"), Some(quorum), what)
            })
            .collect()
    };
    for (node, by) in [(0, 1), (2, 3), (4, 3)] {
        wait_until(
            "their side knows",
            || seen(node),
            |seen| *seen == decided(by),
        );
    }
    assert_eq!(
        (seen(1), seen(3)),
        (vec![], vec![]),
        "their own is not told"
    );
    heal(&cluster)?;
    for node in 0..NODES {
        let others = [1, 3].into_iter().filter(|by| *by != node);
        let all: Vec<_> = others.flat_map(decided).collect();
        wait_until("everybody knows", || seen(node), |seen| *seen == all);
    }

    // Whoever listens later hears of what is kept; a callback that panics ends nothing.
    of(2)
        .on_merge(|_| panic!("the application's"))
        .expect("there is room");
    merged.lock().expect("nobody panics with it").clear();
    listen(2);
    let all: Vec<_> = decided(1).into_iter().chain(decided(3)).collect();
    wait_until("what is kept is told", || seen(2), |seen| *seen == all);
    let large = of(2).decide(vec![0; 4097]).expect_err("it is too large");
    assert!(large.to_string().contains("4096"), "{large}");
    cluster.finish()?;
    Ok(())
}
