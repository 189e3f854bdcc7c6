//! Rounds between nodes, message by message; then any states, losses and partitions, against a model.

use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::message as wire;

type Node = AntiEntropy<u32, Memory>;

fn node(config: &Config) -> Node {
    AntiEntropy::new(config.clone(), Memory::default())
}

fn key(number: u32) -> Bytes {
    Bytes::from(format!("key {number}"))
}

fn input(
    node: &mut Node,
    random: &mut SmallRng,
    input: Input<u32, Message, Round>,
) -> Outputs<u32> {
    let mut out = Vec::new();
    node.handle(Time::ZERO, input, random, &mut out);
    node.check().unwrap();
    out
}

fn write(node: &mut Node, number: u32, version: u64, bytes: usize) -> Outputs<u32> {
    let value = vec![u8::try_from(version % 251).unwrap(); bytes];
    let command = Command::Write {
        key: key(number),
        version,
        value: value.into(),
    };
    let mut random = SmallRng::seed_from_u64(1);
    input(node, &mut random, Input::Command(command))
}

/// Nodes that all are neighbors of each other, but for those that are cut off.
struct Net {
    nodes: Vec<Node>,
    random: SmallRng,
    loss: f64,
    /// Nodes on different sides do not hear each other.
    sides: Vec<bool>,
    /// Bytes and messages of the last period.
    bytes: usize,
    messages: usize,
    /// What the nodes told of values that came.
    told: BTreeMap<(usize, Bytes), (u64, Bytes)>,
}

impl Net {
    fn new(seed: u64, count: usize, config: &Config) -> Self {
        let mut net = Self {
            nodes: (0..count).map(|_| node(config)).collect(),
            random: SmallRng::seed_from_u64(seed),
            loss: 0.0,
            sides: vec![false; count],
            bytes: 0,
            messages: 0,
            told: BTreeMap::new(),
        };
        for one in 0..count {
            for other in (0..count).filter(|other| *other != one) {
                let up = Event::NeighborUp(u32::try_from(other).unwrap());
                input(&mut net.nodes[one], &mut net.random, Input::Below(up));
            }
        }
        net
    }

    /// One period: each node begins a round, and all messages arrive but those that are lost.
    fn period(&mut self) {
        (self.bytes, self.messages) = (0, 0);
        let mut queue = Vec::new();
        for at in 0..self.nodes.len() {
            let out = input(&mut self.nodes[at], &mut self.random, Input::Timer(Round));
            self.carry_out(at, out, &mut queue);
        }
        while let Some((from, to, message)) = queue.pop() {
            let from_peer = u32::try_from(from).unwrap();
            let received = Input::Received {
                from: from_peer,
                message,
            };
            let out = input(&mut self.nodes[to], &mut self.random, received);
            self.carry_out(to, out, &mut queue);
        }
    }

    fn carry_out(
        &mut self,
        at: usize,
        out: Outputs<u32>,
        queue: &mut Vec<(usize, usize, Message)>,
    ) {
        for output in out {
            match output {
                Output::Send { to, message } => {
                    let bytes = wire::encode(&message);
                    assert!(bytes.len() <= bytes_of(&message), "{message:?}");
                    assert_eq!(wire::decode::<Message>(&bytes).as_ref(), Ok(&message));
                    self.bytes += bytes.len();
                    self.messages += 1;
                    let to = usize::try_from(to).unwrap();
                    let is_cut = self.sides[at] != self.sides[to];
                    if !is_cut && !self.random.random_bool(self.loss) {
                        queue.push((at, to, message));
                    }
                }
                Output::Event(Event::Written {
                    key,
                    version,
                    value,
                    ..
                }) => {
                    let before = self.told.insert((at, key), (version, value));
                    assert!(before.is_none_or(|before| before.0 < version));
                }
                _ => {}
            }
        }
    }

    fn agree(&self) -> bool {
        let mut digests = self.nodes.iter().map(Node::digest);
        let first = digests.next();
        digests.all(|digest| Some(digest) == first)
    }

