//! What one node does, input by input. Whole overlays are tested in `tests/swarm.rs`.

mod parts;
mod xbot;
mod zones;

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::event::WhyDown;

const ME: u32 = 0;
/// The least of all nodes is the root of its part.
const PART: Part<u32> = Part { root: ME, count: 0 };

const fn neighbor(high_priority: bool) -> Message<u32> {
    Message::Neighbor {
        high_priority,
        part: PART,
    }
}

/// A node under test, with the outputs of its last input.
struct Subject {
    node: HyParView<u32>,
    random: Xoshiro256PlusPlus,
    now: Time,
    out: Outputs<u32>,
}

impl Subject {
    fn new(config: Config) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(11);
        let mut subject = Self {
            node: HyParView::new(ME, config),
            random,
            now: Time::ZERO,
            out: Vec::new(),
        };
        subject.feed(Input::Start);
        subject
    }

    /// A node whose active view is `1..=5`.
    fn full() -> Self {
        let mut subject = Self::new(Config::default());
        for peer in 1..=5 {
            subject.receive(peer, neighbor(true));
        }
        assert_eq!(subject.node.neighbors(), vec![1, 2, 3, 4, 5]);
        subject
    }

    fn feed(&mut self, input: Input<u32, Message<u32>, Timer>) {
        self.out.clear();
        self.node
            .handle(self.now, input, &mut self.random, &mut self.out);
        self.node.check().unwrap();
    }

    fn receive(&mut self, from: u32, message: Message<u32>) {
        self.feed(Input::Received { from, message });
    }

    fn sent(&self) -> Vec<(u32, Message<u32>)> {
        let sent = self.out.iter().filter_map(|output| match output {
            Output::Send { to, message } => Some((*to, message.clone())),
            _ => None,
        });
        sent.collect()
    }

    /// Whom it asks to be a neighbor, if that has room.
    fn asked(&self) -> Option<u32> {
        let is_question = |message: &Message<u32>| matches!(message, Message::Neighbor { high_priority, .. } if !high_priority);
        let mut sent = self.sent().into_iter();
        sent.find(|(_, message)| is_question(message))
            .map(|(to, _)| to)
    }

    fn sent_to(&self, peer: u32) -> Vec<Message<u32>> {
        self.sent()
            .into_iter()
            .filter(|(to, _)| *to == peer)
            .map(|(_, message)| message)
            .collect()
    }

    /// The number of the ping that was sent to a node.
    fn pinged(&self, peer: u32) -> Option<u64> {
        self.sent_to(peer).iter().find_map(|message| match message {
            Message::Xbot(XbotMessage::Ping { nonce }) => Some(*nonce),
            _ => None,
        })
    }

    fn pong(&mut self, from: u32, nonce: u64) {
        self.receive(from, Message::Xbot(XbotMessage::Pong { nonce }));
    }

    fn told(&self, event: &Event<u32>) -> bool {
        self.out
            .iter()
            .any(|output| matches!(output, Output::Event(told) if told == event))
    }
}

const fn lost(peer: u32) -> Input<u32, Message<u32>, Timer> {
    let why = WhyDown::Lost;
    Input::PeerDown { peer, why }
}

#[test]
fn a_newcomer_is_admitted_even_if_that_evicts_another() {
    let mut subject = Subject::full();
    subject.receive(9, Message::Join);
    let neighbors = subject.node.neighbors();
    assert!(neighbors.contains(&9) && neighbors.len() == 5);
    let evicted = (1..=5).find(|peer| !neighbors.contains(peer)).unwrap();
    let goodbye = Message::Disconnect {
        leaving: false,
        instead: Some(9),
    };
    assert_eq!(subject.sent_to(evicted), vec![goodbye]);
    assert!(subject.told(&Event::NeighborDown(evicted)) && subject.told(&Event::NeighborUp(9)));
    assert_eq!(subject.sent_to(9), vec![neighbor(true)]);
    assert!(subject.node.passive_view().contains(&evicted));
    let news = subject.sent().into_iter().filter(|(_, message)| {
        *message
            == Message::ForwardJoin {
                newcomer: 9,
                hops: Config::default().active_walk_hops,
            }
    });
    assert_eq!(news.count(), 4, "every other neighbor hears of it");
}

