//! The rules of a change, input by input: what a conductor decides, what a switch does about lanes and
//! unknown epochs.

use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::message::Words;
use super::*;
use crate::epoch::{Epoch, Order, OverlayKind, Proposal, Report, Step, Trial, WhyBack};
use crate::event::{Command, Delivery, Event, Input, Output, Overlay, Protocol, Refusal, WhyDown};
use crate::message::{Message as _, decode, encode};
use crate::payload::Payload;
use crate::store::MessageId;
use crate::time::Time;
use crate::{full_mesh, hyparview};

const ME: u32 = 1;

fn proposal(number: u64, proposer: u32, kind: OverlayKind) -> Proposal<u32> {
    let epoch = Epoch {
        number,
        proposer: Some(proposer),
        nonce: 0,
    };
    Proposal {
        epoch,
        kind,
        servers: Vec::new(),
        trial: None,
    }
}

/// A conductor, and what it told and ordered since it was last looked at.
struct Decider {
    conductor: Conductor<u32>,
    now: Time,
    timers: Vec<ConductorTimer>,
}

impl Decider {
    fn new() -> Self {
        let config = ConductorConfig::default();
        let kind = OverlayKind::HyParView;
        let conductor = Conductor::new(ME, kind, Vec::new(), config);
        let mut decider = Self {
            conductor,
            now: Time::ZERO,
            timers: Vec::new(),
        };
        for peer in [2, 3] {
            decider.give(Input::Below(Event::MemberUp(peer)));
        }
        decider
    }

    /// What was told, what was ordered of the switch, what was said to everybody.
    fn give(
        &mut self,
        input: Input<u32, crate::coordinator::Nothing, ConductorTimer>,
    ) -> (Vec<Step>, Vec<Order<u32>>, Vec<Words<u32>>) {
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut out = Vec::new();
        self.conductor
            .handle(self.now, input, &mut random, &mut out);
        let (mut steps, mut orders, mut words) = (Vec::new(), Vec::new(), Vec::new());
        for output in out {
            match output {
                Output::Event(Event::Switching { step, .. }) => steps.push(step),
                Output::Below(Command::Epoch(order)) => orders.push(order),
                Output::Below(Command::Broadcast(payload)) => {
                    let (kind, payload) = payload.unmark().expect("a mark");
                    assert_eq!(kind, 1);
                    words.push(decode(&payload.body).expect("words"));
                }
                Output::SetTimer { id, .. } => self.timers.push(id),
                _ => {}
            }
        }
        (steps, orders, words)
    }

    fn hear(&mut self, from: u32, words: &Words<u32>) -> (Vec<Step>, Vec<Order<u32>>) {
        let delivery = Delivery {
            sender: from,
            id: MessageId {
                sender: 7,
                number: 0,
            },
            topic: None,
            payload: Payload::from(encode(words)).marked(1),
            hops: 1,
        };
        let (steps, orders, said) = self.give(Input::Below(Event::Delivered(delivery)));
        assert_eq!(said, [], "what everybody heard is not said again");
        (steps, orders)
    }

    fn propose(&mut self, kind: OverlayKind) -> Proposal<u32> {
        let servers = Vec::new();
        let order = Input::Command(Command::SwitchOverlay {
            kind,
            servers,
            trial: None,
        });
        let (steps, _, said) = self.give(order);
        assert_eq!(steps, [Step::Announced]);
        let [Words::Announce(proposal)] = &said[..] else {
            panic!("{said:?}");
        };
        proposal.clone()
    }

    fn reached(&mut self, epoch: Epoch<u32>, peers: &[u32]) -> Vec<Step> {
        let peers = peers.to_vec();
        let report = Report::Reached { epoch, peers };
        self.give(Input::Below(Event::Epoch(report))).0
    }
}

#[test]
fn a_proposer_commits_when_every_live_member_was_reached_and_not_before() {
    let mut decider = Decider::new();
    let proposal = decider.propose(OverlayKind::FullMesh);
    let epoch = proposal.epoch;
    assert_eq!((epoch.number, epoch.proposer), (1, Some(ME)));
    assert_eq!(decider.reached(epoch, &[ME, 2]), []);
    assert_eq!(decider.reached(epoch, &[9]), [], "a stranger");
    decider.give(Input::Below(Event::MemberUp(4)));
    decider.now = decider.now + Duration::from_secs(10);
    assert_eq!(decider.reached(epoch, &[3]), [], "one has joined meanwhile");
    decider.give(Input::Below(Event::MemberUp(5)));
    let done = [Step::Verified, Step::Committed];
    assert_eq!(decider.reached(epoch, &[4]), done, "another one just now");
    assert_eq!(decider.conductor.current(), &proposal);
}

