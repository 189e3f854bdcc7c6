//! What one node does, input by input. Whole trees are tested in `tests/swarm.rs`.

use std::time::Duration;

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::*;
use crate::event::{PAYLOAD_BYTES_MAX, Refusal};

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
    gossip_that(false, number, hops)
}

fn gossip_that(prunes: bool, number: u64, hops: u16) -> Message {
    Message::Gossip(Gossip {
        sender: 7,
        id: id(number),
        hops,
        prunes,
        payload: Bytes::from_static(b"news").into(),
    })
}

fn ihave(number: u64, hops: u16) -> Message {
    Message::Ihave(vec![Announcement {
        id: id(number),
        hops,
    }])
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
    Message::Graft {
        ids: numbers.iter().map(|number| id(*number)).collect(),
    }
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
    let both = [1, 2]
        .map(|number| Announcement {
            id: id(number),
            hops: 5,
        })
        .to_vec();
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
    assert_eq!(subject.sent(), vec![(9, ihave(1, 5))]);
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
fn a_missing_message_is_waited_for_then_asked_from_one_announcer_after_the_other() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(3, ihave(1, 4));
    subject.receive(4, ihave(1, 4));
    assert!(subject.sent().is_empty());
    subject.feed(Input::Timer(Timer::GraftDue(id(1))));
    assert_eq!(subject.sent(), vec![(3, graft(&[1]))]);
    subject.feed(Input::Timer(Timer::GraftDue(id(1))));
    assert_eq!(subject.sent(), vec![(4, graft(&[1]))]);
    subject.feed(Input::Timer(Timer::GraftDue(id(1))));
    assert!(subject.sent().is_empty());
    subject.receive(3, ihave(1, 4));
    subject.receive(3, gossip(1, 4));
    assert_eq!(subject.delivered(), 1, "a later announcement begins anew");
    subject.feed(Input::Timer(Timer::GraftDue(id(1))));
    assert!(subject.out.is_empty(), "an old timer means nothing");
}

#[test]
fn one_announcer_is_asked_for_all_that_it_has() {
    let mut subject = Subject::in_tree(Config::default());
    for number in 1..=3 {
        subject.receive(3, ihave(number, 4));
    }
    subject.feed(Input::Timer(Timer::GraftDue(id(1))));
    assert_eq!(subject.sent(), vec![(3, graft(&[1, 2, 3]))]);
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
    assert_eq!(subject.sent(), vec![(1, graft(&[1]))]);
}

#[test]
fn a_graft_gets_the_message_and_what_was_only_gathered() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1, 4));
    subject.receive(3, graft(&[0]));
    assert_eq!(subject.sent(), vec![(3, ihave(1, 5)), (3, gossip(0, 5))]);
    assert!(subject.node.eager_peers().any(|peer| peer == 3));
}

#[test]
fn a_link_that_brings_a_message_again_is_pruned_only_by_one_that_prunes() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1, 4));
    subject.receive(2, gossip(1, 7));
    assert!(subject.sent().is_empty(), "two might open a circle twice");
    subject.receive(1, gossip_that(true, 2, 4));
    subject.receive(2, gossip_that(true, 2, 7));
    assert_eq!(subject.sent(), vec![(2, Message::Prune)]);
    assert!(subject.node.eager_peers().all(|peer| peer != 2));
}

#[test]
fn a_new_tree_link_is_not_pruned_by_what_was_under_way_on_an_old_path() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip_that(true, 1, 4));
    subject.receive(3, graft(&[]));
    subject.receive(3, gossip_that(true, 1, 7));
    assert!(subject.sent().is_empty());
    assert!(subject.node.eager_peers().any(|peer| peer == 3));
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