#[test]
fn the_walk_of_a_newcomer_leaves_it_in_a_passive_view_and_ends_in_an_active_one() {
    let mut subject = Subject::full();
    let news = |hops| Message::ForwardJoin { newcomer: 9, hops };
    subject.receive(1, news(3));
    assert_eq!(subject.node.passive_view(), &[9]);
    let (to, forwarded) = subject.sent().remove(0);
    assert_eq!(forwarded, news(2));
    assert_ne!(to, 1, "not back to where it came from");
    subject.receive(1, news(0));
    assert!(subject.node.neighbors().contains(&9));
    assert!(!subject.node.passive_view().contains(&9));
}

#[test]
fn low_priority_is_refused_and_high_priority_accepted_by_a_full_node() {
    let mut subject = Subject::full();
    subject.receive(9, neighbor(false));
    assert_eq!(subject.sent(), vec![(9, Message::Refuse)]);
    subject.receive(9, neighbor(true));
    assert!(subject.sent_to(9).contains(&Message::Accept { part: PART }));
    assert!(subject.node.neighbors().contains(&9));
}

#[test]
fn a_lost_neighbor_is_replaced_and_after_a_refusal_the_next_spare_is_asked() {
    let mut subject = Subject::full();
    for peer in [20, 21] {
        subject.receive(
            1,
            Message::ForwardJoin {
                newcomer: peer,
                hops: 3,
            },
        );
    }
    subject.feed(lost(3));
    assert!(subject.told(&Event::NeighborDown(3)));
    let (first, question) = subject.sent().remove(0);
    assert_eq!(question, neighbor(false));
    subject.receive(first, Message::Refuse);
    let (second, _) = subject.sent().remove(0);
    assert_ne!(first, second);
    subject.receive(second, Message::Accept { part: PART });
    assert!(subject.node.neighbors().contains(&second));
    assert_eq!(subject.node.neighbors().len(), 5);
}

#[test]
fn a_spare_that_is_busy_stays_a_spare_and_one_that_refuses_a_lane_does_not() {
    for (why, stays) in [(WhyDown::Busy, true), (WhyDown::Refused, false)] {
        let mut subject = Subject::full();
        let newcomer = 20;
        subject.receive(1, Message::ForwardJoin { newcomer, hops: 3 });
        subject.feed(lost(3));
        assert_eq!(subject.sent()[0].0, newcomer);
        let peer = newcomer;
        subject.feed(Input::PeerDown { peer, why });
        assert!(subject.sent().is_empty(), "not asked again at once");
        subject.feed(Input::Timer(Timer::PeriodOver));
        let asked = subject.sent_to(newcomer).iter().any(is_question);
        assert_eq!(asked, stays, "{why:?}");
    }
}

const fn is_question(message: &Message<u32>) -> bool {
    matches!(message, Message::Neighbor { .. })
}

#[test]
fn a_node_without_neighbors_asks_with_high_priority() {
    let mut subject = Subject::new(Config::default());
    subject.receive(1, neighbor(true));
    subject.receive(1, Message::ShuffleReply { peers: vec![8] });
    subject.feed(lost(1));
    assert_eq!(subject.sent_to(8), vec![neighbor(true)]);
}

#[test]
fn a_node_that_does_not_answer_gives_way_to_the_next() {
    let mut subject = Subject::new(Config::default());
    subject.receive(1, neighbor(true));
    subject.receive(1, Message::ShuffleReply { peers: vec![7, 8] });
    subject.feed(lost(1));
    let (first, _) = subject.sent().remove(0);
    subject.feed(Input::Timer(Timer::AnswerDue { question: 1 }));
    let (second, _) = subject.sent().remove(0);
    assert_ne!(first, second);
    assert!(
        !subject.node.passive_view().contains(&first),
        "it is forgotten"
    );
    subject.feed(Input::Timer(Timer::AnswerDue { question: 1 }));
    assert!(subject.out.is_empty(), "an old timer means nothing");
}

#[test]
fn a_goodbye_is_final_and_a_plain_disconnect_is_not() {
    let mut subject = Subject::full();
    subject.receive(
        1,
        Message::Disconnect {
            leaving: false,
            instead: None,
        },
    );
    subject.receive(
        2,
        Message::Disconnect {
            leaving: true,
            instead: None,
        },
    );
    assert_eq!(subject.node.neighbors().len(), 3);
    assert!(subject.node.passive_view().contains(&1));
    assert!(!subject.node.passive_view().contains(&2));
}