#[test]
fn a_member_that_dies_is_not_waited_for() {
    let mut decider = Decider::new();
    let epoch = decider.propose(OverlayKind::FullMesh).epoch;
    assert_eq!(decider.reached(epoch, &[ME, 2]), []);
    let (steps, _, said) = decider.give(Input::Below(Event::MemberDown(3)));
    assert_eq!(steps, [Step::Verified, Step::Committed]);
    assert!(matches!(&said[..], [Words::Commit(_)]), "{said:?}");
}

#[test]
fn what_is_no_change_or_comes_during_one_is_refused() {
    let mut decider = Decider::new();
    let mut refused = |kind| {
        let servers = Vec::new();
        let order = Input::Command(Command::SwitchOverlay {
            kind,
            servers,
            trial: None,
        });
        let mut out = Vec::new();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let conductor = &mut decider.conductor;
        conductor.handle(Time::ZERO, order, &mut random, &mut out);
        out.into_iter().find_map(|output| match output {
            Output::Event(Event::Refused { why, .. }) => Some(why),
            _ => None,
        })
    };
    assert_eq!(
        refused(OverlayKind::HyParView),
        Some(Refusal::AlreadyCurrent)
    );
    assert_eq!(refused(OverlayKind::FullMesh), None);
    assert_eq!(refused(OverlayKind::PubSub), Some(Refusal::SwitchUnderWay));
}

#[test]
fn the_deadline_rolls_back_for_everybody_and_the_epoch_is_not_built_again() {
    let mut decider = Decider::new();
    let given_up = decider.propose(OverlayKind::FullMesh);
    let deadline = *decider.timers.last().expect("a deadline");
    let (steps, orders, said) = decider.give(Input::Timer(deadline));
    assert_eq!(steps, [Step::RolledBack(WhyBack::Deadline)]);
    assert_eq!(orders, [Order::Abandon(given_up.epoch)]);
    assert_eq!(said, [Words::Abort(given_up.epoch, WhyBack::Deadline)]);
    let told = Report::Told {
        by: 2,
        current: decider.conductor.current().clone(),
        next: Some(given_up.clone()),
    };
    let (steps, orders, _) = decider.give(Input::Below(Event::Epoch(told)));
    assert_eq!((steps, orders), (Vec::new(), Vec::new()));
    assert_eq!(decider.propose(OverlayKind::FullMesh).epoch.number, 2);
    assert_eq!(decider.reached(given_up.epoch, &[ME, 2, 3]), [], "too late");
}

#[test]
fn of_two_proposals_the_greater_is_built_and_the_lesser_never_again() {
    let mut decider = Decider::new();
    let own = decider.propose(OverlayKind::FullMesh);
    let lesser = proposal(0, 3, OverlayKind::PubSub);
    let (steps, _) = decider.hear(3, &Words::Announce(lesser));
    assert_eq!(steps, []);
    let greater = proposal(1, 3, OverlayKind::PubSub);
    let (steps, orders) = decider.hear(3, &Words::Announce(greater.clone()));
    let overtaken = Step::RolledBack(WhyBack::Overtaken);
    assert_eq!(steps, [overtaken, Step::Announced]);
    assert_eq!(orders[0], Order::Abandon(own.epoch));
    assert_eq!(decider.reached(own.epoch, &[ME, 2, 3]), []);
    assert_eq!(decider.conductor.next(), Some(&greater));
}

#[test]
fn a_commit_counts_whenever_it_comes_and_the_greatest_stays() {
    let mut decider = Decider::new();
    let first = proposal(3, 2, OverlayKind::FullMesh);
    decider.hear(2, &Words::Announce(first.clone()));
    decider.hear(2, &Words::Abort(first.epoch, WhyBack::Deadline));
    // Aborted for this node; committed all the same, as it turns out.
    let (steps, orders) = decider.hear(3, &Words::Commit(first.clone()));
    assert_eq!(steps, [Step::Committed]);
    assert!(matches!(&orders[..], [Order::Commit { .. }]), "{orders:?}");
    let older = proposal(3, ME, OverlayKind::PubSub);
    assert_eq!(decider.hear(2, &Words::Commit(older)).0, []);
    assert_eq!(decider.conductor.current(), &first);
}

