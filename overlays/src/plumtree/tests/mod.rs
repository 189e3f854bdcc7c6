//! What one node does, input by input. Whole trees are tested in `tests/swarm.rs`.

mod measures;

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::event::{PAYLOAD_BYTES_MAX, Refusal};
use crate::message::{DecodeError, decode, encode};
use crate::store::Mark;

/// A node under test with neighbors `1..=4`, and the outputs of its last input.
struct Subject {
    node: Plumtree<u32>,
    random: Xoshiro256PlusPlus,
    now: Time,
    out: Outputs<u32>,
}

type Message = super::Message<u32>;

fn id(number: u64) -> MessageId {
    MessageId { sender: 77, number }
}

fn gossip(number: u64, hops: u16) -> Message {
    Message::Gossip(Gossip {
        sender: 7,
        id: id(number),
        hops,
        mark: None,
        late: false,
        payload: Bytes::from_static(b"news").into(),
    })
}

fn marked(number: u64, hops: u16) -> Message {
    marked_in(1, number, hops)
}

fn marked_in(round: u32, number: u64, hops: u16) -> Message {
    let Message::Gossip(gossip) = gossip(number, hops) else {
        unreachable!("a gossip");
    };
    Message::Gossip(Gossip {
        mark: Some(Mark {
            round,
            spread_micros: 100_000,
        }),
        ..gossip
    })
}

fn late(number: u64, hops: u16) -> Message {
    let Message::Gossip(gossip) = gossip(number, hops) else {
        unreachable!("a gossip");
    };
    Message::Gossip(Gossip {
        late: true,
        ..gossip
    })
}

fn announcement(number: u64, hops: u16, late: bool) -> Announcement {
    let id = id(number);
    Announcement { id, hops, late }
}

fn ihave(number: u64, hops: u16) -> Message {
    Message::Ihave(vec![announcement(number, hops, false)])
}

fn ihave_late(number: u64, hops: u16) -> Message {
    Message::Ihave(vec![announcement(number, hops, true)])
}

impl Subject {
    fn new(config: Config) -> Self {
        let random = Xoshiro256PlusPlus::seed_from_u64(5);
        let mut subject = Self {
            node: Plumtree::new(100, config),
            random,
            now: Time::ZERO,
            out: Vec::new(),
        };
        for peer in 1..=4 {
            subject.feed(Input::Below(Event::NeighborUp(peer)));
        }
        subject
    }

    /// In the tree: fed by 1, feeding 2; 3 and 4 are lazy; message 0 is long past.
    fn in_tree(config: Config) -> Self {
        let mut subject = Self::new(config);
        subject.receive(1, gossip(0, 4));
        subject.receive(2, Message::Graft { ids: Vec::new() });
        for peer in [3, 4] {
            subject.receive(peer, ihave(0, 4));
        }
        subject.feed(Input::Timer(Timer::Announce));
        subject.now = subject.now + Duration::from_secs(20);
        subject
    }

    fn feed(&mut self, input: Input<u32, Message, Timer>) {
        self.out.clear();
        self.node
            .handle(self.now, input, &mut self.random, &mut self.out);
        self.node.check().unwrap();
    }

    fn receive(&mut self, from: u32, message: Message) {
        self.feed(Input::Received { from, message });
    }

    /// Two seconds later the timer of a missing message comes.
    fn due(&mut self, number: u64) {
        self.now = self.now + Duration::from_secs(2);
        self.feed(Input::Timer(Timer::GraftDue(id(number))));
    }

    fn sent(&self) -> Vec<(u32, Message)> {
        let sent = self.out.iter().map(|output| match output {
            Output::Send { to, message } => vec![(*to, message.clone())],
            Output::SendAll { to, message } => to.iter().map(|to| (*to, message.clone())).collect(),
            _ => Vec::new(),
        });
        sent.flatten().collect()
    }

    fn delivered(&self) -> usize {
        let told = |output: &&Output<_, _, _>| matches!(output, Output::Event(Event::Delivered(_)));
        self.out.iter().filter(told).count()
    }
}

