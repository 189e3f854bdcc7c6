//! What one node does, input by input. Whole overlays are tested in `tests/swarm.rs`.

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

#[test]
fn x_bot_exchanges_a_far_neighbor_for_a_near_spare() {
    let mut subject = Subject::new(Config {
        xbot: Some(XbotConfig::default()),
        ..Config::default()
    });
    for peer in 1..=5_u32 {
        subject.receive(peer, neighbor(true));
        let rtt = Duration::from_millis(10 * u64::from(peer));
        subject.feed(Input::Command(Command::Measured { peer, rtt }));
    }
    subject.receive(1, Message::ShuffleReply { peers: vec![9] });
    subject.node.mixes_due = 0;
    subject.feed(Input::Timer(Timer::PeriodOver));
    let cold = subject.pinged(9).expect("a candidate is measured");
    // A dial takes long, and says nothing of the distance.
    subject.now = Time::from_micros(900_000);
    subject.pong(9, cold);
    let warm = subject.pinged(9).expect("now that there is a lane");
    assert_eq!(subject.sent().len(), 1, "nothing is decided yet");
    for (peer, nonce) in [(9, cold), (9, warm ^ 1), (8, warm)] {
        subject.pong(peer, nonce);
        assert_eq!(subject.sent(), vec![], "not the answer to that ping");
    }
    subject.now = Time::from_micros(905_000);
    subject.pong(9, warm);
    // The farthest, 5, is the one that stays for the sake of the whole; 4 is given up.
    assert_eq!(
        subject.sent(),
        vec![(9, Message::Xbot(XbotMessage::Optimize { old: 4 }))]
    );
    subject.receive(
        9,
        Message::Xbot(XbotMessage::OptimizeReply {
            old: 4,
            accepted: true,
        }),
    );
    let neighbors = subject.node.neighbors();
    assert!(neighbors.contains(&9) && !neighbors.contains(&4) && neighbors.contains(&5));
}