#[test]
fn a_commit_ends_the_building_of_every_other_overlay() {
    let mut decider = Decider::new();
    let own = decider.propose(OverlayKind::FullMesh);
    let other = proposal(1, 3, OverlayKind::PubSub);
    let (steps, orders) = decider.hear(3, &Words::Commit(other));
    let overtaken = Step::RolledBack(WhyBack::Overtaken);
    assert_eq!(steps, [overtaken, Step::Committed]);
    assert_eq!(orders[0], Order::Abandon(own.epoch));
}

#[test]
fn what_one_node_told_of_a_commit_is_told_to_all() {
    let mut decider = Decider::new();
    let current = proposal(9, 5, OverlayKind::FullMesh);
    let told = Report::Told {
        by: 8,
        current: current.clone(),
        next: None,
    };
    let (steps, orders, said) = decider.give(Input::Below(Event::Epoch(told)));
    assert_eq!(steps, [Step::Committed]);
    assert_eq!(said, [Words::Commit(current)]);
    let [Order::Commit { members, .. }] = &orders[..] else {
        panic!("{orders:?}");
    };
    assert_eq!(members, &[2, 3, 8], "a way in, though no member here");
}

#[test]
fn only_its_proposer_announces_or_aborts_a_change() {
    let mut decider = Decider::new();
    let other = proposal(1, 3, OverlayKind::PubSub);
    assert_eq!(decider.hear(2, &Words::Announce(other.clone())).0, []);
    decider.hear(3, &Words::Announce(other.clone()));
    assert_eq!(
        decider
            .hear(2, &Words::Abort(other.epoch, WhyBack::Deadline))
            .0,
        []
    );
    assert_eq!(decider.conductor.malformed(), 2);
    let (steps, _) = decider.hear(3, &Words::Abort(other.epoch, WhyBack::Deadline));
    assert_eq!(steps, [Step::RolledBack(WhyBack::Deadline)]);
}

#[test]
fn a_proposer_that_is_down_or_restarted_is_not_waited_for() {
    let mut decider = Decider::new();
    let other = proposal(1, 3, OverlayKind::PubSub);
    decider.hear(3, &Words::Announce(other));
    let (steps, orders, _) = decider.give(Input::Below(Event::MemberDown(3)));
    assert_eq!(steps, [Step::RolledBack(WhyBack::ProposerGone)]);
    assert_eq!(orders.len(), 2, "{orders:?}");
}

#[test]
fn servers_are_those_that_came_first() {
    let mut decider = Decider::new();
    decider.give(Input::Below(Event::MemberDown(2)));
    for peer in [9, 2, 8] {
        decider.give(Input::Below(Event::MemberUp(peer)));
    }
    let proposal = decider.propose(OverlayKind::ClientServer);
    assert_eq!(proposal.servers, [ME, 3, 9]);
}

/// A switch, and its lanes.
struct Node {
    switch: Switch<u32>,
    now: Time,
}

type SwitchInput = Input<u32, Message<u32>, Timer>;
type SwitchOutput = Output<u32, Message<u32>, Timer>;

impl Node {
    fn new(kind: OverlayKind) -> Self {
        let switch = Switch::new(ME, kind, Vec::new(), SwitchConfig::default());
        let mut node = Self {
            switch,
            now: Time::ZERO,
        };
        node.give(Input::Start);
        node
    }

    fn give(&mut self, input: SwitchInput) -> Vec<SwitchOutput> {
        let mut out = Vec::new();
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        self.switch.handle(self.now, input, &mut random, &mut out);
        assert_eq!(self.switch.check(), Ok(()));
        out
    }

    fn order(&mut self, order: Order<u32>) -> Vec<SwitchOutput> {
        self.give(Input::Command(Command::Epoch(order)))
    }

    fn prepare(&mut self, proposal: &Proposal<u32>, members: &[u32]) -> Vec<SwitchOutput> {
        self.order(Order::Prepare {
            proposal: proposal.clone(),
            members: members.to_vec(),
        })
    }