fn graft(numbers: &[u64]) -> Message {
    let ids = numbers.iter().map(|number| id(*number)).collect();
    Message::Graft { ids }
}

fn want(numbers: &[u64]) -> Message {
    let ids = numbers.iter().map(|number| id(*number)).collect();
    Message::Want { ids }
}

#[test]
fn a_message_is_delivered_once_and_pushed_along_the_tree_only() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1, 4));
    assert_eq!(subject.delivered(), 1);
    assert_eq!(subject.sent(), vec![(2, gossip(1, 5))]);
    subject.receive(3, gossip(1, 9));
    assert_eq!(subject.delivered(), 0);
}

#[test]
fn announcements_are_gathered_for_lazy_links() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1, 4));
    subject.receive(1, gossip(2, 4));
    subject.feed(Input::Timer(Timer::Announce));
    let both = [1, 2].map(|number| announcement(number, 5, false)).to_vec();
    let expected = [3, 4].map(|peer| (peer, Message::Ihave(both.clone())));
    assert_eq!(subject.sent(), expected);
}

#[test]
fn a_new_link_is_announced_to_at_once_and_costs_no_payload() {
    let mut subject = Subject::in_tree(Config::default());
    subject.feed(Input::Below(Event::NeighborUp(9)));
    subject.receive(1, gossip(1, 4));
    assert!(subject.sent().contains(&(9, ihave(1, 5))));
    assert!(!subject.sent().contains(&(9, gossip(1, 5))));
}

#[test]
fn a_new_neighbor_hears_of_messages_that_may_have_been_lost_with_an_old_one() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1, 4));
    subject.feed(Input::Below(Event::NeighborUp(9)));
    assert_eq!(subject.sent(), vec![(9, ihave_late(1, 5))]);
}

#[test]
fn a_node_without_a_way_into_the_tree_asks_at_the_first_announcement() {
    let mut subject = Subject::new(Config::default());
    subject.receive(3, ihave(0, 2));
    assert_eq!(subject.sent(), vec![(3, graft(&[0]))]);
    subject.receive(4, ihave(0, 1));
    assert!(subject.sent().is_empty(), "one is asked, not all");
    subject.receive(3, gossip(0, 2));
    assert_eq!(subject.delivered(), 1);
}

#[test]
fn a_missing_message_is_asked_from_its_announcers_in_turn_until_one_delivers() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(3, ihave(1, 4));
    subject.receive(4, ihave(1, 4));
    assert!(subject.sent().is_empty());
    for to in [3, 4].repeat(6) {
        subject.due(1);
        assert_eq!(subject.sent(), vec![(to, want(&[1]))]);
        subject.feed(Input::Timer(Timer::GraftDue(id(1))));
        assert!(subject.sent().is_empty(), "it has time to answer");
    }
    subject.due(1);
    assert!(subject.sent().is_empty(), "all were asked in vain");
    subject.receive(3, ihave(1, 4));
    subject.receive(3, late(1, 4));
    assert_eq!(subject.delivered(), 1, "a later announcement begins anew");
    subject.due(1);
    assert!(subject.out.is_empty(), "an old timer means nothing");
}

#[test]
fn a_message_lost_on_its_way_leaves_the_tree_as_it_is() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(3, ihave(1, 4));
    subject.due(1);
    assert_eq!(subject.sent(), vec![(3, want(&[1]))]);
    subject.receive(3, late(1, 4));
    let sent = subject.sent();
    assert!(sent.contains(&(2, ihave_late(1, 5))), "{sent:?}");
    assert!(
        !sent
            .iter()
            .any(|(_, message)| matches!(message, Message::Gossip(_)))
    );
    let eager: Vec<u32> = subject.node.eager_peers().collect();
    assert_eq!(eager, [1, 2]);
}

