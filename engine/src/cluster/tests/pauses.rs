//! Nodes that do not run for a while and go on, in a simulated network: their lanes stay up meanwhile.

use std::collections::BTreeSet;
use std::time::Duration;

use overlane_overlays::epoch::OverlayKind;

use super::World;

const SECOND: Duration = Duration::from_secs(1);

const KINDS: [OverlayKind; 4] = [
    OverlayKind::FullMesh,
    OverlayKind::HyParView,
    OverlayKind::PubSub,
    OverlayKind::ClientServer,
];

/// What a node got of the broadcasts whose payload begins so.
fn got(world: &World, name: &str, prefix: &str) -> BTreeSet<Vec<u8>> {
    let delivered = world.nodes[name].delivered.iter();
    let payloads = delivered.map(|(_, payload)| payload.to_vec());
    payloads
        .filter(|payload| payload.starts_with(prefix.as_bytes()))
        .collect()
}

/// A node is stopped until all others take it for gone, and broadcasts go on meanwhile. Those that begin once it runs
/// again and counts as a member come to it, though nothing is sent after them that would tell of a gap.
#[test]
fn a_node_that_goes_on_hears_what_is_broadcast_from_then_on() {
    let cases = [3, 12, 25].into_iter();
    let cases = cases.flat_map(|nodes| KINDS.map(|kind| (nodes, kind)));
    for (seed, (nodes, kind)) in (500..).zip(cases.cycle().take(36)) {
        let mut world = World::new(seed);
        if kind == OverlayKind::ClientServer {
            world.servers = vec!["n0".to_owned(), "n1".to_owned()];
        }
        world.begin(nodes, kind);
        let victim = "n2";
        world.stop(victim);
        while world.views()["n0"].contains(victim) {
            world.run_for(SECOND / 10);
        }
        for number in 0..20 {
            for by in ["n0", "n1"] {
                world.broadcast(by, format!("meanwhile {number} of {by}").as_bytes());
            }
        }
        let longer = world.random.u64(0..8_000);
        world.run_for(Duration::from_millis(longer));
        world.go_on(victim);
        while !world.views().values().all(|view| view.contains(victim)) {
            world.run_for(SECOND / 100);
        }
        for number in 0..20 {
            for by in ["n0", "n1", victim] {
                world.broadcast(by, format!("after {number} of {by}").as_bytes());
            }
        }
        world.run_for(20 * SECOND);
        for name in ["n0", "n1", victim] {
            let came = got(&world, name, "after").len();
            assert_eq!(came, 40, "{kind} of {nodes}, seed {seed}: {name}");
        }
        world.assert_agreed();
    }
}