    fn commit(&mut self, proposal: &Proposal<u32>) -> Vec<SwitchOutput> {
        self.order(Order::Commit {
            proposal: proposal.clone(),
            members: vec![2, 3],
            is_late: false,
        })
    }

    /// `peer` asks to be a neighbor in the HyParView of this epoch.
    fn neighbor(&mut self, peer: u32, epoch: Epoch<u32>) -> Vec<SwitchOutput> {
        let part = hyparview::Part {
            root: peer,
            count: 1,
        };
        let message = hyparview::Message::Neighbor {
            high_priority: true,
            part,
        };
        let message = AnyMessage::HyParView(message);
        self.give(Input::Received {
            from: peer,
            message: Message::Overlay { epoch, message },
        })
    }
}

fn ups(out: &[SwitchOutput]) -> Vec<u32> {
    let ups = out.iter().filter_map(|output| match output {
        Output::Event(Event::NeighborUp(peer)) => Some(*peer),
        _ => None,
    });
    ups.collect()
}

fn downs(out: &[SwitchOutput]) -> Vec<u32> {
    let downs = out.iter().filter_map(|output| match output {
        Output::Event(Event::NeighborDown(peer)) => Some(*peer),
        _ => None,
    });
    downs.collect()
}

#[test]
fn two_overlays_look_like_one_and_share_lanes() {
    let mut node = Node::new(OverlayKind::HyParView);
    assert_eq!(ups(&node.neighbor(2, Epoch::FIRST)), [2]);
    assert_eq!(ups(&node.give(Input::PeerUp(2))), [], "known already");
    let next = proposal(1, 2, OverlayKind::FullMesh);
    // The lane is there, so the mesh takes it; nobody above hears of that.
    assert_eq!(ups(&node.prepare(&next, &[2, 3])), []);
    assert_eq!(ups(&node.give(Input::PeerUp(3))), [3]);
    assert_eq!(node.switch.neighbors(), [2, 3]);
    node.commit(&next);
    assert_eq!(
        (node.switch.overlays(), node.switch.current()),
        (2, Some(&next))
    );
    let out = node.give(Input::Timer(Timer::Retire { life: 0 }));
    assert_eq!(downs(&out), []);
    assert!(!out.contains(&Output::Disconnect(2)), "the mesh has it");
    assert_eq!(
        (node.switch.overlays(), node.switch.neighbors()),
        (1, vec![2, 3])
    );
}

#[test]
fn an_overlay_that_is_closed_gives_up_what_no_other_uses() {
    let mut node = Node::new(OverlayKind::HyParView);
    node.neighbor(2, Epoch::FIRST);
    node.give(Input::PeerUp(2));
    let next = proposal(1, 2, OverlayKind::FullMesh);
    node.prepare(&next, &[2, 3]);
    node.give(Input::PeerUp(3));
    let out = node.order(Order::Abandon(next.epoch));
    assert_eq!(downs(&out), [3]);
    assert!(out.contains(&Output::Disconnect(3)) && !out.contains(&Output::Disconnect(2)));
    assert_eq!(
        node.switch.current().map(|current| current.epoch),
        Some(Epoch::FIRST)
    );
    assert_eq!(node.switch.next(), None);
}

#[test]
fn a_lane_that_only_one_of_two_overlays_gives_up_stays_and_the_other_end_is_told() {
    let mut node = Node::new(OverlayKind::HyParView);
    node.neighbor(2, Epoch::FIRST);
    node.give(Input::PeerUp(2));
    let next = proposal(1, 2, OverlayKind::FullMesh);
    node.prepare(&next, &[2, 3]);
    let goodbye = hyparview::Message::Disconnect {
        leaving: false,
        instead: None,
    };
    let out = node.give(Input::Received {
        from: 2,
        message: Message::Overlay {
            epoch: Epoch::FIRST,
            message: AnyMessage::HyParView(goodbye),
        },
    });
    let apart = Output::Send {
        to: 2,
        message: Message::Apart(Epoch::FIRST),
    };
    assert!(out.contains(&apart), "{out:?}");
    assert!(!out.contains(&Output::Disconnect(2)));
    assert_eq!((downs(&out), node.switch.neighbors()), (vec![], vec![2]));
    // And the same at the other end.
    let out = node.give(Input::Received {
        from: 2,
        message: Message::Apart(next.epoch),
    });
    assert_eq!(downs(&out), [2]);
}