    /// Periods until all agree.
    fn periods_to_agree(&mut self, most: usize) -> usize {
        (0..most)
            .find(|_| {
                let agree = self.agree();
                if !agree {
                    self.period();
                }
                agree
            })
            .unwrap_or_else(|| panic!("no agreement after {most} periods"))
    }
}

#[test]
fn equal_states_cost_one_small_message_a_round() {
    let config = Config::default();
    let mut net = Net::new(1, 2, &config);
    for at in 0..2 {
        for number in 0..5_000 {
            write(&mut net.nodes[at], number, 1, 10);
        }
    }
    net.period();
    assert_eq!((net.messages, net.told.len()), (2, 0));
    assert!(net.bytes < 60, "{}", net.bytes);
}

#[test]
fn one_difference_in_many_keys_costs_as_many_messages_as_there_are_levels() {
    let config = Config::default();
    let mut net = Net::new(1, 2, &config);
    for at in 0..2 {
        for number in 0..100_000 {
            write(&mut net.nodes[at], number, 1, 1);
        }
    }
    write(&mut net.nodes[0], 77_777, 2, 9);
    net.period();
    assert!(net.agree());
    assert_eq!(net.told[&(1, key(77_777))].0, 2);
    // The whole, sixteen parts twice or thrice, a list, the value, and the round of the other node.
    assert!(
        net.messages <= 14 && net.bytes < 8_000,
        "{} {}",
        net.messages,
        net.bytes
    );
}

#[test]
fn the_newer_value_wins_on_both_sides_and_is_told_once() {
    let config = Config::default();
    let mut net = Net::new(2, 2, &config);
    for (at, versions) in [[3, 1], [2, 5]].into_iter().enumerate() {
        write(&mut net.nodes[at], 0, versions[0], 4);
        write(&mut net.nodes[at], 1, versions[1], 4);
    }
    write(&mut net.nodes[1], 2, 7, 4);
    for _ in 0..5 {
        net.period();
    }
    let told: Vec<(usize, Bytes, u64)> = net
        .told
        .iter()
        .map(|((at, key), (version, _))| (*at, key.clone(), *version))
        .collect();
    assert_eq!(told, [(0, key(1), 5), (0, key(2), 7), (1, key(0), 3)]);
    assert_eq!(net.nodes[0].state(), net.nodes[1].state());
}

#[test]
fn a_period_costs_no_more_than_it_may_and_a_large_state_comes_in_many() {
    let config = Config {
        bytes_per_period_max: 64 * 1024,
        bytes_per_peer_max: 32 * 1024,
        ..Config::default()
    };
    let mut net = Net::new(3, 2, &config);
    for number in 0..3_000 {
        write(&mut net.nodes[0], number, 1, 100);
    }
    let mut before = 0;
    for _ in 0..5 {
        net.period();
        assert!(net.bytes <= 2 * 32 * 1024, "{}", net.bytes);
        let keys = net.nodes[1].index.len();
        assert!(keys >= before + 100, "{before}, then {keys}");
        before = keys;
    }
    let periods = net.periods_to_agree(60);
    println!("{periods} more");
    assert!(periods > 5, "300 KB in 32 KiB each");
}

#[test]
fn what_the_application_may_not_write_is_given_back() {
    let config = Config {
        keys_max: 2,
        ..Config::default()
    };
    let mut node = node(&config);
    assert_eq!(write(&mut node, 1, 5, 4), []);
    let why = |out: &Outputs<u32>| match &out[..] {
        [Output::Event(Event::Refused { why, .. })] => *why,
        _ => panic!("{out:?}"),
    };
    let refused = why(&write(&mut node, 1, 5, 4));
    assert_eq!(refused, Refusal::Outdated { newest: 5 });
    let refused = why(&write(&mut node, 2, 1, VALUE_BYTES_MAX + 1));
    assert!(matches!(refused, Refusal::TooLarge { .. }));
    assert_eq!(write(&mut node, 2, 1, VALUE_BYTES_MAX), []);
    let refused = why(&write(&mut node, 3, 1, 1));
    assert_eq!(refused, Refusal::TooMany { most: 2 });
    let mut random = SmallRng::seed_from_u64(1);
    let entry = |number, version| Entry {
        key: key(number),
        version,
        value: Bytes::new(),
    };
    let message = Message::Values(vec![entry(3, 9), entry(1, 4), entry(1, 6)]);
    let out = input(&mut node, &mut random, Input::Received { from: 3, message });
    assert_eq!((out.len(), node.refused(), node.index.len()), (1, 1, 2));
    assert_eq!(node.index.version(&key(1)), Some(6));
}

