//! Lanes that cost something, seen by nodes that do nothing but dial, send and note what happens to them.

use std::time::Duration;

use bytes::Bytes;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::super::lanes::LaneConfig;
use super::super::network::{Latency, NetworkConfig};
use super::super::subject::Inspect;
use super::*;
use crate::event::{Command, InputOf, Output, OutputOf, Overlay, Protocol};
use crate::message::{DecodeError, Message};
use crate::time::Time;

/// A message with a payload, or with none.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Note {
    #[serde(skip)]
    body: Bytes,
}

impl Message for Note {
    const BYTES_MAX: usize = 1 << 20;

    fn tail(&self) -> Bytes {
        self.body.clone()
    }

    fn attach(&mut self, tail: Bytes) -> Result<(), DecodeError> {
        self.body = tail;
        Ok(())
    }

    fn validate(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// What happened to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Came(NodeId, usize),
    Up(NodeId),
    Down(NodeId, WhyDown),
    Congested(NodeId),
    Drained(NodeId),
}

/// A node that notes what happens to it, and when in milliseconds.
#[derive(Debug, Default)]
struct Notes(Vec<(u64, Seen)>);

impl Protocol<NodeId> for Notes {
    type Message = Note;
    type Timer = ();

    fn handle<R: Rng>(
        &mut self,
        now: Time,
        input: InputOf<Self, NodeId>,
        _random: &mut R,
        out: &mut Vec<OutputOf<Self, NodeId>>,
    ) {
        let seen = match input {
            Input::Received { from, message } => Seen::Came(from, message.body.len()),
            Input::PeerUp(peer) => Seen::Up(peer),
            Input::PeerDown { peer, why } => Seen::Down(peer, why),
            Input::Congested(peer) => Seen::Congested(peer),
            Input::Drained(peer) => Seen::Drained(peer),
            Input::Command(Command::Join(peer)) => return out.push(Output::Connect(peer)),
            Input::Command(Command::Relay { to, payload: body }) => {
                let message = Note { body };
                return out.push(Output::Send { to, message });
            }
            _ => return,
        };
        self.0.push((now.as_micros() / 1_000, seen));
    }
}

impl Overlay<NodeId> for Notes {
    fn neighbors(&self) -> Vec<NodeId> {
        Vec::new()
    }
}

impl Inspect for Notes {}

/// Two nodes, 10 ms apart.
fn pair(network: NetworkConfig) -> World<Notes, ()> {
    many(2, network)
}

fn many(nodes: NodeId, network: NetworkConfig) -> World<Notes, ()> {
    let latency = Duration::from_millis(10);
    let network = NetworkConfig {
        latency: Latency::PerLink {
            min: latency,
            max: latency,
        },
        ..network
    };
    let make = Box::new(|_, _| Notes::default());
    let mut world = World::new(1, network, make, ());
    for _ in 0..nodes {
        world.add_node();
    }
    world
}

fn with(lanes: LaneConfig) -> NetworkConfig {
    NetworkConfig {
        lanes,
        ..NetworkConfig::default()
    }
}

fn send(world: &mut World<Notes, ()>, from: NodeId, to: NodeId, bytes: usize) {
    let payload = vec![0; bytes].into();
    world.command(from, Command::Relay { to, payload });
}

fn seen(world: &World<Notes, ()>, node: NodeId) -> Vec<(u64, Seen)> {
    world
        .state(node)
        .map(|notes| notes.0.clone())
        .unwrap_or_default()
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_lane_costs_one_round_trip_and_a_message_none_unless_asked_for() {
    let mut world = pair(NetworkConfig::default());
    world.command(0, Command::Join(1));
    send(&mut world, 0, 1, 5);
    world.run_for(SECOND);
    assert_eq!(seen(&world, 0), [(20, Seen::Up(1))]);
    assert_eq!(seen(&world, 1), [(10, Seen::Up(0)), (10, Seen::Came(0, 5))]);
}

#[test]
fn dials_take_their_round_trips_also_for_a_message_without_a_lane() {
    let lanes = LaneConfig {
        dial_round_trips: Some(3),
        ..LaneConfig::default()
    };
    let mut world = many(3, with(lanes));
    world.command(0, Command::Join(1));
    send(&mut world, 0, 2, 5);
    world.run_for(SECOND);
    send(&mut world, 2, 0, 6);
    send(&mut world, 0, 1, 7);
    world.run_for(20 * SECOND);
    send(&mut world, 0, 2, 8);
    world.run_for(SECOND);
    assert_eq!(
        seen(&world, 0),
        [(60, Seen::Up(1)), (1_010, Seen::Came(2, 6))]
    );
    assert_eq!(
        seen(&world, 1),
        [(50, Seen::Up(0)), (1_010, Seen::Came(0, 7))]
    );
    let twice = [(70, Seen::Came(0, 5)), (21_070, Seen::Came(0, 8))];
    assert_eq!(seen(&world, 2), twice, "idle, it closes after 10 s");
}

#[test]
fn a_dial_that_fails_is_told_when_its_time_is_over() {
    let lanes = LaneConfig {
        dial_round_trips: Some(2),
        dial_failures: 1.0,
        ..LaneConfig::default()
    };
    let mut world = many(3, with(lanes));
    world.command(0, Command::Join(1));
    send(&mut world, 0, 2, 5);
    world.run_for(10 * SECOND);
    let down = |peer| (3_000, Seen::Down(peer, WhyDown::TimedOut));
    assert_eq!(seen(&world, 0), [down(1), down(2)]);
    assert_eq!((seen(&world, 1), seen(&world, 2)), (Vec::new(), Vec::new()));
}

#[test]
fn payloads_take_their_time_and_a_full_queue_refuses_them_and_nothing_else() {
    let lanes = LaneConfig {
        bytes_per_s: Some(100_000),
        queue_bytes: 10_000,
        ..LaneConfig::default()
    };
    let mut world = pair(with(lanes));
    for _ in 0..12 {
        send(&mut world, 0, 1, 1_000);
    }
    send(&mut world, 0, 1, 0);
    world.run_for(SECOND);
    assert_eq!(world.totals().refused, 2);
    let came: Vec<(u64, Seen)> = (1..=10)
        .map(|nth| (10 + 10 * nth, Seen::Came(0, 1_000)))
        .collect();
    let expected = [&[(10, Seen::Came(0, 0))][..], &came].concat();
    assert_eq!(seen(&world, 1), expected, "control messages go their way");
    let told = [(0, Seen::Congested(1)), (80, Seen::Drained(1))];
    assert_eq!(seen(&world, 0), told, "at 80 and at 20 percent");
}

#[test]
fn a_broken_pair_is_reached_by_all_others_and_never_by_each_other() {
    let network = NetworkConfig {
        broken_pairs: 0.2,
        ..NetworkConfig::default()
    };
    let mut world = many(30, network);
    for from in 0..30 {
        for to in (0..30).filter(|to| *to != from) {
            world.command(from, Command::Join(to));
        }
    }
    world.run_for(10 * SECOND);
    let mut broken = 0;
    for from in 0..30 {
        for to in (0..30).filter(|to| *to != from) {
            let met = |node: NodeId, peer| {
                let notes = seen(&world, node);
                notes.iter().any(|(_, seen)| *seen == Seen::Up(peer))
            };
            assert_eq!(met(from, to), met(to, from));
            broken += usize::from(!met(from, to));
        }
    }
    assert!((100..250).contains(&broken), "{broken} of 870");
}

#[test]
fn a_lane_that_breaks_is_told_to_both_ends_which_can_make_another() {
    let mut world = pair(NetworkConfig::default());
    world.command(0, Command::Join(1));
    world.run_for(SECOND);
    world.break_lane(0, 1);
    world.run_for(SECOND);
    world.command(1, Command::Join(0));
    world.run_for(SECOND);
    let down = |peer| (1_010, Seen::Down(peer, WhyDown::Lost));
    assert_eq!(seen(&world, 0)[1..], [down(1), (2_010, Seen::Up(1))]);
    assert_eq!(seen(&world, 1)[1..], [down(0), (2_020, Seen::Up(0))]);
}

#[test]
fn one_way_loss_is_of_one_way() {
    let network = NetworkConfig {
        one_way_loss: 1.0,
        ..NetworkConfig::default()
    };
    let mut world = many(20, network);
    for node in 0..19 {
        send(&mut world, node, node + 1, 1);
        send(&mut world, node + 1, node, 2);
    }
    world.run_for(SECOND);
    let came: Vec<Seen> = (0..20)
        .flat_map(|node| seen(&world, node))
        .map(|(_, seen)| seen)
        .collect();
    assert_eq!(came.len(), 19, "of each pair one");
    let is_upwards = |seen: &&Seen| matches!(seen, Seen::Came(_, 1));
    let upwards = came.iter().filter(is_upwards).count();
    assert!((3..17).contains(&upwards), "either way: {upwards}");
}
