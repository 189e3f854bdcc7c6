//! The test kit: clusters in one process whose links fail and whose nodes are killed, as a user's tests have them.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use overlane::config::Reliability;
use overlane::testing::{Formation, TestCluster, TestClusterBuilder, TestError};
use overlane::{ChannelConfig, SendError};
use support::accounting::{all_acknowledged, counted};
use support::{GENEROUS, io, reliable, wait_until};

/// Nodes with a channel of each kind that is used here, and how often `in` got something.
fn nodes(count: usize, formation: Formation) -> (TestClusterBuilder, Arc<AtomicU64>) {
    let received = Arc::new(AtomicU64::new(0));
    let counts = Arc::clone(&received);
    let builder = TestCluster::builder(count)
        .channel(reliable("data"))
        .channel(reliable("kept").reliability(Reliability::Guaranteed))
        .formation(formation)
        .patience(GENEROUS)
        .configure(|config, _| config.io(io()))
        .prepare(move |node, _| {
            let counts = Arc::clone(&counts);
            node.handle("in", move |_, _| {
                counts.fetch_add(1, Ordering::Relaxed);
            })
        });
    (builder, received)
}

fn send(cluster: &TestCluster, [from, to]: [usize; 2], channel: &str) -> Result<(), TestError> {
    let from = cluster.node(from);
    let to = from.destination(&format!("n{to}"), "in")?;
    from.channel(channel)?.try_send(&to, b"x")?;
    Ok(())
}

#[test]
fn nodes_know_one_another_as_they_are_asked_to() -> Result<(), TestError> {
    for formation in [Formation::Connected, Formation::Reached] {
        let (builder, received) = nodes(3, formation);
        let cluster = builder.start()?;
        for [from, to] in [[0, 1], [1, 0], [0, 2], [2, 1], [1, 1]] {
            send(&cluster, [from, to], "data")?;
        }
        let metrics = cluster.finish()?;
        assert_eq!(received.load(Ordering::Relaxed), 5, "{formation:?}");
        all_acknowledged(&metrics[2], "n1", "data", 1);
    }
    let (builder, _) = nodes(2, Formation::Apart);
    let cluster = builder.start()?;
    let refused = send(&cluster, [0, 1], "data");
    assert!(matches!(
        refused,
        Err(TestError::Send(SendError::Unreachable))
    ));
    cluster.finish()?;
    Ok(())
}

#[test]
fn a_link_that_is_severed_cut_or_delayed_is_so_for_both_nodes() -> Result<(), TestError> {
    let (builder, received) = nodes(3, Formation::Connected);
    let cluster = builder.start()?;
    cluster.link(1, 0).sever();
    let is_connected = |from: usize, to: &str| {
        let peers = cluster.node(from).peers();
        let peer = peers.iter().find(|known| known.peer.name() == to);
        peer.is_some_and(|known| known.peer.is_connected())
    };
    let ways = || {
        [
            is_connected(0, "n1"),
            is_connected(1, "n0"),
            is_connected(0, "n2"),
        ]
    };
    wait_until("they are parted", ways, |ways| {
        *ways == [false, false, true]
    });
    send(&cluster, [0, 2], "data")?;
    cluster.link(0, 1).mend();
    cluster.wait_formed()?;
    send(&cluster, [0, 1], "data")?;
    cluster.check_accounting()?;
    let (made, _) = cluster.link(0, 1).connections();
    cluster.link(0, 1).delay(Duration::from_millis(1));
    cluster.link(0, 1).cut();
    let again = || cluster.link(0, 1).connections().0;
    wait_until("they are connected anew", again, |count| *count > made);
    cluster.wait_formed()?;
    send(&cluster, [1, 0], "kept")?;
    cluster.finish()?;
    assert_eq!(received.load(Ordering::Relaxed), 3);
    Ok(())
}

#[test]
fn what_is_kept_comes_when_a_link_is_mended() -> Result<(), TestError> {
    let (builder, received) = nodes(2, Formation::Connected);
    let cluster = builder.start()?;
    send(&cluster, [0, 1], "kept")?;
    cluster.check_accounting()?;
    cluster.link(0, 1).stall();
    for _ in 0..10 {
        send(&cluster, [0, 1], "kept")?;
    }
    cluster.link(0, 1).mend();
    let metrics = cluster.finish()?;
    all_acknowledged(&metrics[0], "n1", "kept", 11);
    assert_eq!(received.load(Ordering::Relaxed), 11);
    Ok(())
}

#[test]
fn a_node_that_was_killed_comes_back_under_its_name_and_at_its_address() -> Result<(), TestError> {
    let (builder, _) = nodes(3, Formation::Connected);
    let mut cluster = builder.start()?;
    let (address, incarnation) = {
        let node = cluster.node(1);
        (node.local_addr(), node.incarnation())
    };
    send(&cluster, [0, 1], "kept")?;
    cluster.kill(1);
    assert_eq!(cluster.nodes().count(), 2);
    let runs = cluster.start_again(0).err();
    assert!(matches!(runs, Some(TestError::State { .. })));
    let again = cluster.start_again(1)?;
    assert_eq!((again.name(), again.local_addr()), ("n1", address));
    assert!(again.incarnation() > incarnation);
    cluster.wait_formed()?;
    for [from, to] in [[1, 0], [1, 2]] {
        send(&cluster, [from, to], "data")?;
    }
    let metrics = cluster.finish()?;
    all_acknowledged(&metrics[1], "n0", "data", 1);
    Ok(())
}

#[test]
fn a_group_that_is_split_off_is_whole_again_when_it_is_mended() -> Result<(), TestError> {
    let (builder, _) = nodes(4, Formation::Connected);
    let cluster = builder.start()?;
    cluster.split_off(&[0, 1]);
    let peers_of = |node: usize| {
        let peers = cluster.node(node).peers();
        let connected = peers.iter().filter(|known| known.peer.is_connected());
        connected
            .map(|known| known.peer.name().to_owned())
            .collect::<Vec<_>>()
    };
    for (node, partner) in [(0, "n1"), (1, "n0"), (2, "n3"), (3, "n2")] {
        wait_until(
            "it sees its half alone",
            || peers_of(node),
            |peers| *peers == [partner],
        );
    }
    send(&cluster, [2, 3], "data")?;
    cluster.mend();
    cluster.wait_formed()?;
    send(&cluster, [0, 3], "data")?;
    let metrics = cluster.finish()?;
    assert_eq!(counted(&metrics[0], "n3", "data").acknowledged, 1);
    Ok(())
}

#[test]
fn what_is_wrong_is_said() {
    let bad = TestCluster::builder(1)
        .channel(ChannelConfig::new("data"))
        .configure(|config, _| config.peers_max(0_usize));
    let error = bad.start().expect_err("no peers at all");
    assert!(error.to_string().contains("n0"), "{error}");
    assert!(error.to_string().contains("peers_max"), "{error}");
    let (builder, _) = nodes(2, Formation::Apart);
    let cluster = builder.patience(Duration::from_millis(50)).start();
    let cluster = cluster.expect("nothing is waited for");
    // It is kept for a peer that never comes.
    let nobody = "127.0.0.1:1".parse().expect("an address");
    cluster.node(0).reach("n1", &[nobody]).expect("a name");
    cluster
        .node(0)
        .wait_reachable("n1", GENEROUS)
        .expect("soon");
    send(&cluster, [0, 1], "kept").expect("accepted");
    let error = cluster.check_accounting().expect_err("it waits");
    assert!(matches!(error, TestError::TimedOut { .. }), "{error}");
    assert!(error.to_string().contains("kept"), "{error}");
}
