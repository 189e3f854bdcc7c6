//! Full meshes with direct broadcast under loss, reordering, second copies, crashes, restarts and broken
//! lanes, against a simple model: who lives from before a broadcast to the end gets it, once.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::full_mesh::{self, FullMesh};
use crate::sim::{Death, Make, NetworkConfig, NodeId, Observer, Subject, World};
use crate::stack::Stack;

const CATCH_UP: Duration = Duration::from_secs(3);

type Node = Stack<FullMesh<NodeId>, Direct<NodeId>>;

/// The lives of nodes, what each sent and what it delivered.
#[derive(Debug, Default)]
struct Model {
    /// In which life each node is, counted from zero.
    lives: BTreeMap<NodeId, u32>,
    sent: Vec<Sent>,
    delivered: BTreeMap<(NodeId, u32, usize), u32>,
}

#[derive(Debug)]
struct Sent {
    by: (NodeId, u32),
    /// Who lived then.
    to: Vec<(NodeId, u32)>,
}

impl<X: Subject> Observer<X> for Model {
    fn event(&mut self, _at: Time, node: NodeId, _state: &X, event: &Event<NodeId>) {
        if let Event::Delivered(delivery) = event {
            let number = delivery.payload.body.first_chunk().copied();
            let number = usize::try_from(u64::from_le_bytes(number.unwrap())).unwrap();
            assert_eq!(self.sent[number].by.0, delivery.sender);
            let life = self.lives[&node];
            *self.delivered.entry((node, life, number)).or_default() += 1;
        }
    }
}

impl Model {
    /// What is missing or too much, of those that live on.
    fn check(&self) -> Result<(), String> {
        for (number, sent) in self.sent.iter().enumerate() {
            for (node, life) in &sent.to {
                let count = self.delivered.get(&(*node, *life, number));
                let count = count.copied().unwrap_or_default();
                let lives = |(node, life)| self.lives.get(&node) == Some(&life);
                let due = lives((*node, *life)) && lives(sent.by) && (*node, *life) != sent.by;
                if count > 1 || (*node, *life) == sent.by && count > 0 || due && count == 0 {
                    return Err(format!("{number} of {:?}: {count} at {node}", sent.by));
                }
            }
        }
        Ok(())
    }
}

/// A cluster that knows each other, and time to connect.
fn cluster(
    seed: u64,
    nodes: NodeId,
    network: NetworkConfig,
    catch_up_for: Duration,
) -> World<Node, Model> {
    let make: Make<Node> = Box::new(move |node, _| {
        let mesh = FullMesh::new(node, full_mesh::Config::default());
        let mut config = Config {
            catch_up_for,
            ..Config::default()
        };
        config.store.keep_for = Duration::from_secs(120);
        Stack::new(mesh, Direct::new(node, config))
    });
    let mut world = World::new(seed, network, make, Model::default());
    for node in 0..nodes {
        world.add_node();
        world.observer.lives.insert(node, 0);
        world.command(node, Command::Join(0));
    }
    world.run_for(Duration::from_secs(30));
    world
}

fn broadcast(world: &mut World<Node, Model>, node: NodeId) {
    if world.state(node).is_none() {
        return;
    }
    let number = world.observer.sent.len() as u64;
    let lives = world.observer.lives.clone();
    let by = (node, lives[&node]);
    world.observer.sent.push(Sent {
        by,
        to: lives.into_iter().collect(),
    });
    let payload = number.to_le_bytes().to_vec();
    world.command(node, Command::Broadcast(payload.into()));
}

#[derive(Clone, Debug)]
enum Step {
    Broadcast(NodeId),
    Crash(NodeId, bool),
    Restart(NodeId),
    /// The lane between two breaks for this long, in both directions or one.
    Break(NodeId, NodeId, bool),
    Heal,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let node = || 0_u32..8;
    prop_oneof![
        6 => node().prop_map(Step::Broadcast),
        1 => (node(), any::<bool>()).prop_map(|(node, silent)| Step::Crash(node, silent)),
        1 => node().prop_map(Step::Restart),
        1 => (node(), node(), any::<bool>()).prop_map(|(one, other, both)| Step::Break(one, other, both)),
        1 => Just(Step::Heal),
        6 => (1_u64..800).prop_map(Step::Wait),
    ]
}

fn take(world: &mut World<Node, Model>, step: &Step, nodes: NodeId) {
    match *step {
        Step::Broadcast(node) => broadcast(world, node % nodes),
        Step::Crash(node, silent) if world.state(node % nodes).is_some() => {
            let death = if silent {
                Death::Silent
            } else {
                Death::Refuses
            };
            world.observer.lives.remove(&(node % nodes));
            world.crash(node % nodes, death);
        }
        Step::Restart(node) if world.state(node % nodes).is_none() => {
            let node = node % nodes;
            world.observer.lives.insert(node, world.starts(node));
            world.restart(node);
            for contact in 0..nodes {
                world.command(node, Command::Join(contact));
            }
        }
        Step::Break(one, other, both) => {
            let only = |node: NodeId| (0..nodes).map(|other| other == node % nodes).collect();
            world.cut(only(one), only(other));
            if both {
                world.cut(only(other), only(one));
            }
        }
        Step::Heal => world.heal(),
        Step::Wait(millis) => world.run_for(Duration::from_millis(millis)),
        Step::Crash(..) | Step::Restart(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn who_lives_from_before_a_broadcast_to_the_end_gets_it_once(
        seed in any::<u64>(),
        nodes in 2_u32..8,
        loss in prop_oneof![Just(0.0), 0.0..0.4],
        duplication in prop_oneof![Just(0.0), 0.0..0.3],
        reorder in prop_oneof![Just(0.0), 0.0..0.5],
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let duplication_delay = Duration::from_secs(30);
        let network = NetworkConfig { loss, duplication, duplication_delay, reorder, ..NetworkConfig::default() };
        // Who was cut off for long, and never heard of a sender, is a newcomer to it.
        let is_cut = steps.iter().any(|step| matches!(step, Step::Break(..)));
        let catch_up = if is_cut { CATCH_UP * 40 } else { CATCH_UP };
        let mut world = cluster(seed, nodes, network, catch_up);
        for step in &steps {
            take(&mut world, step, nodes);
        }
        world.heal();
        world.run_for(Duration::from_secs(90));
        world.observer.check().map_err(TestCaseError::fail)?;
    }
}

#[test]
fn a_lane_that_stays_broken_loses_nothing() {
    let mut world = cluster(5, 20, NetworkConfig::default(), CATCH_UP);
    take(&mut world, &Step::Break(4, 5, true), 20);
    world.run_for(Duration::from_secs(10));
    for node in [4, 5, 4, 12] {
        broadcast(&mut world, node);
    }
    world.run_for(Duration::from_secs(5));
    assert!(!world.state(4).unwrap().upper.neighbors.contains_key(&5));
    world.observer.check().unwrap();
}

#[test]
fn a_broadcast_is_one_message_a_node_and_two_small_ones() {
    let mut world = cluster(7, 100, NetworkConfig::default(), CATCH_UP);
    let before = world.totals().messages;
    for _ in 0..20 {
        broadcast(&mut world, 3);
        world.run_for(Duration::from_secs(1));
    }
    // The mesh itself: a sample of neighbors per node and 5 s, in 20 s.
    let messages = world.totals().messages - before - 400;
    assert!((5_900..6_100).contains(&messages), "{messages}");
    world.observer.check().unwrap();
}
