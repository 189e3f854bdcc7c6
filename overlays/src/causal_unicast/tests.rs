//! Causal unicast among a few nodes whose network the test plays.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::event::PAYLOAD_BYTES_MAX;
use crate::hold_back::Count;
use crate::message::{Message as _, decode, encode};

const SECOND: Duration = Duration::from_secs(1);
const A: usize = 0;
const B: usize = 1;
const C: usize = 2;
const D: usize = 3;

type Packet = (u32, u32, Message<u32>);

/// Some nodes, what is under way between them, and what they told.
struct Net {
    nodes: Vec<CausalUnicast<u32>>,
    now: Time,
    timers: Vec<(Time, usize, Timer)>,
    packets: Vec<Packet>,
    told: Vec<Vec<String>>,
    random: Xoshiro256PlusPlus,
}

impl Net {
    fn new(count: u32) -> Self {
        Self::with(count, &Config::default()).met()
    }

    fn with(count: u32, config: &Config) -> Self {
        let nodes = (0..count).map(|me| CausalUnicast::new(me, 1, config.clone()));
        let nodes: Vec<_> = nodes.collect();
        let mut net = Self {
            told: vec![Vec::new(); nodes.len()],
            nodes,
            now: Time::ZERO,
            timers: Vec::new(),
            packets: Vec::new(),
            random: Xoshiro256PlusPlus::seed_from_u64(1),
        };
        for at in 0..net.nodes.len() {
            net.input(at, Input::Start);
        }
        net
    }

    /// All nodes know each other's first lives.
    fn met(mut self) -> Self {
        let count = u32::try_from(self.nodes.len()).unwrap();
        for (me, node) in (0..).zip(&mut self.nodes) {
            for peer in (0..count).filter(|peer| *peer != me) {
                let outgoing = node.outgoing.entry(peer).or_insert_with(Outgoing::new);
                outgoing.to_incarnation = 1;
            }
        }
        self
    }

    fn restart(&mut self, at: usize, incarnation: u64) {
        let me = u32::try_from(at).unwrap();
        self.nodes[at] = CausalUnicast::new(me, incarnation, Config::default());
        self.timers.retain(|(_, node, _)| *node != at);
        self.told[at].clear();
        self.input(at, Input::Start);
    }

    fn input(&mut self, at: usize, input: Input<u32, Message<u32>, Timer>) {
        let mut out = Vec::new();
        self.nodes[at].handle(self.now, input, &mut self.random, &mut out);
        self.nodes[at].check().unwrap();
        let me = u32::try_from(at).unwrap();
        for output in out {
            match output {
                Output::Send { to, message } => {
                    assert_ne!(to, me);
                    let bytes = encode(&message);
                    assert!(bytes.len() <= Message::<u32>::BYTES_MAX);
                    assert_eq!(decode(&bytes).as_ref(), Ok(&message));
                    self.packets.push((me, to, message));
                }
                Output::SetTimer { id, after } => self.timers.push((self.now + after, at, id)),
                Output::Event(event) => self.told[at].push(Self::line(event)),
                other => panic!("{other:?}"),
            }
        }
    }

    fn line(event: Event<u32>) -> String {
        match event {
            Event::Relayed { from, payload } => {
                format!("{from} {}", String::from_utf8_lossy(&payload))
            }
            Event::Missed {
                sender,
                first,
                last,
                ..
            } => format!("{sender} missed {first} to {last}"),
            Event::Refused {
                command: Command::Relay { to, payload },
                why,
            } => format!(
                "refused to {to} {}: {why:?}",
                String::from_utf8_lossy(&payload)
            ),
            other => panic!("{other:?}"),
        }
    }

    fn send(&mut self, from: usize, to: usize, text: &str) {
        let payload = Bytes::copy_from_slice(text.as_bytes());
        let to = u32::try_from(to).unwrap();
        self.input(from, Input::Command(Command::Relay { to, payload }));
    }

    /// Takes the packets from one node to another.
    fn pick(&mut self, from: usize, to: usize) -> Vec<Packet> {
        let is_it = |packet: &Packet| (packet.0 as usize, packet.1 as usize) == (from, to);
        let (picked, rest) = self.packets.drain(..).partition(is_it);
        self.packets = rest;
        picked
    }

