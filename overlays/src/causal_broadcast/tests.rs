//! Causal broadcast on single nodes, wired by hand.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::event::{PAYLOAD_BYTES_MAX, Refusal};
use crate::hold_back::Gap;
use crate::message::{Message as _, decode, encode};
use crate::payload::Payload;

const SECOND: Duration = Duration::from_secs(1);

/// One node, and what it put out.
struct Node {
    layer: CausalBroadcast<u32>,
    now: Time,
    random: Xoshiro256PlusPlus,
    out: Out<u32>,
}

impl Node {
    /// A node that has begun, with a neighbor.
    fn new(me: u32) -> Self {
        Self::with(me, Config::default())
    }

    fn with(me: u32, config: Config) -> Self {
        let mut node = Self::joining(me, config);
        node.below(Event::NeighborUp(99));
        node.pass(2 * SECOND);
        node.input(Input::Timer(Timer::Period));
        node.out.clear();
        node
    }

    fn joining(me: u32, config: Config) -> Self {
        let mut node = Self {
            layer: CausalBroadcast::new(me, 1, config),
            now: Time::ZERO,
            random: Xoshiro256PlusPlus::seed_from_u64(u64::from(me)),
            out: Vec::new(),
        };
        node.input(Input::Start);
        node
    }

    fn input(&mut self, input: Input<u32, Message<u32>, Timer>) {
        self.layer
            .handle(self.now, input, &mut self.random, &mut self.out);
        self.layer.check().unwrap();
    }

    fn pass(&mut self, span: Duration) {
        self.now = self.now + span;
    }

    fn below(&mut self, event: Event<u32>) {
        self.input(Input::Below(event));
    }

    fn receive(&mut self, from: u32, message: Message<u32>) {
        self.input(Input::Received { from, message });
    }

    /// Broadcasts text: what goes down.
    fn say(&mut self, text: &'static str) -> Vec<Payload> {
        let payload = Bytes::from_static(text.as_bytes()).into();
        self.input(Input::Command(Command::Broadcast(payload)));
        self.down()
    }

    fn down(&mut self) -> Vec<Payload> {
        let down = std::mem::take(&mut self.out).into_iter();
        let payloads = down.filter_map(|output| match output {
            Output::Below(Command::Broadcast(payload)) => Some(payload),
            _ => None,
        });
        payloads.collect()
    }

    /// The broadcast below brings this.
    fn hear(&mut self, sender: u32, payload: &Payload) {
        let id = MessageId {
            sender: 0,
            number: 0,
        };
        self.below(Event::Delivered(Delivery {
            sender,
            id,
            topic: None,
            payload: payload.clone(),
            hops: 1,
        }));
    }

    /// What was delivered and missed since the last call.
    fn told(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.out).into_iter();
        let lines = told.filter_map(|output| match output {
            Output::Event(Event::Delivered(delivery)) => {
                let text = String::from_utf8_lossy(&delivery.payload.body).into_owned();
                Some(format!("{} {text}", delivery.sender))
            }
            Output::Event(Event::Missed {
                sender,
                first,
                last,
                ..
            }) => Some(format!("{sender} missed {first} to {last}")),
            _ => None,
        });
        lines.collect()
    }

    /// Messages to single nodes since the last call.
    fn sent(&mut self) -> Vec<(u32, Message<u32>)> {
        let sent = std::mem::take(&mut self.out).into_iter();
        let sent = sent.filter_map(|output| match output {
            Output::Send { to, message } => Some((to, message)),
            _ => None,
        });
        sent.collect()
    }
}

const fn life(peer: u32) -> Life<u32> {
    Life {
        peer,
        incarnation: 1,
    }
}

fn needs_of(payload: &Payload) -> Vec<(u32, u64)> {
    let (words, _, _) = Words::<u32>::unmark(payload.clone()).unwrap();
    let needs = words.needs.into_iter();
    needs.map(|need| (need.life.peer, need.count)).collect()
}