#[test]
fn who_speaks_in_an_unknown_epoch_is_told_the_state_and_not_without_end() {
    let mut node = Node::new(OverlayKind::FullMesh);
    let next = proposal(4, 2, OverlayKind::HyParView);
    node.prepare(&next, &[2]);
    let strange = Message::Overlay {
        epoch: proposal(9, 2, OverlayKind::FullMesh).epoch,
        message: AnyMessage::FullMesh(full_mesh::Message::Leave),
    };
    let mut told = 0;
    for _ in 0..1_000 {
        let out = node.give(Input::Received {
            from: 7,
            message: strange.clone(),
        });
        for output in out {
            let Output::Send {
                to: 7,
                message:
                    Message::State {
                        next: Some(being_built),
                        ..
                    },
            } = output
            else {
                panic!("{output:?}");
            };
            assert_eq!(being_built, next);
            told += 1;
        }
    }
    assert_eq!(told, 256);
}

#[test]
fn only_who_knows_less_is_answered_and_only_who_knows_more_is_reported() {
    let state = |current: Option<Proposal<u32>>, next| Message::State {
        current: current.unwrap_or(Proposal {
            epoch: Epoch::FIRST,
            kind: OverlayKind::HyParView,
            servers: Vec::new(),
            trial: None,
        }),
        next,
    };
    let one = || proposal(1, 2, OverlayKind::FullMesh);
    let two = || proposal(2, 2, OverlayKind::PubSub);
    let mut node = Node::new(OverlayKind::HyParView);
    node.commit(&one());
    let cases = [
        (state(None, None), true, false),
        (state(None, Some(one())), true, false),
        (state(Some(one()), None), false, false),
        (state(Some(one()), Some(two())), false, true),
        (state(None, Some(two())), true, true),
        (state(Some(two()), None), false, true),
    ];
    for (message, answered, reported) in cases {
        let out = node.give(Input::Received {
            from: 5,
            message: message.clone(),
        });
        let answers = out
            .iter()
            .any(|output| matches!(output, Output::Send { to: 5, .. }));
        let reports = out
            .iter()
            .any(|output| matches!(output, Output::Event(Event::Epoch(Report::Told { .. }))));
        assert_eq!((answers, reports), (answered, reported), "{message:?}");
    }
}

#[test]
fn a_probe_goes_on_once_and_its_answers_come_back_gathered() {
    let mut node = Node::new(OverlayKind::HyParView);
    let next = proposal(1, 2, OverlayKind::FullMesh);
    node.prepare(&next, &[2, 3]);
    let epoch = next.epoch;
    let probe = |round| Input::Received {
        from: 2,
        message: Message::Probe { epoch, round },
    };
    node.give(Input::PeerUp(2));
    let out = node.give(probe(1));
    assert_eq!(out, [], "one is missing, and nobody else is a neighbor");
    node.give(Input::PeerUp(3));
    let out = node.give(probe(2));
    let Output::SendAll { to, .. } = &out[0] else {
        panic!("{out:?}");
    };
    assert_eq!(to, &[3]);
    assert_eq!(node.give(probe(2)), [], "a second copy");
    let answer = Message::Reached {
        epoch,
        peers: vec![3, 4],
    };
    let input = Input::Received {
        from: 3,
        message: answer,
    };
    assert_eq!(node.give(input), [], "gathered");
    let Output::SetTimer { id, .. } = out[1].clone() else {
        panic!("{out:?}");
    };
    let passed_on = Output::Send {
        to: 2,
        message: Message::Reached {
            epoch,
            peers: vec![ME, 3, 4],
        },
    };
    assert_eq!(node.give(Input::Timer(id)), [passed_on]);
}

#[test]
fn an_overlay_that_is_over_is_kept_while_the_one_in_force_has_nobody() {
    let mut node = Node::new(OverlayKind::FullMesh);
    node.give(Input::PeerUp(2));
    let next = proposal(1, 2, OverlayKind::HyParView);
    node.commit(&next);
    let retire = Input::Timer(Timer::Retire { life: 0 });
    for _ in 0..12 {
        let out = node.give(retire.clone());
        assert!(matches!(out[..], [Output::SetTimer { .. }]), "{out:?}");
    }
    let out = node.give(retire);
    assert_eq!((downs(&out), node.switch.overlays()), (vec![2], 1));
}