#[test]
fn a_node_that_misses_much_grows_a_link_into_the_tree() {
    let mut subject = Subject::in_tree(Config::default());
    let grafted = (1..20).find(|number| {
        subject.receive(3, ihave(*number, 4));
        subject.due(*number);
        let grafted = subject.sent() == vec![(3, graft(&[*number]))];
        subject.receive(3, late(*number, 4));
        grafted
    });
    assert!(matches!(grafted, Some(3..=8)), "{grafted:?}");
    assert!(subject.node.eager_peers().any(|peer| peer == 3));
}

#[test]
fn who_is_answering_gets_time_for_large_payloads() {
    let mut subject = Subject::in_tree(Config::default());
    for number in 1..=3 {
        subject.receive(3, ihave(number, 4));
        subject.receive(4, ihave(number, 4));
    }
    subject.due(1);
    assert_eq!(subject.sent(), vec![(3, want(&[1, 2, 3]))]);
    subject.now = subject.now + Duration::from_secs(1);
    subject.receive(3, late(1, 4));
    subject.feed(Input::Timer(Timer::GraftDue(id(2))));
    assert!(subject.sent().is_empty(), "3 is sending");
    subject.due(2);
    assert_eq!(subject.sent(), vec![(4, want(&[2, 3]))], "3 is silent");
}

#[test]
fn a_gap_in_the_messages_of_a_sender_is_asked_for() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(2, 4));
    subject.due(1);
    assert_eq!(subject.sent(), vec![(1, want(&[1]))]);
    let other = MessageId {
        sender: 55,
        number: 9,
    };
    let Message::Gossip(first) = gossip(0, 4) else {
        unreachable!("a gossip");
    };
    subject.receive(1, Message::Gossip(Gossip { id: other, ..first }));
    assert_eq!(
        subject.node.missing.len(),
        1,
        "the past is not for a newcomer"
    );
}

#[test]
fn a_wide_gap_is_asked_for_at_once_its_last_messages_first() {
    const ASKED: u64 = ANNOUNCEMENTS_MAX as u64;
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(400, 4));
    assert_eq!(subject.node.missing.len(), ANNOUNCEMENTS_MAX);
    subject.due(399);
    let first = 400 - ASKED;
    let asked = (first..400).collect::<Vec<_>>();
    let [(1, Message::Want { ids })] = &subject.sent()[..] else {
        panic!("one question: {:?}", subject.sent());
    };
    let ids: std::collections::BTreeSet<_> = ids.iter().copied().collect();
    assert!(asked.iter().all(|number| ids.contains(&id(*number))));
    subject.receive(1, late(first, 4));
    let before = id(first - 1);
    assert!(
        subject.node.missing.has(before),
        "then those before them are waited for"
    );
}

#[test]
fn the_last_message_of_each_sender_is_announced_along_the_tree_too() {
    let mut subject = Subject::in_tree(Config::default());
    subject.feed(Input::Timer(Timer::Tails));
    subject.receive(1, gossip(1, 4));
    subject.receive(1, gossip(2, 4));
    subject.feed(Input::Timer(Timer::Tails));
    let both = [1, 2].map(|to| (to, ihave_late(2, 5)));
    assert_eq!(subject.sent(), both);
    subject.receive(1, gossip(3, 4));
    let timers = subject.out.iter().filter(|output| {
        let id = Timer::Tails;
        matches!(output, Output::SetTimer { id: set, .. } if *set == id)
    });
    assert_eq!(timers.count(), 1);
}

#[test]
fn where_messages_are_lost_the_last_one_is_announced_three_times() {
    let mut subject = Subject::in_tree(Config::default());
    subject.feed(Input::Timer(Timer::Tails));
    subject.receive(1, gossip(1, 4));
    subject.receive(2, want(&[1]));
    for _ in 0..3 {
        subject.feed(Input::Timer(Timer::Tails));
        assert_eq!(subject.sent(), [1, 2].map(|to| (to, ihave_late(1, 5))));
    }
    assert_eq!(subject.out.len(), 1, "no timer for a fourth time");
    subject.now = subject.now + Duration::from_secs(31);
    subject.receive(1, gossip(2, 4));
    subject.feed(Input::Timer(Timer::Tails));
    assert_eq!(subject.out.len(), 1, "nothing was lost for long");
}