#[test]
fn an_answer_waits_for_what_it_answers() {
    let [mut a, mut b, mut c] = [1, 2, 3].map(Node::new);
    let question = a.say("question").remove(0);
    c.hear(1, &question);
    assert_eq!(c.told(), ["1 question"]);
    let answer = c.say("answer").remove(0);
    b.hear(3, &answer);
    assert_eq!((b.told(), b.layer.held()), (Vec::new(), 1));
    b.hear(1, &question);
    assert_eq!(b.told(), ["1 question", "3 answer"]);
}

#[test]
fn messages_of_one_sender_stay_in_order_and_come_once() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let payloads: Vec<Payload> = ["x", "y", "z"]
        .iter()
        .flat_map(|text| a.say(text))
        .collect();
    for index in [2, 0, 2, 1, 0, 1] {
        b.hear(1, &payloads[index]);
    }
    assert_eq!(b.told(), ["1 x", "1 y", "1 z"]);
    assert_eq!(b.layer.counters().late, 3);
}

#[test]
fn only_what_nothing_else_needs_is_listed_and_only_once() {
    let [mut a, mut b, mut c, mut d] = [1, 2, 3, 4].map(Node::new);
    let one = a.say("one").remove(0);
    let other = b.say("other").remove(0);
    c.hear(1, &one);
    let two = c.say("two").remove(0);
    assert_eq!(needs_of(&two), [(1, 1)]);
    for (sender, payload) in [(1, &one), (2, &other), (3, &two)] {
        d.hear(sender, payload);
    }
    let three = d.say("three").remove(0);
    assert_eq!(needs_of(&three), [(2, 1), (3, 1)], "`two` needs `one`");
    let four = d.say("four").remove(0);
    assert_eq!(needs_of(&four), [], "they are needed by `three`");
}

#[test]
fn needs_that_find_no_room_go_ahead() {
    let mut crowd = Node::new(0);
    for peer in 1_000..1_400 {
        let hello = Node::new(peer).say("hello").remove(0);
        crowd.hear(peer, &hello);
    }
    crowd.told();
    let all = crowd.say("to all");
    assert!(all.len() > 2, "{}", all.len());
    assert_eq!(
        all.iter().map(|one| needs_of(one).len()).sum::<usize>(),
        400
    );
    for payload in &all {
        assert!(payload.words().len() <= 1 + WORDS_BYTES_MAX);
        payload.validate().unwrap();
    }
    assert_eq!(crowd.layer.counters().needs_only, all.len() as u64 - 1);

    let mut other = Node::new(2);
    for payload in all.iter().rev() {
        other.hear(0, payload);
    }
    assert_eq!(other.told(), Vec::<String>::new());
    for peer in 1_000..1_400 {
        let hello = Node::new(peer).say("hello").remove(0);
        other.hear(peer, &hello);
    }
    let told = other.told();
    assert_eq!((told.len(), told[400].as_str()), (401, "0 to all"));
}

#[test]
fn bodies_are_never_copied() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let body = Bytes::from(vec![7; 1_000]);
    a.input(Input::Command(Command::Broadcast(body.clone().into())));
    let payload = a.down().remove(0);
    b.hear(1, &payload);
    let delivered = b.out.drain(..).find_map(|output| match output {
        Output::Event(Event::Delivered(delivery)) => Some(delivery),
        _ => None,
    });
    let delivery = delivered.expect("delivered");
    assert_eq!(delivery.payload.body.as_ptr(), body.as_ptr());
    let gap = Gap {
        life: life(1),
        first: 1,
        last: 1,
    };
    b.receive(9, Message::Ask { gaps: vec![gap] });
    let (9, again) = b.sent().remove(0) else {
        panic!("answered");
    };
    assert_eq!(again.tail().as_ptr(), body.as_ptr());
}