#[test]
fn a_node_farther_than_the_farthest_is_not_taken_whatever_it_says() {
    let mut subject = Subject::new(Config {
        xbot: Some(XbotConfig::default()),
        ..Config::default()
    });
    for peer in 1..=5_u32 {
        subject.receive(peer, neighbor(true));
        let rtt = Duration::from_millis(10);
        subject.feed(Input::Command(Command::Measured { peer, rtt }));
    }
    subject.receive(1, Message::ShuffleReply { peers: vec![9] });
    subject.node.mixes_due = 0;
    subject.feed(Input::Timer(Timer::PeriodOver));
    let cold = subject.pinged(9).expect("a candidate is measured");
    subject.pong(9, cold);
    let warm = subject.pinged(9).expect("a second time");
    subject.now = Time::from_micros(50_000);
    for guess in [0, 50_000, 49_999, u64::MAX] {
        subject.pong(9, guess);
    }
    subject.pong(9, warm);
    assert_eq!(subject.sent(), vec![], "50 ms is farther than 10 ms");
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
fn who_answers_a_hail_from_another_part_is_made_a_neighbor() {
    let mut subject = rooted();
    period(&mut subject, 1);
    assert_eq!(subject.sent_to(50), vec![Message::Hail]);
    let here = |root| Message::Here {
        part: Some(Part { root, count: 7 }),
        peers: vec![60],
    };
    subject.receive(51, here(33));
    assert_eq!(subject.sent(), vec![], "nobody asked it");
    subject.receive(50, here(33));
    let asked = Message::Neighbor {
        high_priority: true,
        part: Part { root: ME, count: 1 },
    };
    assert_eq!(subject.sent(), vec![(50, asked)]);
    assert!(subject.node.passive_view().contains(&60));
    let part = Part { root: 33, count: 7 };
    subject.receive(50, Message::Accept { part });
    assert!(subject.node.neighbors().contains(&50));
    // The only lane between two parts is the last that is given up.
    for peer in 200..210 {
        subject.receive(peer, neighbor(true));
        assert!(subject.node.neighbors().contains(&50), "{peer}");
    }
}

#[test]
fn who_answers_a_hail_from_the_same_part_or_is_not_sure_changes_nothing() {
    for part in [Some(Part { root: ME, count: 0 }), None] {
        let mut subject = rooted();
        period(&mut subject, 1);
        let peers = vec![60];
        subject.receive(50, Message::Here { part, peers });
        assert_eq!(subject.sent(), vec![]);
    }
}

#[test]
fn a_node_at_rest_hails_one_node_a_minute() {
    let mut subject = rooted();
    let mut hails = 0;
    for count in 1..=66 {
        period(&mut subject, count);
        let sent = subject.sent();
        hails += sent
            .iter()
            .filter(|(_, what)| *what == Message::Hail)
            .count();
    }
    assert!((11..=14).contains(&hails), "{hails} in eleven minutes");
}

#[test]
fn a_root_that_does_not_count_is_given_up_and_not_revived_by_old_counts() {
    let mut subject = rooted();
    period(&mut subject, 5);
    assert_eq!(subject.node.belonging.part(), Part { root: ME, count: 5 });
    for _ in 0..4 {
        period(&mut subject, 5);
    }
    assert_eq!(subject.node.belonging.part().root, 100, "its own");
    period(&mut subject, 4);
    assert_eq!(subject.node.belonging.part().root, 100);
    period(&mut subject, 6);
    assert_eq!(subject.node.belonging.part().root, ME, "it is back");
}

#[test]
fn counts_of_a_neighbor_are_passed_on_at_once_but_not_without_end() {
    let mut subject = rooted();
    let mut passed_on = 0;
    for count in 1..=1_000 {
        let part = Part { root: ME, count };
        subject.receive(1, Message::Present { part });
        passed_on += subject.sent().len();
    }
    assert!((5..=40).contains(&passed_on), "{passed_on} messages");
}

#[test]
fn a_restarted_root_counts_on_from_its_earlier_life() {
    let mut subject = Subject::full();
    let part = Part {
        root: ME,
        count: 70,
    };
    subject.receive(1, Message::Present { part });
    subject.feed(Input::Timer(Timer::PeriodOver));
    assert_eq!(
        subject.node.belonging.part(),
        Part {
            root: ME,
            count: 71
        }
    );
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

/// The neighbors are far, but for those that are named as near.
fn in_a_zone(near: &[u32]) -> Subject {
    let mut subject = Subject::full();
    subject.node.mixes_due = 0;
    for peer in near {
        subject.feed(near_is(*peer, true));
    }
    subject
}

const fn near_is(peer: u32, is_near: bool) -> Input<u32, Message<u32>, Timer> {
    Input::Command(Command::Near { peer, is_near })
}

fn far_neighbors(subject: &Subject, near: &[u32]) -> usize {
    let neighbors = subject.node.neighbors();
    neighbors.iter().filter(|peer| !near.contains(peer)).count()
}

#[test]
fn near_spares_take_the_places_of_far_neighbors_and_one_far_one_stays() {
    let near = [20, 21, 22, 23, 24, 25];
    let mut subject = in_a_zone(&near);
    subject.receive(
        1,
        Message::ShuffleReply {
            peers: near.to_vec(),
        },
    );
    for count in 1..20 {
        period(&mut subject, count);
        while let Some(peer) = subject.asked() {
            assert!(near.contains(&peer), "{peer} is far");
            subject.receive(peer, Message::Accept { part: PART });
        }
    }
    assert_eq!(far_neighbors(&subject, &near), 1);
    // However many ask without a choice, that place is for far ones, and the others are not.
    for peer in [25, 24, 23, 22, 21, 20, 40, 41, 42] {
        subject.receive(peer, neighbor(true));
        assert_eq!(far_neighbors(&subject, &near), 1, "{peer}");
    }
    subject.receive(43, neighbor(false));
    assert!(subject.sent().contains(&(43, Message::Refuse)));
}

#[test]
fn a_full_view_without_a_far_neighbor_asks_for_one_and_takes_one_that_asks() {
    let near = [1, 2, 3, 4, 5];
    let mut subject = in_a_zone(&near);
    subject.receive(1, Message::ShuffleReply { peers: vec![40] });
    period(&mut subject, 1);
    assert_eq!(subject.asked(), Some(40));
    subject.receive(41, neighbor(false));
    let answer = subject.sent_to(41);
    assert!(matches!(answer[..], [Message::Accept { .. }]), "{answer:?}");
    assert_eq!(far_neighbors(&subject, &near), 1);
    // The answer to the question comes too late: the share is there.
    subject.receive(40, Message::Accept { part: PART });
    assert_eq!(far_neighbors(&subject, &near), 1);
}

#[test]
fn who_has_left_the_zone_is_far() {
    let near = [1, 2, 3, 4];
    let mut subject = in_a_zone(&near);
    subject.receive(60, neighbor(false));
    assert!(
        subject.sent().contains(&(60, Message::Refuse)),
        "its share is there"
    );
    for peer in near {
        subject.feed(near_is(peer, false));
    }
    subject.receive(61, neighbor(true));
    assert!(
        subject.node.neighbors().contains(&61),
        "all are alike again"
    );
}

#[test]
fn x_bot_gives_up_no_far_neighbor_of_the_share() {
    let mut subject = Subject::new(Config {
        xbot: Some(XbotConfig {
            unbiased: 0,
            ..XbotConfig::default()
        }),
        ..Config::default()
    });
    for peer in 1..=5_u32 {
        subject.receive(peer, neighbor(true));
        let rtt = Duration::from_millis(10 * u64::from(peer));
        subject.feed(Input::Command(Command::Measured { peer, rtt }));
    }
    // 5 is the farthest, and the only one of another zone.
    for peer in [1, 2, 3, 4, 9] {
        subject.feed(near_is(peer, true));
    }
    subject.receive(9, Message::Xbot(XbotMessage::Optimize { old: 70 }));
    let replace = Message::Xbot(XbotMessage::Replace {
        initiator: 9,
        old: 70,
    });
    assert!(
        subject.sent().contains(&(4, replace)),
        "{:?}",
        subject.sent()
    );
}

#[test]
fn a_walk_to_a_far_node_leaves_the_zone() {
    let mut subject = in_a_zone(&[1, 2, 3, 4, 30]);
    let hop =
        |subject: &mut Subject, to, from| subject.node.next_hop(to, from, &mut subject.random);
    assert_eq!(hop(&mut subject, 50, None), Some(5));
    assert_ne!(hop(&mut subject, 50, Some(5)), Some(5), "not back");
    for _ in 0..20 {
        assert_ne!(hop(&mut subject, 30, None), Some(5), "it is inside");
    }
    assert_eq!(hop(&mut subject, 5, None), Some(5));
}