    fn arrive(&mut self, (from, message): (u32, Message<u32>), to: usize) {
        self.input(to, Input::Received { from, message });
    }

    /// Lets those packets arrive.
    fn arrive_all(&mut self, packets: Vec<Packet>) {
        for (from, to, message) in packets {
            self.arrive((from, message), to as usize);
        }
    }

    /// Lets all packets arrive, and what they give rise to.
    fn flush(&mut self) {
        while !self.packets.is_empty() {
            let packets = std::mem::take(&mut self.packets);
            self.arrive_all(packets);
        }
    }

    /// Lets time pass with its timers. What is sent stays under way.
    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let next = self
                .timers
                .iter()
                .enumerate()
                .min_by_key(|(_, timer)| timer.0);
            let Some((index, (at, node, id))) = next.map(|(index, timer)| (index, *timer)) else {
                break;
            };
            if at > end {
                break;
            }
            self.timers.remove(index);
            self.now = self.now.max(at);
            self.input(node, Input::Timer(id));
        }
        self.now = end;
    }

    fn told(&mut self, at: usize) -> Vec<String> {
        std::mem::take(&mut self.told[at])
    }
}

#[test]
fn the_triangle_holds_however_slow_its_first_message_is() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    let slow = net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    assert_eq!(net.told(C), ["0 m2"]);
    net.send(C, B, "m3");
    net.flush();
    assert_eq!(net.told(B), Vec::<String>::new(), "it waits for m1");
    assert_eq!(net.nodes[B].held(), 1);
    net.arrive_all(slow);
    assert_eq!(net.told(B), ["0 m1", "2 m3"]);
    net.flush();
    assert_eq!(
        net.nodes
            .iter()
            .map(CausalUnicast::under_way)
            .sum::<usize>(),
        0
    );
}

#[test]
fn the_dependency_goes_through_any_number_of_nodes() {
    let mut net = Net::new(6);
    net.send(A, B, "m1");
    let slow = net.pick(A, B);
    net.send(A, C, "to C");
    net.flush();
    for via in 2..5 {
        net.send(via, via + 1, "on");
        net.flush();
    }
    net.send(5, B, "last");
    net.flush();
    assert_eq!(net.told(B), Vec::<String>::new());
    net.arrive_all(slow);
    assert_eq!(net.told(B), ["0 m1", "5 last"]);
}

#[test]
fn what_is_acknowledged_is_carried_no_more() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    net.flush();
    net.send(A, C, "m2");
    let Message::Data(data) = &net.packets[0].2 else {
        panic!("data");
    };
    assert_eq!(data.needs, []);
    net.flush();
    assert_eq!(net.nodes[A].open_needs(), 0);
    assert_eq!(net.nodes[C].open_needs(), 0);
}

#[test]
fn what_its_sender_lists_no_more_is_carried_no_more() {
    let mut net = Net::new(4);
    net.send(A, B, "m1");
    let slow = net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    assert_eq!(net.nodes[C].open_needs(), 1);
    net.arrive_all(slow);
    net.flush();
    net.send(A, C, "m4");
    net.flush();
    assert_eq!(net.nodes[C].open_needs(), 0);
}

#[test]
fn what_its_receiver_says_it_has_is_carried_no_more() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    let slow = net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    net.pass(2 * SECOND);
    net.pick(A, B);
    net.flush();
    assert_eq!(net.nodes[C].counters().pairs_asked, 2);
    assert_eq!(net.nodes[C].open_needs(), 1, "B has it not");
    net.arrive_all(slow);
    net.flush();
    net.pass(SECOND);
    net.flush();
    assert_eq!(net.nodes[C].open_needs(), 0);
}

#[test]
fn what_was_told_of_a_third_node_is_forgotten_when_its_sender_must_have_ended_it() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    net.timers.retain(|(_, at, _)| *at != A);
    // What C asks B is lost.
    net.pass(49 * SECOND);
    assert_eq!(net.nodes[C].open_needs(), 1);
    net.pass(2 * SECOND);
    assert_eq!(net.nodes[C].open_needs(), 0);
}