#[test]
fn a_third_overlay_takes_the_place_of_the_one_that_carries_nothing() {
    for (first_connected, kept) in [
        (true, OverlayKind::FullMesh),
        (false, OverlayKind::HyParView),
    ] {
        let mut node = Node::new(OverlayKind::FullMesh);
        let second = proposal(1, 2, OverlayKind::HyParView);
        node.give(Input::PeerUp(2));
        node.commit(&second);
        if !first_connected {
            node.neighbor(3, second.epoch);
        }
        node.commit(&proposal(2, 2, OverlayKind::PubSub));
        let kinds = node.switch.overlays();
        assert_eq!(kinds, 2);
        let carries = if kept == OverlayKind::FullMesh { 2 } else { 3 };
        assert!(node.switch.neighbors().contains(&carries));
    }
}

#[test]
fn a_lane_that_ends_is_told_to_both_and_a_leave_is_done_once() {
    let mut node = Node::new(OverlayKind::HyParView);
    node.neighbor(2, Epoch::FIRST);
    node.give(Input::PeerUp(2));
    node.prepare(&proposal(1, 2, OverlayKind::FullMesh), &[2, 3]);
    node.give(Input::PeerUp(3));
    let out = node.give(Input::PeerDown {
        peer: 2,
        why: WhyDown::Lost,
    });
    assert_eq!(downs(&out), [2]);
    let out = node.give(Input::Command(Command::Leave));
    let left = out
        .iter()
        .filter(|output| **output == Output::Event(Event::Left));
    assert_eq!((left.count(), downs(&out)), (1, vec![3]));
    assert_eq!(out.last(), Some(&Output::Event(Event::Left)));
    assert_eq!(node.give(Input::PeerUp(4)), []);
}

#[test]
fn the_longest_messages_fit_their_bounds() {
    let epoch = Epoch {
        number: u64::MAX,
        proposer: Some(u32::MAX),
        nonce: u16::MAX,
    };
    let longest = Proposal {
        epoch,
        kind: OverlayKind::PubSub,
        servers: vec![u32::MAX; 64],
        trial: Some(Trial {
            part: vec![u32::MAX; 128],
            span_ms: u32::MAX,
        }),
    };
    let state = Message::State {
        current: longest.clone(),
        next: Some(longest.clone()),
    };
    let reached = Message::Reached {
        epoch,
        peers: vec![u32::MAX; 256],
    };
    for message in [state, reached] {
        let bytes = encode(&message);
        assert!(bytes.len() <= Message::<u32>::BYTES_MAX);
        assert_eq!(decode(&bytes), Ok(message));
    }
    let words = encode(&Words::Announce(longest.clone()));
    assert!(words.len() <= Words::<u32>::BYTES_MAX);
    let mut longer = longest;
    longer.servers.push(1);
    let message = Message::State {
        current: longer,
        next: None,
    };
    assert!(decode::<Message<u32>>(&encode(&message)).is_err());
    let long = Message::Reached {
        epoch,
        peers: vec![1_u32; 257],
    };
    assert!(decode::<Message<u32>>(&encode(&long)).is_err());
}

#[test]
fn new_ways_in_are_tried_until_nothing_is_missing() {
    let mut node = Node::new(OverlayKind::HyParView);
    let next = proposal(1, 2, OverlayKind::FullMesh);
    let out = node.prepare(&next, &[0, 2, 3]);
    let tries = |out: &[SwitchOutput]| {
        let connects = out.iter().filter_map(|output| match output {
            Output::Connect(peer) => Some(*peer),
            _ => None,
        });
        connects.collect::<Vec<u32>>()
    };
    let try_id = Timer::Try;
    let is_try = |output: &SwitchOutput| matches!(output, Output::SetTimer { id, after } if *id == try_id && *after <= Duration::from_secs(1));
    assert!(out.iter().any(is_try));
    let out = node.give(Input::Timer(Timer::Try));
    assert_eq!(tries(&out), [2, 3], "of two, the lesser dials first");
    let out = node.give(Input::Timer(Timer::Try));
    assert_eq!(tries(&out), [0]);
    for peer in [0, 2, 3] {
        node.give(Input::PeerUp(peer));
    }
    let out = node.give(Input::Timer(Timer::Try));
    assert_eq!(
        out,
        [Output::Event(Event::Epoch(Report::Ready(next.epoch)))]
    );
}
