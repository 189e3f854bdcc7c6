//! The layers above membership in whole clusters: both sides of a partition name the sides alike, each
//! has its coordinator, and the healed cluster has one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;
use crate::event::Event;
use crate::partitions;
use crate::sim::carrier::{Carrier, Task};
use crate::sim::subject::Observer;
use crate::time::Time;

const SECOND: Duration = Duration::from_secs(1);
const NODES: NodeId = 60;

/// What each node told last of the layers.
#[derive(Debug, Default)]
struct Told {
    coordinators: BTreeMap<NodeId, NodeId>,
    sides: BTreeMap<NodeId, (Vec<NodeId>, Vec<NodeId>)>,
    healed: BTreeMap<NodeId, Vec<NodeId>>,
}

impl<X: Subject> Observer<X> for Told {
    fn event(&mut self, _at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        match event {
            Event::Coordinator(peer) => {
                self.coordinators.insert(node, *peer);
            }
            Event::Partitioned { here, there } => {
                let sides = (here.clone(), there.clone());
                assert!(self.sides.insert(node, sides).is_none(), "told twice");
            }
            Event::Healed { missing } => {
                self.healed.insert(node, missing.clone());
            }
            _ => {}
        }
    }
}

struct Split(u64);

impl Task for Split {
    type Output = ();

    fn run<C: Subject + 'static>(self, carrier: MakeCarrier<C>) {
        println!("seed {}", self.0);
        let mut below = with_membership(Config::default(), None, carrier);
        let make: Make<_> = Box::new(move |node, starts| {
            let sides = Partitions::new(node, partitions::Config::default());
            let layered = Stack::new(below(node, starts), sides);
            Stack::new(layered, Coordinator::new(node))
        });
        let mut world = World::new(self.0, NetworkConfig::default(), make, Told::default());
        for node in 0..NODES {
            world.add_node();
            if node > 0 {
                world.command(node, Command::Join(0));
            }
        }
        world.run_for(60 * SECOND);
        let ours = |told: &Told, node| told.coordinators.get(&node).copied();
        assert!((0..NODES).all(|node| ours(&world.observer, node) == Some(0)));

        world.cut_in_halves();
        world.run_for(60 * SECOND);
        for node in 0..NODES {
            let (here, there): (Vec<NodeId>, Vec<NodeId>) =
                (0..NODES).partition(|other| other % 2 == node % 2);
            let told = world.observer.sides.get(&node);
            assert_eq!(told, Some(&(here, there)), "node {node}");
            assert_eq!(ours(&world.observer, node), Some(node % 2), "node {node}");
        }
        assert!(world.observer.healed.is_empty());

        world.heal();
        world.run_for(60 * SECOND);
        for node in 0..NODES {
            assert!(world.observer.healed.contains_key(&node), "node {node}");
            assert_eq!(ours(&world.observer, node), Some(0), "node {node}");
        }
    }
}

#[test]
fn both_sides_of_a_partition_are_named_alike_and_each_has_its_coordinator() {
    for carrier in [Carrier::FullMesh, Carrier::HyParView] {
        println!("{carrier}");
        carrier.run(NODES, Split(3));
    }
}