#[test]
fn a_later_message_stands_for_those_of_its_sender_before_it_to_the_same_node() {
    let mut net = Net::new(3);
    for text in ["x", "y", "z"] {
        net.send(A, B, text);
    }
    let mut slow = net.pick(A, B);
    assert_eq!(net.nodes[A].open_needs(), 1);
    net.send(A, C, "m2");
    net.flush();
    net.send(C, B, "m3");
    assert_eq!(net.nodes[C].open_needs(), 2, "A's to B, and its own");
    net.flush();
    slow.reverse();
    net.arrive_all(slow);
    assert_eq!(net.told(B), ["0 x", "0 y", "0 z", "2 m3"]);
    net.flush();
    assert_eq!(net.nodes[C].open_needs(), 0, "B had A's before it had C's");
}

#[test]
fn what_is_lost_is_sent_again_and_delivered_once() {
    let mut net = Net::new(2);
    net.send(A, B, "x");
    net.send(A, B, "y");
    net.pick(A, B);
    net.pass(2 * SECOND);
    let copies = net.pick(A, B);
    assert_eq!(copies.len(), 2);
    net.arrive_all(copies.clone());
    net.arrive_all(copies);
    net.pick(B, A);
    net.pass(3 * SECOND);
    assert!(!net.packets.is_empty(), "no acknowledgement came");
    net.flush();
    assert_eq!(net.told(B), ["0 x", "0 y"]);
    assert_eq!(net.nodes[A].counters().acknowledged, 2);
    net.pass(20 * SECOND);
    assert_eq!(net.packets.len(), 0);
}

#[test]
fn the_time_out_follows_the_round_trip_and_doubles() {
    let mut net = Net::new(2);
    for _ in 0..50 {
        net.send(A, B, "x");
        net.pass(Duration::from_millis(20));
        net.flush();
    }
    net.send(A, B, "lost");
    net.packets.clear();
    let mut copies = Vec::new();
    for millis in 1..2_000 {
        net.pass(Duration::from_millis(1));
        if !net.pick(A, B).is_empty() {
            copies.push(millis);
        }
    }
    assert_eq!(copies[0], 50, "the least");
    assert_eq!(copies[1] - copies[0], 100);
    assert_eq!(copies[2] - copies[1], 200);
}

#[test]
fn what_nobody_acknowledges_is_given_back_and_blocks_nothing_after_it() {
    let mut net = Net::new(2);
    net.send(A, B, "lost");
    net.pass(29 * SECOND);
    assert_eq!(net.told(A), Vec::<String>::new());
    net.pass(2 * SECOND);
    assert_eq!(net.told(A), ["refused to 1 lost: Unacknowledged"]);
    let copies = net.pick(A, B).len();
    assert!((8..14).contains(&copies), "{copies}");
    net.send(A, B, "next");
    net.flush();
    assert_eq!(net.told(B), ["0 next"], "nothing was heard of the first");
}

#[test]
fn a_receiver_is_told_what_its_sender_gave_up() {
    let mut net = Net::new(2);
    net.send(A, B, "first");
    net.flush();
    net.send(A, B, "lost");
    net.pass(31 * SECOND);
    net.packets.clear();
    net.send(A, B, "next");
    net.flush();
    assert_eq!(net.told(B), ["0 first", "0 missed 2 to 2", "0 next"]);
}

#[test]
fn a_sender_that_died_blocks_nobody_for_longer_than_the_wait() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    net.send(C, B, "m3");
    net.timers.retain(|(_, at, _)| *at != A);
    for _ in 0..11 {
        assert_eq!(net.told(B), Vec::<String>::new());
        let asked = net.pick(B, A).len();
        assert!(asked <= 3);
        net.flush();
        net.pass(SECOND);
        if net.nodes[B].held() == 0 {
            break;
        }
    }
    assert_eq!(net.told(B), ["0 missed 1 to 1", "2 m3"]);
}

