//! What is refused, what is bounded, and who is told what.

use super::*;
use crate::event::Refusal;

fn sent(node: &mut Node, view: Vec<(u32, u64)>, bytes: usize) -> Vec<Event<u32>> {
    let payload = vec![0; bytes].into();
    let command = Command::AtomicBroadcast { view, payload };
    events(node, Input::Command(command))
}

fn events(node: &mut Node, input: Input<u32, Message<u32>, Look>) -> Vec<Event<u32>> {
    let mut out = Vec::new();
    let mut random = SmallRng::seed_from_u64(1);
    node.handle(Time::ZERO, input, &mut random, &mut out);
    node.check().unwrap();
    let events = out.into_iter().filter_map(|output| match output {
        Output::Event(event) => Some(event),
        _ => None,
    });
    events.collect()
}

fn answer(node: &mut Node, from: u32, message: Message<u32>) -> Option<Says<u32>> {
    let mut out = Vec::new();
    let mut random = SmallRng::seed_from_u64(1);
    let input = Input::Received { from, message };
    node.handle(Time::ZERO, input, &mut random, &mut out);
    node.check().unwrap();
    out.into_iter().find_map(|output| match output {
        Output::Send { message, .. } => Some(message.says),
        _ => None,
    })
}

fn prepare(number: u64, view: Vec<(u32, u64)>, bytes: usize) -> Message<u32> {
    Message {
        id: MessageId { sender: 9, number },
        says: Says::Prepare {
            view: View::new(view).unwrap(),
            payload: vec![0; bytes].into(),
        },
    }
}

#[test]
fn a_view_has_its_sender_as_it_runs_now_and_nobody_twice() {
    let mut node = Node::new(1, 5, Config::default());
    let large: Vec<(u32, u64)> = (0..=256).map(|peer| (peer, 5)).collect();
    let wrong = [
        vec![],
        vec![(2, 1)],
        vec![(1, 4), (2, 1)],
        vec![(1, 5), (2, 1), (2, 2)],
        large,
    ];
    for view in wrong {
        let told = sent(&mut node, view, 1);
        assert!(
            matches!(
                told[..],
                [Event::Refused {
                    why: Refusal::View { most: VIEW_MAX },
                    ..
                }]
            ),
            "{told:?}"
        );
    }
    let told = sent(&mut node, vec![(1, 5)], 1);
    let alone = AtomicOutcome::Committed;
    assert!(matches!(&told[..], [Event::Atomic { outcome, .. }] if *outcome == alone));
    let told = sent(&mut node, vec![(1, 5)], crate::event::PAYLOAD_BYTES_MAX + 1);
    assert!(matches!(
        told[..],
        [Event::Refused {
            why: Refusal::TooLarge { .. },
            ..
        }]
    ));
}

#[test]
fn rounds_are_bounded_at_the_sender_and_for_each_at_a_member() {
    let mut node = Node::new(1, 5, Config::default());
    let view = vec![(1, 5), (2, 1), (3, 1)];
    for _ in 0..16 {
        assert_eq!(sent(&mut node, view.clone(), 1), []);
    }
    let told = sent(&mut node, view.clone(), 1);
    assert!(matches!(
        told[..],
        [Event::Refused {
            why: Refusal::Busy,
            ..
        }]
    ));
    for number in 0..20 {
        let says = answer(&mut node, 2, prepare(number, view.clone(), 100_000));
        let prepared = number < 16;
        assert_eq!(says, Some(Says::Vote { prepared }), "{number}");
    }
    let mut message = prepare(30, view, 1);
    message.id.sender = 8;
    let says = answer(&mut node, 3, message);
    assert_eq!(says, Some(Says::Vote { prepared: true }), "of another one");
}

#[test]
fn payloads_kept_are_bounded() {
    let config = Config {
        payload_bytes_max: 1_000,
        ..Config::default()
    };
    let mut node = Node::new(1, 5, config);
    let view = vec![(1, 5), (2, 1), (3, 1)];
    let vote = |prepared| Some(Says::Vote { prepared });
    assert_eq!(
        answer(&mut node, 2, prepare(0, view.clone(), 600)),
        vote(true)
    );
    assert_eq!(
        answer(&mut node, 3, prepare(1, view.clone(), 600)),
        vote(false)
    );
    assert_eq!(answer(&mut node, 3, prepare(2, view, 400)), vote(true));
}

