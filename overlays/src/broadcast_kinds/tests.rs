//! What the layer does with each kind, at nodes that a test hands messages to. The kinds themselves are tested where they
//! are; all of them over real stacks, in the engine.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::event::Refusal;

struct Node {
    me: u32,
    layer: BroadcastKinds<u32>,
    random: SmallRng,
    now: Time,
    sent: u64,
}

type Outputs = Vec<Output<u32, Message<u32>, Timer>>;

impl Node {
    /// With node 9 as its neighbor, and past the time in which it looks for where to begin.
    fn new(me: u32) -> Self {
        let mut node = Self {
            me,
            layer: BroadcastKinds::new(me, 1, Config::default()),
            random: SmallRng::seed_from_u64(me.into()),
            now: Time::ZERO,
            sent: 0,
        };
        node.input(Input::Start);
        node.input(Input::Below(Event::NeighborUp(9)));
        for _ in 0..3 {
            node.now = node.now + Duration::from_secs(1);
            let period = Half::Lower(causal_broadcast::Timer::Period);
            node.input(Input::Timer(period));
        }
        node
    }

    fn input(&mut self, input: Input<u32, Message<u32>, Timer>) -> Outputs {
        let mut out = Vec::new();
        self.layer
            .handle(self.now, input, &mut self.random, &mut out);
        self.layer.check().unwrap();
        out
    }

    /// What goes to the broadcast below for an order, as it is delivered elsewhere.
    fn order(&mut self, command: Command<u32>) -> Delivery<u32> {
        let out = self.input(Input::Command(command));
        let below = out.into_iter().find_map(|output| match output {
            Output::Below(Command::Broadcast(payload)) => Some(payload),
            _ => None,
        });
        self.sent += 1;
        Delivery {
            sender: self.me,
            id: MessageId {
                sender: self.me.into(),
                number: self.sent,
            },
            topic: None,
            payload: below.expect("it is broadcast"),
            hops: 1,
        }
    }

    /// The payloads that are told when this comes.
    fn arrives(&mut self, delivery: &Delivery<u32>) -> Vec<u8> {
        let out = self.input(Input::Below(Event::Delivered(delivery.clone())));
        let told = out.into_iter().filter_map(|output| match output {
            Output::Event(Event::Delivered(delivery)) => Some(delivery.payload.body[0]),
            _ => None,
        });
        told.collect()
    }
}

fn payload(byte: u8) -> Payload {
    vec![byte].into()
}

#[test]
fn causal_ones_wait_for_what_they_follow_and_plain_ones_for_nothing() {
    let [mut one, mut other, mut third] = [1, 2, 3].map(Node::new);
    let first = one.order(Command::CausalBroadcast(payload(1)));
    assert_eq!(other.arrives(&first), [1]);
    let second = other.order(Command::CausalBroadcast(payload(2)));
    let plain = other.order(Command::Broadcast(payload(3)));
    assert_eq!(third.arrives(&second), [0; 0], "it follows the first");
    assert_eq!(third.layer.held(), 1);
    assert_eq!(third.arrives(&plain), [3]);
    assert_eq!(third.arrives(&first), [1, 2]);
    assert_eq!(third.layer.held(), 0);
}

#[test]
fn what_is_refused_below_is_given_back_as_it_was_ordered() {
    let mut node = Node::new(1);
    for command in [
        Command::Broadcast(payload(1)),
        Command::CausalBroadcast(payload(2)),
    ] {
        let marked = node.order(command.clone()).payload;
        let why = Refusal::Busy;
        let out = node.input(Input::Below(Event::Refused {
            command: Command::Broadcast(marked),
            why,
        }));
        assert!(
            out.contains(&Output::Event(Event::Refused { command, why })),
            "{out:?}"
        );
    }
}

#[test]
fn a_node_that_uses_neither_order_sets_no_timer_once_it_knows_where_to_begin() {
    let mut node = Node::new(1);
    let plain = node.order(Command::Broadcast(payload(1)));
    let mut other = Node::new(2);
    for input in [
        Input::Below(Event::MemberUp(7)),
        Input::Below(Event::NeighborUp(7)),
        Input::Below(Event::Delivered(plain)),
    ] {
        let out = other.input(input);
        let sets = |output: &Output<_, _, _>| matches!(output, Output::SetTimer { .. });
        assert!(!out.iter().any(sets), "{out:?}");
    }
    // The first causal message begins the periods.
    let causal = node.order(Command::CausalBroadcast(payload(2)));
    let out = other.input(Input::Below(Event::Delivered(causal)));
    let period = Half::Lower(causal_broadcast::Timer::Period);
    assert!(
        out.iter()
            .any(|output| matches!(output, Output::SetTimer { id, .. } if *id == period))
    );
}

#[test]
fn what_is_no_broadcast_of_this_layer_is_counted() {
    let mut node = Node::new(1);
    let mut delivery = Node::new(2).order(Command::Broadcast(payload(1)));
    delivery.payload = payload(1);
    assert_eq!(node.arrives(&delivery), [0; 0]);
    delivery.payload = payload(1).marked(9);
    assert_eq!(node.arrives(&delivery), [0; 0]);
    assert_eq!(node.layer.malformed(), 2);
}
