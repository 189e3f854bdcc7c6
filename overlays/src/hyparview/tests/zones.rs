//! Neighbors of the own zone and of others.

use super::xbot::measured;
use super::*;

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

#[test]
fn a_free_place_is_filled_with_a_spare_of_the_kind_that_it_is_for() {
    for (gone, asked) in [(1, 20), (5, 40)] {
        let mut subject = in_a_zone(&[1, 2, 3, 4, 20]);
        subject.receive(
            2,
            Message::ShuffleReply {
                peers: vec![20, 40],
            },
        );
        subject.feed(lost(gone));
        assert_eq!(subject.asked(), Some(asked), "in the place of {gone}");
    }
}

#[test]
fn x_bot_gives_up_no_far_neighbor_of_the_share() {
    let mut subject = measured(0);
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
fn x_bot_gives_a_near_neighbor_up_for_a_far_node_only_where_the_share_is_lacking() {
    // Who is near besides 2 to 5, and whom node 9 of another zone takes the place of.
    for (one_more, given_up) in [(Some(1), 5), (None, 1)] {
        let mut subject = measured(0);
        for peer in (2..=5).chain(one_more) {
            subject.feed(near_is(peer, true));
        }
        subject.receive(9, Message::Xbot(XbotMessage::Optimize { old: 70 }));
        let replace = Message::Xbot(XbotMessage::Replace {
            initiator: 9,
            old: 70,
        });
        assert_eq!(subject.sent(), vec![(given_up, replace)]);
    }
}