#[test]
fn what_is_refused_is_given_back_and_its_number_is_free_again() {
    let [mut a, mut b, mut c] = [1, 2, 3].map(Node::new);
    let earlier = c.say("earlier").remove(0);
    a.hear(3, &earlier);
    let first = a.say("first").remove(0);
    a.below(Event::Refused {
        command: Command::Broadcast(first),
        why: Refusal::Busy,
    });
    let given_back = Event::Refused {
        command: Command::Broadcast(Bytes::from_static(b"first").into()),
        why: Refusal::Busy,
    };
    assert_eq!(a.out.pop(), Some(Output::Event(given_back)));
    let second = a.say("second").remove(0);
    assert_eq!(
        needs_of(&second),
        [(3, 1)],
        "it still needs what came before"
    );
    b.hear(1, &second);
    b.hear(3, &earlier);
    assert_eq!(b.told(), ["3 earlier", "1 second"]);
}

#[test]
fn a_refused_message_in_the_middle_leaves_one_that_brings_nothing() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let (first, second) = (a.say("first").remove(0), a.say("second").remove(0));
    a.below(Event::Refused {
        command: Command::Broadcast(first),
        why: Refusal::Busy,
    });
    b.hear(1, &second);
    let gap = Gap {
        life: life(1),
        first: 1,
        last: 1,
    };
    a.out.clear();
    a.receive(2, Message::Ask { gaps: vec![gap] });
    let (2, again) = a.sent().remove(0) else {
        panic!("answered");
    };
    b.receive(1, again);
    assert_eq!(b.told(), ["1 second"]);
}

#[test]
fn too_large_a_payload_is_refused_here_and_as_it_was_given() {
    let mut a = Node::new(1);
    let command = Command::Broadcast(vec![0; PAYLOAD_BYTES_MAX + 1].into());
    a.input(Input::Command(command.clone()));
    let why = Refusal::TooLarge {
        bytes: PAYLOAD_BYTES_MAX + 1,
        bytes_max: PAYLOAD_BYTES_MAX,
    };
    assert_eq!(a.out, [Output::Event(Event::Refused { command, why })]);
}

#[test]
fn what_is_missing_is_asked_for_and_given_up_when_the_wait_is_over() {
    let [mut a, mut b, mut c] = [1, 2, 3].map(Node::new);
    let (lost, question) = (a.say("lost").remove(0), a.say("question").remove(0));
    c.hear(1, &lost);
    c.hear(1, &question);
    let answer = c.say("answer").remove(0);
    b.hear(3, &answer);
    b.hear(1, &question);
    let begun = b.now;
    let mut asked = Vec::new();
    while b.layer.held() > 0 {
        b.pass(Duration::from_millis(100));
        b.input(Input::Timer(Timer::Look));
        let out = b.out.clone();
        asked.extend(b.sent().into_iter().map(|(to, _)| to));
        b.out = out;
        if b.layer.held() > 0 {
            b.out.clear();
        }
    }
    assert!(b.now.since(begun) <= Config::default().wait_max + SECOND);
    assert_eq!(b.told(), ["1 missed 1 to 1", "1 question", "3 answer"]);
    assert!(asked.contains(&99), "a neighbor");
    assert!(asked.contains(&3), "who must have it");
    assert!(asked.contains(&1), "who sent it");
    assert!((4..12).contains(&asked.len()), "{asked:?}");
    b.hear(1, &lost);
    assert_eq!(b.told(), Vec::<String>::new(), "too late");
}

#[test]
fn what_is_asked_for_is_answered_and_ends_the_wait() {
    let [mut a, mut b, mut c] = [1, 2, 3].map(Node::new);
    let (lost, question) = (a.say("lost").remove(0), a.say("question").remove(0));
    c.hear(1, &lost);
    c.out.clear();
    b.hear(1, &question);
    b.pass(SECOND);
    b.input(Input::Timer(Timer::Look));
    let (to, ask) = b.sent().remove(0);
    assert_eq!(to, 99);
    c.receive(2, ask);
    for (to, again) in c.sent() {
        assert_eq!(to, 2);
        let bytes = encode(&again);
        assert!(bytes.len() <= Message::<u32>::BYTES_MAX);
        b.receive(3, decode(&bytes).unwrap());
    }
    assert_eq!(b.told(), ["1 lost", "1 question"]);
}

