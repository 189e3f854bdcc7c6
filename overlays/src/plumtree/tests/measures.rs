//! Messages that had to be asked for: who is asked, when it is given up, and what all that says of the network.

use super::*;

#[test]
fn a_message_that_comes_after_it_was_given_up_is_counted_no_more() {
    let mut subject = Subject::in_tree(Config::default());
    for number in [1, 2] {
        subject.receive(3, ihave(number, 4));
    }
    assert_eq!(subject.node.given_up(), 0);
    // Asked six times, for both at once, and in vain.
    for _ in 0..7 {
        subject.due(1);
    }
    subject.due(2);
    assert_eq!(subject.node.given_up(), 2);
    assert!(!subject.node.has_seen(id(1)));
    let Message::Gossip(gossip) = gossip(0, 4) else {
        unreachable!("a gossip");
    };
    let other = MessageId {
        sender: 55,
        number: 0,
    };
    subject.receive(
        1,
        Message::Gossip(Gossip {
            id: other,
            ..gossip
        }),
    );
    assert_eq!(subject.node.given_up(), 2, "another message");
    subject.receive(1, late(1, 4));
    assert_eq!(subject.node.given_up(), 1);
    assert!(subject.node.has_seen(id(1)) && !subject.node.has_seen(id(2)));
    subject.receive(1, late(2, 4));
    assert_eq!(subject.node.given_up(), 0);
}

#[test]
fn of_a_wide_gap_that_nobody_fills_all_is_counted_once() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(1, gossip(1_000, 4));
    let asked = ANNOUNCEMENTS_MAX as u64;
    let first = 1_000 - asked;
    let in_vain = |subject: &mut Subject, numbers: std::ops::Range<u64>| {
        for number in numbers {
            (0..8).for_each(|_| subject.due(number));
        }
    };
    in_vain(&mut subject, first + 1..1_000);
    assert_eq!(subject.node.given_up(), asked - 1);
    in_vain(&mut subject, first..first + 1);
    assert_eq!(subject.node.given_up(), 999, "and those before them");
    // One of them comes after all: those before it are asked for again.
    subject.receive(1, late(500, 4));
    assert_eq!(subject.node.given_up(), 998);
    in_vain(&mut subject, 500 - asked..500);
    assert_eq!(subject.node.given_up(), 998);
    assert_eq!(subject.node.missing.len(), 0);
}

#[test]
fn what_is_missing_beyond_the_limit_is_given_up_at_once() {
    let config = Config {
        missing_max: 10,
        ..Config::default()
    };
    let mut subject = Subject::in_tree(config);
    subject.receive(1, gossip(100, 4));
    assert_eq!(subject.node.missing.len(), 10);
    assert_eq!(subject.node.given_up(), 89);
    (1..90).for_each(|number| subject.receive(1, late(number, 4)));
    assert_eq!(subject.node.given_up(), 0);
}

#[test]
fn of_those_who_announced_a_message_one_in_the_tree_is_asked_first() {
    let mut subject = Subject::in_tree(Config::default());
    subject.receive(3, ihave(1, 4));
    subject.receive(2, ihave(1, 4));
    subject.due(1);
    assert_eq!(subject.sent(), vec![(2, want(&[1]))]);
}

#[test]
fn who_sent_nothing_for_as_long_as_answers_take_is_silent() {
    let mut subject = Subject::in_tree(Config::default());
    for number in 1..=2 {
        subject.receive(3, ihave(number, 4));
        subject.receive(4, ihave(number, 4));
    }
    subject.due(1);
    assert_eq!(subject.sent(), vec![(3, want(&[1, 2]))]);
    subject.now = subject.now + Duration::from_secs(1);
    subject.receive(3, late(1, 4));
    let due = Timer::GraftDue(id(2));
    subject.feed(Input::Timer(due));
    let [Output::SetTimer { id, after }] = subject.out[..] else {
        panic!("3 is given time: {:?}", subject.out);
    };
    assert_eq!((id, after), (due, subject.node.pace.answer_within()));
    subject.now = subject.now + after;
    subject.feed(Input::Timer(due));
    assert_eq!(subject.sent(), vec![(4, want(&[2]))]);
}

#[test]
fn an_answer_is_timed_only_if_it_comes_from_the_one_who_was_asked() {
    for (from, is_timed) in [(3, true), (1, false)] {
        let mut subject = Subject::in_tree(Config::default());
        let before = subject.node.pace.answer_within();
        subject.receive(3, ihave(1, 4));
        subject.due(1);
        assert_eq!(subject.sent(), vec![(3, want(&[1]))]);
        subject.now = subject.now + Duration::from_secs(3);
        subject.receive(from, late(1, 4));
        let grown = subject.node.pace.answer_within() > before;
        assert_eq!(grown, is_timed, "from {from}");
    }
}

#[test]
fn second_copies_and_announcements_tell_the_spread_but_repairs_do_not() {
    // What comes first over the tree, what comes a second later over another link, and whether that
    // tells how long messages take.
    let cases = [
        (gossip(1, 4), 2, gossip(1, 4), true),
        (gossip(1, 4), 3, ihave(1, 4), true),
        (gossip(1, 4), 2, late(1, 4), false),
        (gossip(1, 4), 3, ihave_late(1, 4), false),
        (late(1, 4), 2, gossip(1, 4), false),
        (late(1, 4), 3, ihave(1, 4), false),
    ];
    for (number, (first, from, second, tells)) in cases.into_iter().enumerate() {
        let mut subject = Subject::in_tree(Config::default());
        let before = subject.node.pace.spread();
        subject.receive(1, first);
        subject.now = subject.now + Duration::from_secs(1);
        subject.receive(from, second);
        let grown = subject.node.pace.spread() > before;
        assert_eq!(grown, tells, "case {number}");
    }
}