#[test]
fn all_timers_follow_what_was_measured() {
    let mut subject = Subject::in_tree(Config::default());
    let before = subject.node.pace.graft_after();
    // On this network payloads come two seconds after their announcements, and are well.
    for number in 1..20 {
        subject.receive(3, ihave(number, 4));
        subject.now = subject.now + Duration::from_secs(2);
        subject.receive(1, gossip(number, 4));
    }
    assert!(before < Duration::from_secs(1));
    assert!(subject.node.pace.graft_after() > Duration::from_secs(2));
    subject.receive(3, ihave(20, 4));
    let after = subject.out.iter().find_map(|output| match output {
        Output::SetTimer { after, .. } => Some(*after),
        _ => None,
    });
    assert_eq!(after, Some(subject.node.pace.graft_after()));
    let spread = subject.node.pace.spread();
    for number in 21..40 {
        subject.receive(3, ihave(number, 4));
        subject.now = subject.now + Duration::from_secs(9);
        subject.receive(3, late(number, 4));
    }
    assert_eq!(
        subject.node.pace.spread(),
        spread,
        "a repair measures nothing"
    );
}

#[test]
fn losing_a_tree_link_is_repaired_at_once_with_what_was_announced() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(3, ihave(1, 4));
    subject.feed(Input::Below(Event::NeighborDown(1)));
    assert_eq!(subject.sent(), vec![(3, graft(&[1]))]);
}

#[test]
fn an_announcement_over_a_tree_link_is_asked_for_at_once() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, ihave(1, 4));
    assert_eq!(subject.sent(), vec![(1, want(&[1]))]);
}

#[test]
fn a_graft_gets_the_message_and_what_was_only_gathered() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1, 4));
    subject.receive(3, graft(&[0]));
    assert_eq!(subject.sent(), vec![(3, ihave(1, 5)), (3, late(0, 5))]);
    assert!(subject.node.eager_peers().any(|peer| peer == 3));
}

#[test]
fn a_link_is_pruned_by_the_least_of_the_marked_messages_of_one_time() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(3, graft(&[]));
    subject.receive(1, gossip(1, 4));
    subject.receive(2, gossip(1, 7));
    subject.feed(Input::Timer(Timer::Prune(1)));
    assert!(subject.sent().is_empty(), "not marked");
    // Messages 2 and 3 are under way at once; 2 comes again over link 2, and 3 over link 3.
    subject.receive(1, marked(3, 4));
    subject.receive(3, marked(3, 7));
    subject.receive(1, marked(2, 4));
    subject.receive(2, marked(2, 7));
    assert!(subject.sent().is_empty(), "a lesser one may still come");
    subject.feed(Input::Timer(Timer::Prune(1)));
    assert_eq!(subject.sent(), vec![(2, Message::Prune)]);
    let eager: Vec<u32> = subject.node.eager_peers().collect();
    assert_eq!(eager, [1, 3]);
}

#[test]
fn a_marked_message_that_was_fetched_does_not_prune_the_link_that_feeds() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(3, ihave(1, 4));
    subject.due(1);
    let Message::Gossip(fetched) = marked(1, 4) else {
        unreachable!("a gossip");
    };
    let late = true;
    subject.receive(3, Message::Gossip(Gossip { late, ..fetched }));
    subject.receive(1, marked(1, 4));
    subject.receive(2, marked(1, 9));
    subject.feed(Input::Timer(Timer::Prune(1)));
    assert_eq!(subject.sent(), vec![(2, Message::Prune)]);
}

#[test]
fn a_new_tree_link_is_not_pruned_by_what_came_before_it() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, marked(1, 4));
    subject.now = subject.now + Duration::from_millis(1);
    subject.receive(3, graft(&[]));
    subject.receive(3, marked(1, 7));
    subject.feed(Input::Timer(Timer::Prune(1)));
    assert!(subject.sent().is_empty());
    assert!(subject.node.eager_peers().any(|peer| peer == 3));
}