#[test]
fn a_lie_about_a_sender_that_lives_makes_nobody_deaf_to_it() {
    let [mut a, mut b] = [1, 2].map(Node::new);
    let lie = Words {
        incarnation: 1,
        number: 1,
        stamp: 1,
        needs: vec![Count {
            life: life(1),
            count: 500,
        }],
    };
    b.hear(3, &lie.mark(true, Bytes::from_static(b"lie").into()));
    while b.layer.held() > 0 {
        b.pass(Duration::from_millis(100));
        b.input(Input::Timer(Timer::Look));
        let questions = b.sent();
        for (_, ask) in questions.into_iter().filter(|(to, _)| *to == 1) {
            a.receive(2, ask);
            let (2, answer) = a.sent().remove(0) else {
                panic!("answered");
            };
            b.receive(1, answer);
        }
    }
    assert_eq!(b.told(), ["3 lie"], "without a word of what is missed");
    b.hear(1, &a.say("truth").remove(0));
    assert_eq!(b.told(), ["1 truth"]);
}

#[test]
fn answers_to_one_node_are_bounded() {
    let mut a = Node::new(1);
    let body = Bytes::from(vec![0; 200_000]);
    for _ in 0..20 {
        a.input(Input::Command(Command::Broadcast(body.clone().into())));
    }
    a.out.clear();
    let gap = Gap {
        life: life(1),
        first: 1,
        last: u64::MAX,
    };
    for _ in 0..3 {
        a.receive(2, Message::Ask { gaps: vec![gap] });
    }
    let again = |sent: Vec<(u32, Message<u32>)>| {
        let again = sent
            .iter()
            .filter(|(_, message)| matches!(message, Message::Again(_)));
        again.count()
    };
    assert_eq!(again(a.sent()), 5, "a mebibyte");
    a.input(Input::Timer(Timer::Period));
    a.receive(2, Message::Ask { gaps: vec![gap] });
    assert_eq!(again(a.sent()), 5, "in the next period");
}

#[test]
fn a_node_that_joins_begins_where_its_neighbor_is() {
    let mut a = Node::new(1);
    for text in ["x", "y"] {
        a.say(text);
    }
    for peer in 1_000..1_600 {
        let hello = Node::new(peer).say("hello").remove(0);
        a.hear(peer, &hello);
    }
    let mut b = Node::joining(2, Config::default());
    b.below(Event::NeighborUp(1));
    let third = a.say("z").remove(2);
    b.hear(1, &third);
    assert_eq!(b.layer.held(), 1);
    let mut pages = 0;
    loop {
        let Some((1, ask)) = b.sent().pop() else {
            break;
        };
        a.out.clear();
        a.receive(2, ask);
        for (_, counts) in a.sent() {
            pages += 1;
            b.out.clear();
            b.receive(1, counts);
        }
        if b.layer.joining.is_none() {
            break;
        }
    }
    assert_eq!(pages, 3);
    let fourth = a.say("4").remove(0);
    b.hear(1, &fourth);
    assert_eq!(b.told(), ["1 4"], "what came before is not told");
    assert_eq!(b.layer.have_of(&life(1_599)), 1);
}

#[test]
fn a_node_whose_neighbors_are_silent_begins_all_the_same() {
    let mut b = Node::joining(2, Config::default());
    let hello = Node::new(1).say("hello").remove(0);
    b.below(Event::NeighborUp(1));
    b.hear(1, &hello);
    b.pass(SECOND);
    b.input(Input::Timer(Timer::Period));
    assert_eq!(b.told(), Vec::<String>::new());
    b.pass(SECOND);
    b.input(Input::Timer(Timer::Period));
    assert_eq!(b.told(), ["1 hello"]);
}