#[test]
fn what_comes_after_it_was_given_up_goes_back_to_its_sender() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    let slow = net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    net.send(C, B, "m3");
    net.flush();
    for _ in 0..12 {
        net.pass(SECOND);
        net.pick(A, B);
        net.pick(B, A);
        net.flush();
    }
    assert_eq!(net.told(B), ["0 missed 1 to 1", "2 m3"]);
    net.arrive_all(slow);
    net.flush();
    assert_eq!(net.told(B), Vec::<String>::new());
    assert_eq!(net.told(A), ["refused to 1 m1: TooLate"]);
}

#[test]
fn a_receiver_asks_for_what_it_waits_for() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    net.send(C, B, "m3");
    net.flush();
    net.pass(Duration::from_millis(400));
    assert!(net.nodes[B].counters().asked > 0);
    net.flush();
    assert_eq!(net.told(B), ["0 m1", "2 m3"], "before A's time-out");
}

#[test]
fn a_restarted_sender_says_that_nothing_of_its_earlier_life_will_come() {
    let mut net = Net::new(3);
    net.send(A, B, "m1");
    net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    net.send(C, B, "m3");
    net.flush();
    net.restart(A, 2);
    net.pass(Duration::from_millis(400));
    net.flush();
    assert_eq!(net.told(B), ["0 missed 1 to 1", "2 m3"]);
    net.send(A, B, "new life");
    net.flush();
    assert_eq!(net.told(B), ["0 new life"]);
}

#[test]
fn who_receives_is_asked_before_the_first_message() {
    let mut net = Net::with(2, &Config::default());
    net.send(A, B, "x");
    net.send(A, B, "y");
    let hellos = net.packets.len();
    assert_eq!(hellos, 1);
    net.packets.clear();
    net.pass(SECOND);
    assert_eq!(net.packets.len(), 1, "again");
    net.flush();
    assert_eq!(net.told(B), ["0 x", "0 y"]);
    net.send(A, B, "z");
    net.flush();
    assert_eq!(net.told(B), ["0 z"]);
    assert_eq!(net.nodes[A].under_way(), 0);
}

#[test]
fn what_was_for_an_earlier_life_of_its_receiver_goes_back() {
    let mut net = Net::new(2);
    net.send(A, B, "old");
    let old = net.pick(A, B);
    net.arrive_all(old.clone());
    net.packets.clear();
    net.restart(B, 2);
    net.send(A, B, "open");
    net.flush();
    assert_eq!(
        net.told(B),
        Vec::<String>::new(),
        "they were for its earlier life"
    );
    let both = [
        "refused to 1 old: Unacknowledged",
        "refused to 1 open: Unacknowledged",
    ];
    assert_eq!(net.told(A), both);
    net.send(A, B, "new");
    net.flush();
    net.arrive_all(old);
    net.flush();
    assert_eq!(net.told(B), ["0 new"]);
    assert_eq!(net.nodes[A].under_way(), 0);
}

/// Found by the simulator: C's message to the earlier life of B was taken to stand for what A had sent to
/// the new one.
#[test]
fn what_a_message_that_goes_back_needed_is_still_needed() {
    let mut net = Net::new(3);
    net.restart(B, 2);
    net.send(A, B, "old");
    net.flush();
    assert_eq!(net.told(A), ["refused to 1 old: Unacknowledged"]);
    net.send(A, B, "m1");
    let slow = net.pick(A, B);
    net.send(A, C, "m2");
    net.flush();
    net.send(C, B, "for the earlier life");
    net.flush();
    assert_eq!(
        net.told(C).pop().unwrap(),
        "refused to 1 for the earlier life: Unacknowledged"
    );
    net.send(C, B, "m3");
    net.flush();
    assert_eq!(net.told(B), Vec::<String>::new());
    net.arrive_all(slow);
    assert_eq!(net.told(B), ["0 m1", "2 m3"]);
}