#[test]
fn a_mark_of_an_earlier_round_that_comes_again_does_not_hide_that_of_the_latest() {
    // The message of round 1 comes again before round 2 begins, or after it.
    for is_before in [true, false] {
        let mut subject = Subject::in_tree(Config::default());
        subject.receive(1, marked_in(1, 1, 4));
        if is_before {
            subject.receive(2, marked_in(1, 1, 7));
        }
        subject.receive(1, marked_in(2, 2, 4));
        subject.receive(2, marked_in(2, 2, 7));
        if !is_before {
            subject.receive(2, marked_in(1, 1, 7));
        }
        subject.feed(Input::Timer(Timer::Prune(1)));
        assert!(subject.sent().is_empty(), "the round is over");
        subject.feed(Input::Timer(Timer::Prune(2)));
        assert_eq!(subject.sent(), vec![(2, Message::Prune)], "{is_before}");
    }
}

#[test]
fn a_congested_link_is_announced_to_and_what_is_asked_for_waits_for_room() {
    let mut subject = Subject::in_tree(Config::default());
    subject.feed(Input::Congested(2));
    assert_eq!(subject.sent(), vec![(2, Message::Prune)]);
    subject.receive(1, gossip(1, 4));
    assert!(subject.sent().is_empty(), "no payload");
    subject.feed(Input::Timer(Timer::Announce));
    assert!(subject.sent().contains(&(2, ihave(1, 5))));
    subject.receive(2, graft(&[1]));
    assert!(subject.sent().is_empty(), "no room yet");
    subject.receive(1, gossip(2, 4));
    subject.feed(Input::Timer(Timer::Announce));
    assert!(
        subject.sent().contains(&(2, ihave(2, 5))),
        "announced, though eager"
    );
    subject.feed(Input::Drained(2));
    assert_eq!(subject.sent(), vec![(2, late(1, 5))]);
    subject.receive(1, gossip(3, 4));
    assert_eq!(subject.sent(), vec![(2, gossip(3, 5))]);
}

#[test]
fn who_asks_for_much_gets_all_of_it_page_by_page() {
    let mut subject = Subject::in_tree(Config::default());
    let Message::Gossip(small) = gossip(0, 4) else {
        unreachable!("a gossip");
    };
    for number in 1..=10 {
        subject.receive(
            1,
            Message::Gossip(Gossip {
                id: id(number),
                payload: vec![0; PAYLOAD_BYTES_MAX].into(),
                ..small.clone()
            }),
        );
    }
    subject.receive(3, want(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]));
    let mut pages = vec![subject.sent().len()];
    for _ in 0..3 {
        subject.feed(Input::Timer(Timer::Page));
        pages.push(subject.sent().len());
    }
    assert_eq!(pages, [4, 4, 2, 0]);
    assert!(
        subject.node.eager_peers().all(|peer| peer != 3),
        "it did not graft"
    );
}

#[test]
fn what_was_only_announced_goes_out_before_a_node_leaves() {
    let mut subject = Subject::new(Config::default());
    let goodbye = Payload::from(Bytes::from_static(b"goodbye"));
    subject.feed(Input::Command(Command::Broadcast(goodbye.clone())));
    assert_eq!(subject.sent().len(), 4, "all links are untried");
    subject.feed(Input::Command(Command::Leave));
    let said = subject.sent().into_iter().filter(
        |(_, message)| matches!(message, Message::Gossip(gossip) if gossip.payload == goodbye),
    );
    assert_eq!(said.count(), 4);
    assert_eq!(subject.out.last(), Some(&Output::Below(Command::Leave)));
}

#[test]
fn too_much_on_its_way_is_refused() {
    let mut config = Config::default();
    config.store.payload_bytes_max = 1_000;
    config.store.fresh_bytes_max = 8_000;
    let mut subject = Subject::in_tree(config);
    let broadcast = Input::Command(Command::Broadcast(vec![0; 1_000].into()));
    let refused = |subject: &Subject| {
        let why = Refusal::Busy;
        let is = |output: &Output<_, _, _>| matches!(output, Output::Event(Event::Refused { why: it, .. }) if *it == why);
        subject.out.iter().any(is)
    };
    for number in 0..12 {
        subject.feed(broadcast.clone());
        assert_eq!(refused(&subject), number > 7, "{number}");
    }
    subject.now = subject.now + Duration::from_secs(20);
    subject.feed(broadcast);
    assert!(!refused(&subject), "all could be asked for long enough");
}

