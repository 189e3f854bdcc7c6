//! The calls that libcluster's users know, on real nodes.

use std::net::TcpListener;
use std::time::Duration;

use overlane::config::{DiscoveryConfig, OverlayChoice, Seed, StrategyChoice};
use overlane::{Event, LibclusterTopology};

use crate::nodes::{Member, agree, cluster, name};
use crate::support::{GENEROUS, config, wait_for_event, wait_until};

#[test]
fn nodes_are_connected_at_places_and_listed() {
    let members = cluster(3, OverlayChoice::FullMesh);
    let newcomer = Member::start(&name(3), OverlayChoice::FullMesh, &[]);
    assert!(newcomer.cluster().list_nodes().is_empty());
    let places: Vec<Seed> = members
        .iter()
        .map(|member| member.node.local_addr().into())
        .collect();
    newcomer
        .cluster()
        .connect_nodes(&places, GENEROUS)
        .expect("members are there");
    let names: Vec<_> = (0..3).map(name).collect();
    wait_until(
        "all are listed",
        || newcomer.cluster().list_nodes(),
        |listed| *listed == names,
    );
}

#[test]
fn places_where_nobody_is_are_named_with_the_reason() {
    let member = Member::start("a", OverlayChoice::FullMesh, &[]);
    let other = Member::start("b", OverlayChoice::FullMesh, &[]);
    let nobody = TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .expect("a port");
    let places = [Seed::from(other.node.local_addr()), Seed::from(nobody)];
    let bad = member
        .cluster()
        .connect_nodes(&places, Duration::from_secs(5))
        .expect_err("nobody is there");
    assert_eq!(bad.0.len(), 1, "{bad}");
    assert_eq!(bad.0[0].0, nobody.to_string());
    assert!(bad.to_string().contains("refused"), "{bad}");
    agree(&[member, other]);
}

#[test]
fn nodes_are_disconnected_by_name_and_may_come_back() {
    let members = cluster(3, OverlayChoice::FullMesh);
    let events = members[0].node.events();
    let bad = members[0]
        .cluster()
        .disconnect_nodes(&[&name(1), "nobody"])
        .expect_err("one is none");
    assert_eq!(bad.0.len(), 1);
    assert!(
        bad.to_string().starts_with("nobody: no live member"),
        "{bad}"
    );
    let gone = name(1);
    wait_for_event(&events, "its lanes end", |event| match event {
        Event::PeerDown { peer, .. } if peer.name() == gone => Some(()),
        _ => None,
    });
    // Nobody has said that it is down: the overlay makes its lanes again.
    agree(&members);
}

#[test]
fn topologies_tell_whom_each_discovery_found() {
    let members = cluster(2, OverlayChoice::FullMesh);
    let hosts: Vec<Seed> = members
        .iter()
        .map(|member| member.node.local_addr().into())
        .collect();
    let listed = DiscoveryConfig::new("fixed", StrategyChoice::Static).hosts(hosts);
    let seed = members[0].node.local_addr();
    let member = Member::start_with(
        config(&name(2)).discover(listed),
        OverlayChoice::FullMesh,
        &[seed],
    );
    let topology = |name: &str, nodes: &[usize]| LibclusterTopology {
        name: name.into(),
        strategy: "Cluster.Strategy.Epmd",
        nodes: nodes
            .iter()
            .map(|number| crate::nodes::name(*number))
            .collect(),
    };
    let expected = [topology("seeds", &[0]), topology("fixed", &[0, 1])];
    wait_until(
        "both have found whom they name",
        || member.cluster().topologies(),
        |found| *found == expected,
    );
}