#[test]
fn a_message_for_an_earlier_life_meets_a_stranger() {
    let mut node = Node::new(1, 5, Config::default());
    let view = vec![(1, 4), (2, 1)];
    let stranger = Some(Says::Stranger { incarnation: 5 });
    assert_eq!(answer(&mut node, 2, prepare(0, view.clone(), 1)), stranger);
    let ask = Message {
        id: MessageId {
            sender: 9,
            number: 0,
        },
        says: Says::Ask {
            ballot: 1,
            view: View::new(view).unwrap(),
        },
    };
    assert_eq!(answer(&mut node, 2, ask), stranger);
    let elsewhere = vec![(2, 1), (3, 1)];
    assert_eq!(answer(&mut node, 2, prepare(1, elsewhere, 1)), None);
    assert_eq!(node.under_way(), 0);
}

#[test]
fn who_is_down_aborts_at_once_and_the_sender_is_told_who_was_missing() {
    let mut net = Net::new(4);
    net.crash(3);
    let id = net.broadcast(0, &mut nothing());
    net.run_for(Duration::from_millis(50), &mut nothing());
    let told = events(
        net.nodes.get_mut(&0).unwrap(),
        Input::Below(Event::MemberDown(3)),
    );
    let outcome = AtomicOutcome::Aborted { missing: vec![3] };
    let sender = 0;
    assert_eq!(
        told,
        [
            Event::MemberDown(3),
            Event::Atomic {
                sender,
                id,
                outcome
            }
        ]
    );
}

#[test]
fn an_abort_is_told_to_who_was_prepared_and_to_nobody_else() {
    let mut net = Net::new(4);
    // The first message goes to node 0, which never hears of it.
    let mut mischief: Mischief<'_> = Box::new(|net, _, to| {
        let is_early = net.now < 10_000_000;
        if to == 0 && is_early {
            Fate::IsLost
        } else {
            Fate::Arrives
        }
    });
    let id = net.broadcast(2, &mut mischief);
    net.run_for(LONG, &mut mischief);
    for node in 1..4 {
        assert_eq!(net.told[&(node, 1)].aborted, [id], "node {node}");
    }
    assert_eq!(net.told.get(&(0, 1)), None);
}

#[test]
fn an_end_that_a_majority_has_forgotten_is_unknown_and_never_guessed() {
    let mut net = Net::new(3);
    // Node 0 votes, and hears nothing more until the others have forgotten.
    let mut mischief: Mischief<'_> = Box::new(|net, number, to| {
        let is_cut = (15_000..3_000_000_000).contains(&net.now);
        if to == 0 && is_cut && number > 1 {
            Fate::IsLost
        } else {
            Fate::Arrives
        }
    });
    let id = net.broadcast(1, &mut mischief);
    for node in [1, 2] {
        net.nodes.get_mut(&node).unwrap().config.ends_max = 1;
    }
    net.run_for(Duration::from_secs(30), &mut mischief);
    let (view, payload) = (vec![(1, 1), (2, 1)], vec![1, 2, 3].into());
    let command = Command::AtomicBroadcast { view, payload };
    net.input(1, Input::Command(command), &mut mischief);
    net.run_for(LONG * 5, &mut mischief);
    assert_eq!(net.told[&(0, 1)].unknown, [id]);
    assert_eq!(net.told[&(0, 1)].done, []);
    assert_eq!(net.told[&(2, 1)].done.len(), 2);
    assert_eq!(net.nodes[&0].under_way(), 0);
}

#[test]
fn a_late_first_message_of_a_forgotten_round_begins_nothing() {
    let config = Config {
        ends_max: 1,
        ..Config::default()
    };
    let mut node = Node::new(1, 5, config);
    let view = vec![(1, 5), (2, 1)];
    for number in 0..3 {
        answer(&mut node, 2, prepare(number, view.clone(), 1));
        let id = MessageId { sender: 9, number };
        let says = Says::Decide {
            ballot: 0,
            commit: true,
        };
        let says = answer(&mut node, 2, Message { id, says });
        assert_eq!(says, Some(Says::Done));
    }
    let says = answer(&mut node, 2, prepare(0, view.clone(), 1));
    assert_eq!(says, Some(Says::Vote { prepared: false }), "forgotten");
    let says = answer(&mut node, 2, prepare(2, view, 1));
    let ended = Says::Decide {
        ballot: 0,
        commit: true,
    };
    assert_eq!(says, Some(ended), "remembered");
    assert_eq!(node.under_way(), 0);
}