/// Found by the simulator: A's message was taken to stand for D's, and A was gone when B asked for it.
#[test]
fn what_a_lost_message_of_a_dead_node_needed_is_still_waited_for() {
    let mut net = Net::new(4);
    net.send(D, B, "m1");
    let slow = net.pick(D, B);
    net.send(D, A, "m2");
    net.flush();
    net.send(A, B, "lost");
    net.pick(A, B);
    net.send(A, C, "m3");
    net.flush();
    assert_eq!(net.told(C), ["0 m3"]);
    net.restart(A, 2);
    net.send(C, B, "m4");
    net.flush();
    net.pass(Duration::from_millis(400));
    net.pick(D, B);
    net.pick(B, D);
    net.flush();
    assert_eq!(net.told(B), ["0 missed 1 to 1"], "m4 follows m1");
    net.arrive_all(slow);
    assert_eq!(net.told(B), ["3 m1", "2 m4"]);
}

#[test]
fn without_room_an_order_is_refused() {
    let config = Config {
        window_messages_max: 2,
        messages_max: 3,
        ..Config::default()
    };
    let mut net = Net::with(4, &config).met();
    for (to, text) in [(B, "1"), (B, "2"), (B, "3"), (C, "4"), (3, "5")] {
        net.send(A, to, text);
    }
    assert_eq!(
        net.told(A),
        ["refused to 1 3: Busy", "refused to 3 5: Busy"]
    );
    net.flush();
    net.send(A, 3, "6");
    net.flush();
    assert_eq!((net.told(A), net.told(3)), (Vec::new(), vec!["0 6".into()]));
    let payload = Bytes::from(vec![0; PAYLOAD_BYTES_MAX + 1]);
    net.input(A, Input::Command(Command::Relay { to: 1, payload }));
    assert!(net.told(A)[0].ends_with("TooLarge { bytes: 262145, bytes_max: 262144 }"));
}

#[test]
fn more_needs_than_a_message_can_carry_are_waited_for() {
    let mut net = Net::new(1);
    let max = u32::try_from(NEEDS_MAX).unwrap();
    for to in 1..=max + 2 {
        let payload = Bytes::from_static(b"x");
        net.input(A, Input::Command(Command::Relay { to, payload }));
    }
    assert_eq!(net.told(A), ["refused to 258 x: Busy"]);
    for by in 1..=2 {
        let ack = Ack {
            incarnation: 1,
            by_incarnation: 1,
            count: 1,
            held: Vec::new(),
            missed: Vec::new(),
        };
        net.arrive((by, Message::Ack(ack.clone())), A);
        net.arrive((by, Message::Ack(ack)), A);
    }
    let payload = Bytes::from_static(b"x");
    net.input(A, Input::Command(Command::Relay { to: 300, payload }));
    assert_eq!(net.told(A), Vec::<String>::new());
}

#[test]
fn a_node_that_leaves_says_what_it_does_not_know() {
    let mut net = Net::new(2);
    net.send(A, B, "x");
    let mut out = Vec::new();
    let leave = Input::Command(Command::Leave);
    let mut random = net.random.clone();
    net.nodes[A].handle(net.now, leave, &mut random, &mut out);
    let payload = Bytes::from_static(b"x");
    let why = Refusal::Unacknowledged;
    let command = Command::Relay { to: 1, payload };
    assert_eq!(out[0], Output::Event(Event::Refused { command, why }));
    assert_eq!(out[1], Output::Below(Command::Leave));
}

#[test]
fn messages_of_the_full_size_fit_and_numbers_out_of_order_do_not() {
    let life = Life {
        peer: u32::MAX,
        incarnation: u64::MAX,
    };
    let need = Need {
        to: u32::MAX,
        of: Count {
            life,
            count: u64::MAX,
        },
    };
    let data = Data {
        incarnation: u64::MAX,
        to_incarnation: u64::MAX,
        number: u64::MAX,
        base: u64::MAX,
        needs: vec![need; NEEDS_MAX],
        payload: vec![0; PAYLOAD_BYTES_MAX].into(),
    };
    let ack = Ack {
        incarnation: u64::MAX,
        by_incarnation: u64::MAX,
        count: u64::MAX,
        held: vec![u64::MAX; RANGES_MAX],
        missed: vec![(u64::MAX, u64::MAX); RANGES_MAX],
    };
    for message in [Message::Data(data.clone()), Message::Ack(ack)] {
        assert_eq!(decode::<Message<u32>>(&encode(&message)), Ok(message));
    }
    let wrong = Message::Data(Data { number: 1, ..data });
    assert!(decode::<Message<u32>>(&encode(&wrong)).is_err());
}