#[test]
fn what_all_have_is_kept_by_nobody_and_what_one_lacks_by_all_others() {
    let mut nodes = [1, 2, 3].map(Node::new);
    for node in &mut nodes {
        let me = node.layer.me.peer;
        let others = [1, 2, 3].into_iter().filter(|other| *other != me);
        node.below(Event::NeighborDown(99));
        for other in others {
            node.below(Event::NeighborUp(other));
            node.below(Event::MemberUp(other));
        }
    }
    let (x, y) = (nodes[0].say("x").remove(0), nodes[0].say("y").remove(0));
    for node in &mut nodes[1..] {
        node.hear(1, &x);
    }
    nodes[1].hear(1, &y);
    gossip(&mut nodes, 6, false);
    let kept = nodes.each_ref().map(|node| node.layer.kept());
    assert_eq!(kept, [1, 1, 0], "the third node lacks `y`");
    gossip(&mut nodes, 6, true);
    let kept = nodes.each_ref().map(|node| node.layer.kept());
    assert_eq!(kept, [0, 0, 0], "it was given it");
    let sent = nodes.each_mut().map(|node| {
        node.pass(SECOND);
        node.input(Input::Timer(Timer::Period));
        node.sent().len()
    });
    assert_eq!(sent, [0, 0, 0], "there is nothing more to find out");
}

/// Lets periods pass, and carries what is sent; questions for what is missing only where wished.
fn gossip(nodes: &mut [Node; 3], periods: usize, with_questions: bool) {
    for _ in 0..periods {
        for at in 0..3 {
            nodes[at].out.clear();
            nodes[at].pass(SECOND);
            nodes[at].input(Input::Timer(Timer::Period));
            let mut under_way: Vec<(u32, u32, Message<u32>)> = Vec::new();
            let mut steps = 0;
            let mut from = at;
            loop {
                let me = nodes[from].layer.me.peer;
                for (to, message) in nodes[from].sent() {
                    under_way.push((me, to, message));
                }
                let Some((me, to, message)) = under_way.pop() else {
                    break;
                };
                steps += 1;
                assert!(steps < 50, "it does not come to rest");
                if matches!(message, Message::Ask { .. }) && !with_questions {
                    continue;
                }
                from = usize::try_from(to).unwrap() - 1;
                nodes[from].receive(me, message);
            }
        }
    }
}

#[test]
fn what_a_node_is_behind_with_and_nobody_sends_is_given_up() {
    let mut a = Node::new(1);
    a.below(Event::MemberUp(2));
    let lists = |count| Round {
        view: hash_of(&1_u32).wrapping_add(hash_of(&2_u32)),
        number: 1,
        clock: 0,
        heard: vec![2],
        counts: Vec::new(),
        own: vec![Count {
            life: life(3),
            count,
        }],
        stable: Vec::new(),
    };
    for _ in 0..12 {
        a.receive(2, Message::Round(lists(4)));
        a.pass(SECOND);
        a.input(Input::Timer(Timer::Period));
    }
    assert!(a.layer.counters().asked > 5);
    assert_eq!(a.told(), ["3 missed 1 to 4"]);
    for _ in 0..30 {
        a.receive(2, Message::Round(lists(u64::MAX)));
        a.pass(SECOND);
        a.input(Input::Timer(Timer::Period));
    }
    assert_eq!(a.told(), Vec::<String>::new(), "that cannot be");
}

#[test]
fn messages_of_the_full_size_fit() {
    let count = Count {
        life: Life {
            peer: u32::MAX,
            incarnation: u64::MAX,
        },
        count: u64::MAX,
    };
    let lists = [
        Message::Counts(Counts {
            counts: vec![count; COUNTS_MAX],
            more: true,
            clock: u64::MAX,
            open_from: u64::MAX,
        }),
        Message::Round(Round {
            view: u64::MAX,
            number: u64::MAX,
            clock: u64::MAX,
            heard: vec![255; HEARD_BYTES_MAX],
            counts: vec![count; COUNTS_MAX],
            own: vec![count; COUNTS_MAX],
            stable: vec![count; COUNTS_MAX],
        }),
        Message::Again(Again {
            life: count.life,
            number: u64::MAX,
            stamp: u64::MAX,
            needs: vec![count; WORDS_BYTES_MAX / 3],
            is_message: true,
            hops: u16::MAX,
            payload: Payload::from(vec![0; PAYLOAD_BYTES_MAX]).marked_with(1, &[0; 1_023]),
        }),
    ];
    for message in lists {
        let bytes = encode(&message);
        assert_eq!(decode::<Message<u32>>(&bytes), Ok(message));
    }
}