#[test]
fn leaving_tells_every_neighbor_and_then_the_node_is_silent() {
    let mut subject = Subject::full();
    subject.feed(Input::Command(Command::Leave));
    let goodbye = Message::Disconnect {
        leaving: true,
        instead: None,
    };
    assert_eq!(
        subject.sent(),
        (1..=5)
            .map(|peer| (peer, goodbye.clone()))
            .collect::<Vec<_>>()
    );
    subject.receive(1, Message::Join);
    subject.feed(Input::Timer(Timer::PeriodOver));
    assert!(subject.out.is_empty() && subject.node.neighbors().is_empty());
}

#[test]
fn a_one_sided_neighbor_is_taken_in_or_told_off() {
    let mut subject = Subject::full();
    subject.receive(9, Message::Present { part: PART });
    let goodbye = Message::Disconnect {
        leaving: false,
        instead: None,
    };
    assert_eq!(subject.sent(), vec![(9, goodbye)]);
    subject.feed(lost(1));
    subject.receive(9, Message::Present { part: PART });
    assert!(subject.node.neighbors().contains(&9));
}

#[test]
fn a_silent_neighbor_is_dropped_and_a_heard_one_kept() {
    let mut subject = Subject::full();
    for _ in 0..=Config::default().silent_periods_max {
        subject.now = subject.now + Duration::from_secs(10);
        for peer in 1..=4 {
            subject.receive(peer, Message::Present { part: PART });
        }
        subject.feed(Input::Timer(Timer::PeriodOver));
    }
    let neighbors = subject.node.neighbors();
    assert!((1..=4).all(|peer| neighbors.contains(&peer)) && !neighbors.contains(&5));
}

#[test]
fn a_lost_neighbor_is_tried_again_each_period_until_it_is_forgotten() {
    let mut subject = Subject::new(Config {
        answer_timeout: Duration::ZERO,
        ..Config::default()
    });
    subject.receive(1, neighbor(true));
    subject.receive(2, neighbor(true));
    subject.feed(lost(1));
    let again = Message::Neighbor {
        high_priority: true,
        part: Part { root: ME, count: 1 },
    };
    subject.receive(2, Message::Present { part: PART });
    subject.feed(Input::Timer(Timer::PeriodOver));
    assert!(
        subject.sent_to(1).contains(&again),
        "the network may have healed"
    );
    subject.feed(lost(1));
    subject.now = subject.now + Config::default().lost_for;
    subject.receive(2, Message::Present { part: PART });
    subject.feed(Input::Timer(Timer::PeriodOver));
    assert!(subject.sent_to(1).is_empty());
}

#[test]
fn a_shuffle_goes_on_until_its_hops_are_used_and_is_answered_to_its_origin() {
    let mut subject = Subject::full();
    subject.receive(
        1,
        Message::ForwardJoin {
            newcomer: 30,
            hops: 3,
        },
    );
    let shuffle = |hops| Message::Shuffle {
        origin: 40,
        peers: vec![41, 42],
        hops,
    };
    subject.receive(1, shuffle(4));
    let (to, forwarded) = subject.sent().remove(0);
    assert!(to != 1 && forwarded == shuffle(3));
    subject.receive(1, shuffle(1));
    assert_eq!(
        subject.sent(),
        vec![(40, Message::ShuffleReply { peers: vec![30] })]
    );
    for peer in [40, 41, 42] {
        assert!(subject.node.passive_view().contains(&peer));
    }
}

#[test]
fn partisans_deviations_answer_the_last_hop_and_always_evict() {
    let config = Config {
        partisan_deviations: true,
        ..Config::default()
    };
    let mut subject = Subject::new(config);
    for peer in 1..=5 {
        subject.receive(peer, neighbor(true));
    }
    subject.receive(
        1,
        Message::Shuffle {
            origin: 40,
            peers: vec![41],
            hops: 1,
        },
    );
    assert_eq!(subject.sent()[0].0, 1);
    subject.feed(lost(2));
    assert!(
        subject
            .sent()
            .iter()
            .any(|(_, message)| { *message == neighbor(true) })
    );
}