#[test]
fn a_pruned_link_does_not_come_back_by_what_is_still_under_way() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(2, Message::Prune);
    subject.receive(2, gossip(1, 4));
    assert_eq!(subject.delivered(), 1);
    assert!(subject.node.eager_peers().all(|peer| peer != 2));
    subject.now = subject.now + Duration::from_secs(1);
    subject.receive(2, gossip(2, 4));
    assert!(
        subject.node.eager_peers().any(|peer| peer == 2),
        "the other end takes it for a link of the tree"
    );
}

#[test]
fn a_copy_made_by_the_network_says_nothing_about_the_tree() {
    let mut subject = Subject::in_tree(Config::default());
    for number in 1..5 {
        subject.now = subject.now + Duration::from_secs(1);
        subject.receive(1, gossip(number, 4));
        subject.receive(1, gossip(number, 4));
        assert!(subject.sent().is_empty());
    }
}

#[test]
fn a_node_moves_to_a_neighbor_with_a_shorter_path() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1, 6));
    subject.receive(3, ihave(1, 5));
    assert!(subject.sent().is_empty(), "one hop is not worth it");
    subject.receive(4, ihave(1, 2));
    assert_eq!(subject.sent(), vec![(4, graft(&[])), (1, Message::Prune)]);
    subject.receive(3, ihave(1, 0));
    assert!(
        subject.sent().is_empty(),
        "after a move it stays calm for a while"
    );
}

#[test]
fn announcements_of_a_hostile_neighbor_are_bounded() {
    let config = Config {
        missing_max: 10,
        ..Config::default()
    };
    let mut subject = Subject::in_tree(config);
    for number in 100..200 {
        subject.receive(3, ihave(number, 1));
    }
    assert_eq!(subject.node.missing.len(), 10);
}

#[test]
fn the_largest_payload_is_broadcast_and_a_larger_one_given_back() {
    let mut subject = Subject::in_tree(Config::default());
    let broadcast = |bytes| Command::Broadcast(vec![0; bytes].into());
    subject.feed(Input::Command(broadcast(PAYLOAD_BYTES_MAX)));
    assert_eq!(subject.sent().len(), 2);
    subject.feed(Input::Command(broadcast(PAYLOAD_BYTES_MAX + 1)));
    let refused = Event::Refused {
        command: broadcast(PAYLOAD_BYTES_MAX + 1),
        why: Refusal::TooLarge {
            bytes: PAYLOAD_BYTES_MAX + 1,
            bytes_max: PAYLOAD_BYTES_MAX,
        },
    };
    assert_eq!(subject.out, [Output::Event(refused)]);
}

#[test]
fn bytes_follow_a_message_only_as_its_payload() {
    let gossip = gossip(1, 4);
    assert_eq!(decode(&encode(&gossip)), Ok(gossip));
    let mut bytes = encode(&Message::Prune);
    bytes.push(0);
    assert_eq!(decode::<Message>(&bytes), Err(DecodeError::Malformed));
}

#[test]
fn the_longest_message_is_a_payload_of_full_length_and_its_head() {
    let Message::Gossip(first) = gossip(u64::MAX, HOPS_MAX) else {
        unreachable!("a gossip");
    };
    let payload = Payload::from(vec![0; PAYLOAD_BYTES_MAX]);
    let longest = encode(&Message::Gossip(Gossip { payload, ..first })).len();
    let bound = <Message as crate::message::Message>::BYTES_MAX;
    let spare = Payload::HEAD_ENCODED_MAX + 40;
    assert!(
        (longest..=longest + spare).contains(&bound),
        "{longest} bytes, {bound} allowed"
    );
}
