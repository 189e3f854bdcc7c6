//! Parts of an overlay that have lost each other.

use super::*;
use crate::hyparview::part::Heard;

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
fn who_is_not_sure_of_its_part_yet_does_not_name_it() {
    let mut subject = rooted();
    for named in [None, Some(Part { root: ME, count: 0 })] {
        subject.receive(60, Message::Hail);
        let answer = subject.sent_to(60);
        let [Message::Here { part, .. }] = &answer[..] else {
            panic!("one answer: {answer:?}");
        };
        assert_eq!(*part, named);
        subject.now = subject.now + Config::default().period;
    }
}

#[test]
fn a_lesser_root_is_a_merger_only_where_another_one_was_settled() {
    let mut belonging = Belonging::new(100_u32);
    let second = Duration::from_secs(1);
    let hear = |belonging: &mut Belonging<u32>, at: u32, root, count| {
        let now = Time::ZERO + second * at;
        belonging.hear(now, Part { root, count }, 5 * second)
    };
    let lesser = |merged| Heard::LesserRoot { merged };
    assert_eq!(hear(&mut belonging, 60, 50, 1), lesser(false), "was alone");
    assert_eq!(hear(&mut belonging, 61, 40, 1), lesser(false), "unsettled");
    assert_eq!(hear(&mut belonging, 70, 30, 1), lesser(true));
    // It falls silent, and after another root has taken its place it is back.
    belonging.period_over(Time::ZERO + second * 110, 10 * second);
    assert_eq!(belonging.part().root, 100);
    assert_eq!(hear(&mut belonging, 111, 40, 1), lesser(false));
    assert_eq!(
        hear(&mut belonging, 130, 30, 2),
        lesser(false),
        "no new one"
    );
}