/// Node 100, whose part is named after others, with the neighbors 1 to 5 and the contact 50.
fn rooted() -> Subject {
    let mut subject = Subject::new(Config::default());
    subject.node = HyParView::new(100, Config::default());
    subject.feed(Input::Command(Command::Join(50)));
    for peer in 1..=5 {
        subject.receive(peer, neighbor(true));
    }
    subject.node.mixes_due = 0;
    subject
}

/// Another period, in which all neighbors are heard but the root, which is 0, counts only if told.
fn period(subject: &mut Subject, count: u64) {
    subject.now = subject.now + Config::default().period;
    for peer in subject.node.neighbors() {
        let part = Part { root: ME, count };
        subject.receive(peer, Message::Present { part });
    }
    subject.feed(Input::Timer(Timer::PeriodOver));
}

#[test]
fn a_place_that_nobody_has_room_for_is_asked_for_less_and_less() {
    let mut subject = Subject::full();
    subject.node.mixes_due = 0;
    let leaves = Message::Disconnect {
        leaving: true,
        instead: None,
    };
    subject.receive(5, leaves);
    let peers = (20..40).collect();
    subject.receive(1, Message::ShuffleReply { peers });
    let mut asked = 0;
    for count in 1..=100 {
        period(&mut subject, count);
        loop {
            let sent = subject.sent();
            let question = sent
                .iter()
                .find(|(_, message)| matches!(message, Message::Neighbor { .. }));
            let Some((peer, _)) = question else { break };
            asked += 1;
            subject.receive(*peer, Message::Refuse);
        }
    }
    // Eight in each attempt, after 1, 2, 4, ... 32 periods.
    assert!(
        (8..=80).contains(&asked),
        "{asked} questions in 100 periods"
    );
}

#[test]
fn a_node_that_is_to_remember_no_lost_neighbor_tries_none_again() {
    let mut subject = Subject::new(Config {
        lost_max: 0,
        ..Config::default()
    });
    subject.receive(1, neighbor(true));
    subject.receive(2, neighbor(true));
    subject.feed(lost(1));
    subject.receive(2, Message::Present { part: PART });
    subject.feed(Input::Timer(Timer::PeriodOver));
    assert!(subject.sent_to(1).is_empty());
}

#[test]
fn a_node_with_one_neighbor_takes_a_newcomer_in_and_sends_it_no_further() {
    let mut subject = Subject::new(Config::default());
    subject.receive(1, neighbor(true));
    // Node 2 has this one in its view, and this one has not noticed yet.
    let newcomer = 9;
    subject.receive(2, Message::ForwardJoin { newcomer, hops: 3 });
    assert!(subject.node.neighbors().contains(&newcomer));
    assert_eq!(subject.sent(), vec![(newcomer, neighbor(true))]);
}

#[test]
fn a_full_node_exchanges_one_neighbor_for_a_random_spare_and_then_is_at_rest() {
    let mut subject = Subject::full();
    subject.receive(1, Message::ShuffleReply { peers: vec![20] });
    let mut asked = Vec::new();
    for count in 1..10 {
        period(&mut subject, count);
        for (to, message) in subject.sent() {
            let Message::Neighbor { high_priority, .. } = message else {
                continue;
            };
            assert!(high_priority, "a full spare could refuse");
            asked.push(to);
            subject.receive(to, Message::Accept { part: PART });
        }
    }
    assert_eq!(asked, [20]);
    let neighbors = subject.node.neighbors();
    assert!(neighbors.contains(&20) && neighbors.len() == 5);
}

/// The sample of the shuffle that begins with this period.
fn shuffled(subject: &mut Subject, count: u64) -> Vec<u32> {
    period(subject, count);
    let mut sent = subject.sent().into_iter();
    let sample = sent.find_map(|(_, message)| match message {
        Message::Shuffle { peers, .. } => Some(peers),
        _ => None,
    });
    sample.expect("one shuffle per period")
}

#[test]
fn a_way_in_is_told_in_shuffles_as_long_as_there_is_room_for_spares() {
    let mut subject = rooted();
    assert!(shuffled(&mut subject, 1).contains(&50));
    let peers = (200..230).collect();
    subject.receive(1, Message::ShuffleReply { peers });
    for count in 2..12 {
        assert!(!shuffled(&mut subject, count).contains(&50));
    }
}
