//! Exchanges of far neighbors for near ones, in each of the four roles.

use super::*;

/// A node whose neighbors are 1 to 5, each 10 ms farther than the one before. So many of the farthest stay.
pub(super) fn measured(unbiased: usize) -> Subject {
    let mut subject = Subject::new(Config {
        xbot: Some(XbotConfig {
            unbiased,
            ..XbotConfig::default()
        }),
        ..Config::default()
    });
    for peer in 1..=5_u32 {
        subject.receive(peer, neighbor(true));
        let rtt = Duration::from_millis(10 * u64::from(peer));
        subject.feed(Input::Command(Command::Measured { peer, rtt }));
    }
    subject
}

#[test]
fn x_bot_exchanges_a_far_neighbor_for_a_near_spare() {
    let mut subject = measured(1);
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

/// Neighbor 4 would give this node up for 9, and asks it to take `old` instead.
const fn replace(old: u32) -> Message<u32> {
    Message::Xbot(XbotMessage::Replace { initiator: 9, old })
}

const fn replaced(old: u32, accepted: bool) -> Message<u32> {
    Message::Xbot(XbotMessage::ReplaceReply {
        initiator: 9,
        old,
        accepted,
    })
}

/// Node 8, which this one is to take instead of 4, answers the second ping after so many milliseconds.
fn told_to_take_another(rtt: u64) -> Subject {
    let mut subject = measured(1);
    subject.receive(4, replace(8));
    let cold = subject.pinged(8).expect("it is measured");
    subject.pong(8, cold);
    let warm = subject.pinged(8).expect("now that there is a lane");
    subject.now = subject.now + Duration::from_millis(rtt);
    subject.pong(8, warm);
    subject
}

#[test]
fn who_is_given_up_takes_a_nearer_node_instead() {
    let mut subject = told_to_take_another(5);
    let switch = XbotMessage::Switch {
        initiator: 9,
        candidate: 4,
    };
    assert_eq!(subject.sent(), vec![(8, Message::Xbot(switch))]);
    let reply = XbotMessage::SwitchReply {
        initiator: 9,
        candidate: 4,
        accepted: true,
    };
    subject.receive(8, Message::Xbot(reply));
    assert!(subject.sent_to(4).contains(&replaced(8, true)));
    let neighbors = subject.node.neighbors();
    assert!(neighbors.contains(&8) && !neighbors.contains(&4));
}

#[test]
fn who_is_to_be_given_up_for_a_farther_node_says_no() {
    let mut subject = told_to_take_another(60);
    assert_eq!(subject.sent(), vec![(4, replaced(8, false))]);
    assert!(subject.node.neighbors().contains(&4));
    // It is free for another exchange.
    subject.receive(4, replace(7));
    assert!(subject.pinged(7).is_some());
}

#[test]
fn a_replacement_that_cannot_be_is_refused_at_once() {
    // By one that is no neighbor, with one that is a neighbor already, with this node itself.
    for (from, old) in [(70, 8), (4, 5), (4, ME)] {
        let mut subject = measured(1);
        subject.receive(from, replace(old));
        assert_eq!(subject.sent(), vec![(from, replaced(old, false))]);
    }
    let mut subject = measured(1);
    subject.receive(4, replace(8));
    subject.receive(3, replace(7));
    assert_eq!(
        subject.sent(),
        vec![(3, replaced(7, false))],
        "one at a time"
    );
}