#[test]
fn who_asks_for_much_leaves_room_for_others() {
    let config = Config::default();
    let mut node = node(&config);
    for number in 0..20 {
        write(&mut node, number, 1, 30_000);
    }
    let mut random = SmallRng::seed_from_u64(1);
    let mut values = |from| {
        let keys = (0..20).map(key).collect();
        let message = Message::Want(keys);
        let out = input(&mut node, &mut random, Input::Received { from, message });
        out.len()
    };
    let per_peer = values(1);
    assert!(
        (3..=4).contains(&per_peer),
        "{per_peer} of 20 messages of 30 kB"
    );
    assert_eq!(values(1), 0, "until the next period");
    assert_eq!(values(2), per_peer);
    assert_eq!(values(3), 0, "for all together");
}

#[derive(Clone, Debug)]
enum Step {
    Write { at: usize, number: u32, later: u64 },
    Cut(u8),
    Heal,
    Period,
    Restart(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0_usize..8, 0_u32..40, 0_u64..3)
            .prop_map(|(at, number, later)| Step::Write { at, number, later }),
        1 => any::<u8>().prop_map(Step::Cut),
        1 => Just(Step::Heal),
        2 => Just(Step::Period),
        1 => (0_usize..8).prop_map(Step::Restart),
    ]
}

proptest! {
    /// The model is a map: for each key the greatest version that anybody wrote and nobody lost.
    #[test]
    fn all_states_are_the_newest_of_all_in_the_end(
        seed in any::<u64>(),
        count in 2_usize..8,
        loss in 0.0..0.5,
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let config = Config {
            bytes_per_period_max: 4 * 1024,
            bytes_per_peer_max: 2 * 1024,
            ..Config::default()
        };
        let mut net = Net::new(seed, count, &config);
        net.loss = loss;
        let mut clock = 0;
        for step in steps {
            match step {
                Step::Write { at, number, later } => {
                    // Each version once: a clock, and the node that writes.
                    clock += later;
                    let version = clock * 8 + at as u64 % count as u64;
                    write(&mut net.nodes[at % count], number, version, 20);
                }
                Step::Cut(side) => {
                    net.sides = (0..count).map(|at| side & (1 << at) != 0).collect();
                }
                Step::Heal => net.sides = vec![false; count],
                Step::Period => net.period(),
                Step::Restart(at) => {
                    let at = at % count;
                    net.nodes[at] = node(&config);
                    net.told.retain(|(node, _), _| *node != at);
                    for other in (0..count).filter(|other| *other != at) {
                        let up = Event::NeighborUp(u32::try_from(other).unwrap());
                        input(&mut net.nodes[at], &mut net.random, Input::Below(up));
                    }
                }
            }
        }
        let mut newest: BTreeMap<Bytes, (u64, Bytes)> = BTreeMap::new();
        for node in &net.nodes {
            for (key, version, value) in node.state().iter() {
                let known = newest.entry(key.clone()).or_insert_with(|| (version, value.clone()));
                if known.0 < version {
                    *known = (version, value.clone());
                }
            }
        }
        net.sides = vec![false; count];
        net.periods_to_agree(400);
        for (at, node) in net.nodes.iter().enumerate() {
            let entries = node.state().iter();
            let state: BTreeMap<Bytes, (u64, Bytes)> =
                entries.map(|(key, version, value)| (key.clone(), (version, value.clone()))).collect();
            prop_assert_eq!(&state, &newest, "node {}", at);
            for ((_, key), told) in net.told.iter().filter(|((told_at, _), _)| *told_at == at) {
                prop_assert!(told.0 <= newest[key].0);
            }
        }
    }
}