/// Something that happens in a network.
#[derive(Clone, Debug)]
enum Happening {
    Send(usize, usize),
    Arrives(prop::sample::Index),
    Twice(prop::sample::Index),
    Lost(prop::sample::Index),
    Pass(u64),
}

fn happening() -> impl Strategy<Value = Happening> {
    let any = any::<prop::sample::Index>;
    prop_oneof![
        3 => (0_usize..4, 0_usize..4).prop_map(|(from, to)| Happening::Send(from, to)),
        6 => any().prop_map(Happening::Arrives),
        1 => any().prop_map(Happening::Twice),
        1 => any().prop_map(Happening::Lost),
        1 => (1_u64..2_000).prop_map(Happening::Pass),
    ]
}

/// Vector clocks beside the protocol: what each node sent and was delivered.
struct Clocks {
    at: Vec<[u64; 4]>,
    sent: Vec<(usize, [u64; 4])>,
    delivered: Vec<Vec<usize>>,
}

impl Clocks {
    fn send(&mut self, from: usize) -> String {
        self.at[from][from] += 1;
        self.sent.push((from, self.at[from]));
        (self.sent.len() - 1).to_string()
    }

    fn take_in(&mut self, net: &mut Net) -> Result<(), TestCaseError> {
        for at in 0..4 {
            for line in net.told(at) {
                let number = line.split(' ').nth(1).and_then(|text| text.parse().ok());
                let Some(number) = number.filter(|_: &usize| !line.contains("refused")) else {
                    return Err(TestCaseError::fail(format!("{at} was told {line}")));
                };
                let (from, clock) = self.sent[number];
                for earlier in &self.delivered[at] {
                    prop_assert_ne!(*earlier, number, "twice");
                    let later_clock = self.sent[*earlier].1;
                    prop_assert!(
                        later_clock[from] < clock[from],
                        "{} before {}, which it depends on",
                        earlier,
                        number
                    );
                }
                self.delivered[at].push(number);
                for (mine, theirs) in self.at[at].iter_mut().zip(clock) {
                    *mine = (*mine).max(theirs);
                }
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn all_arrive_once_in_causal_order_whatever_the_network_does(
        happenings in prop::collection::vec(happening(), 1..120)
    ) {
        let mut net = Net::new(4);
        let mut clocks = Clocks {
            at: vec![[0; 4]; 4],
            sent: Vec::new(),
            delivered: vec![Vec::new(); 4],
        };
        let mut passed = 0;
        for happening in happenings {
            let count = net.packets.len();
            match happening {
                Happening::Send(from, to) if from != to => {
                    let text = clocks.send(from);
                    net.send(from, to, &text);
                }
                Happening::Arrives(index) if count > 0 => {
                    let packet = net.packets.swap_remove(index.index(count));
                    net.arrive_all(vec![packet]);
                }
                Happening::Twice(index) if count > 0 => {
                    let packet = net.packets[index.index(count)].clone();
                    net.arrive_all(vec![packet]);
                }
                Happening::Lost(index) if count > 0 => {
                    net.packets.swap_remove(index.index(count));
                }
                // Not so long that anything is given up.
                Happening::Pass(millis) if passed + millis < 8_000 => {
                    passed += millis;
                    net.pass(Duration::from_millis(millis));
                }
                _ => {}
            }
            clocks.take_in(&mut net)?;
        }
        for _ in 0..8 {
            net.flush();
            clocks.take_in(&mut net)?;
            net.pass(SECOND);
        }
        net.flush();
        clocks.take_in(&mut net)?;
        let delivered: usize = clocks.delivered.iter().map(Vec::len).sum();
        prop_assert_eq!(delivered, clocks.sent.len());
        prop_assert!(net.nodes.iter().all(|node| node.under_way() == 0 && node.held() == 0));
    }
}
