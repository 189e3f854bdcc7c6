//! What the broadcasts of one node do, input by input. Whole clusters, also while they switch, are tested in
//! `sim/switching`.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::epoch::{Epoch, Proposal};
use crate::store::MessageId;

struct Bench {
    layer: Broadcasts<u32>,
    random: SmallRng,
}

type Outputs = Vec<Output<u32, Message<u32>, Timer>>;

impl Bench {
    fn new(kind: OverlayKind) -> Self {
        Self {
            layer: Broadcasts::new(5, kind, Config::default()),
            random: SmallRng::seed_from_u64(1),
        }
    }

    fn input(&mut self, input: Input<u32, Message<u32>, Timer>) -> Outputs {
        let mut out = Vec::new();
        let now = Time::from_micros(1);
        self.layer.handle(now, input, &mut self.random, &mut out);
        self.layer.check().unwrap();
        out
    }

    /// The overlays connect the node to a peer, and the peer is told as a neighbor once.
    fn link(&mut self, peer: u32, mesh: bool, sparse: bool) {
        let links = Links { mesh, sparse };
        let linked = Event::Epoch(Report::Linked { peer, links });
        let out = self.input(Input::Below(linked));
        let is_told = |output: &Output<_, _, _>| matches!(output, Output::Event(_));
        assert!(!out.iter().any(is_told), "the report ends here: {out:?}");
        let up = Event::NeighborUp(peer);
        let out = self.input(Input::Below(up.clone()));
        assert_eq!(out, [Output::Event(up)]);
    }

    fn commit(&mut self, kind: OverlayKind) {
        let sent = self.commit_as(kind, false);
        assert_eq!(sent, [], "it goes on below, and that is all");
    }

    /// Another overlay is in force; what is sent besides.
    fn commit_as(&mut self, kind: OverlayKind, is_late: bool) -> Outputs {
        let proposal = Proposal {
            epoch: Epoch::FIRST,
            kind,
            servers: Vec::new(),
            trial: None,
        };
        let members = Vec::new();
        let commit = Command::Epoch(Order::Commit {
            proposal,
            members,
            is_late,
        });
        let mut out = self.input(Input::Command(commit.clone()));
        assert_eq!(out.remove(0), Output::Below(commit));
        out
    }

    /// The messages that a broadcast of this node is sent or announced in, with their receivers.
    fn broadcast(&mut self, payload: Payload) -> Vec<(Vec<u32>, Message<u32>)> {
        let sent = self.input(Input::Command(Command::Broadcast(payload)));
        let sent = sent.into_iter().filter_map(|output| match output {
            Output::Send { to, message } => Some((vec![to], message)),
            Output::SendAll { to, message } => Some((to, message)),
            _ => None,
        });
        sent.collect()
    }
}

fn payload() -> Payload {
    vec![7].into()
}

#[test]
fn the_overlay_in_force_chooses_and_each_broadcast_has_the_links_of_its_own() {
    let mut bench = Bench::new(OverlayKind::FullMesh);
    for peer in 1..=4 {
        bench.link(peer, true, false);
    }
    let sent = bench.broadcast(payload());
    assert!(matches!(&sent[..], [(to, Message::Direct(_))] if to[..] == [1, 2, 3, 4]));

    // The other overlay is built: two of its links are those of the mesh, one is not.
    bench.link(1, true, true);
    bench.link(2, true, true);
    bench.link(9, false, true);
    let sent = bench.broadcast(payload());
    assert!(matches!(&sent[..], [(to, Message::Direct(_))] if to[..] == [1, 2, 3, 4]));

    bench.commit(OverlayKind::HyParView);
    let sent = bench.broadcast(payload());
    let mut to: Vec<u32> = sent.iter().flat_map(|(to, _)| to).copied().collect();
    to.sort_unstable();
    assert_eq!(to, [1, 2, 9], "nobody of the mesh alone: {sent:?}");
    assert!(
        sent.iter()
            .all(|(_, sent)| matches!(sent, Message::Tree(_)))
    );

    bench.commit(OverlayKind::FullMesh);
    let sent = bench.broadcast(payload());
    assert!(matches!(&sent[..], [(to, Message::Direct(_))] if to[..] == [1, 2, 3, 4]));
}

#[test]
fn a_payload_that_asks_for_it_goes_epidemically_over_any_overlay() {
    for kind in OverlayKind::ALL {
        let mut bench = Bench::new(kind);
        let is_mesh = kind == OverlayKind::FullMesh;
        bench.link(1, is_mesh, !is_mesh);
        let sent = bench.broadcast(payload().epidemically());
        let [(to, Message::Epidemic(message))] = &sent[..] else {
            panic!("{kind}: {sent:?}");
        };
        assert_eq!(to[..], [1]);
        assert_eq!(message.payload, payload(), "what it asked for stays here");
    }
}

#[test]
fn what_another_began_is_taken_whatever_is_in_force_here() {
    let mut tree = Bench::new(OverlayKind::HyParView);
    tree.link(1, false, true);
    let mut mesh = Bench::new(OverlayKind::FullMesh);
    mesh.link(1, true, false);
    let mut epidemic = Bench::new(OverlayKind::PubSub);
    epidemic.link(1, false, true);
    // A new link of a tree is announced to first, so the payload is asked for.
    let announced = tree.broadcast(payload());
    let [(_, Message::Tree(plumtree::Message::Ihave(news)))] = &announced[..] else {
        panic!("{announced:?}");
    };
    let ids = vec![news[0].id];
    let graft = Message::Tree(plumtree::Message::Graft { ids });
    let answer = tree.input(Input::Received {
        from: 1,
        message: graft,
    });
    let answer = answer.into_iter().find_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    });
    let messages = [
        answer.expect("it has it"),
        mesh.broadcast(payload()).remove(0).1,
        epidemic.broadcast(payload().epidemically()).remove(0).1,
    ];
    for kind in OverlayKind::ALL {
        let mut node = Bench::new(kind);
        for message in messages.clone() {
            let delivered = |out: Outputs| {
                let told = out.into_iter();
                told.filter(|output| matches!(output, Output::Event(Event::Delivered(_))))
                    .count()
            };
            let received = Input::Received { from: 5, message };
            assert_eq!(delivered(node.input(received.clone())), 1, "{kind}");
            assert_eq!(delivered(node.input(received)), 0, "{kind}: once");
        }
    }
}

#[test]
fn a_link_that_is_gone_is_gone_for_its_broadcast_alone() {
    let mut bench = Bench::new(OverlayKind::FullMesh);
    bench.link(1, true, true);
    bench.link(2, true, true);
    let links = Links {
        mesh: false,
        sparse: true,
    };
    bench.input(Input::Below(Event::Epoch(Report::Linked {
        peer: 1,
        links,
    })));
    let sent = bench.broadcast(payload());
    assert!(matches!(&sent[..], [(to, Message::Direct(_))] if to[..] == [2]));
    bench.commit(OverlayKind::HyParView);
    let sent = bench.broadcast(payload());
    assert_eq!(sent.iter().map(|(to, _)| to.len()).sum::<usize>(), 2);
}

#[test]
fn what_has_to_come_while_the_overlay_is_switched_goes_over_both() {
    for kind in OverlayKind::ALL {
        let mut bench = Bench::new(kind);
        bench.link(1, true, false);
        bench.link(2, false, true);
        let sent = bench.broadcast(payload().spread_as(Spread::EveryWay));
        let [
            (mesh, Message::Direct(_)),
            (sparse, Message::Tree(plumtree::Message::Ihave(_))),
        ] = &sent[..]
        else {
            panic!("{kind}: {sent:?}");
        };
        assert_eq!((&mesh[..], &sparse[..]), (&[1][..], &[2][..]));
    }
}

fn delivered(out: Outputs) -> Vec<(MessageId, Payload)> {
    let told = out.into_iter().filter_map(|output| match output {
        Output::Event(Event::Delivered(delivery)) => Some((delivery.id, delivery.payload)),
        _ => None,
    });
    told.collect()
}

#[test]
fn what_a_node_began_while_it_was_behind_begins_again_and_comes_once() {
    let mut behind = Bench::new(OverlayKind::FullMesh);
    behind.link(1, true, false);
    let sent = behind.broadcast(payload().marked(0)).remove(0).1;
    let Message::Direct(direct::Message::Gossip(gossip)) = &sent else {
        panic!("{sent:?}");
    };
    let first = gossip.id;
    behind.link(9, false, true);
    let out = behind.commit_as(OverlayKind::HyParView, true);
    let ids = out.into_iter().find_map(|output| match output {
        Output::SendAll {
            message: Message::Tree(plumtree::Message::Ihave(news)),
            ..
        } => Some(news.iter().map(|news| news.id).collect::<Vec<_>>()),
        _ => None,
    });
    let ids = ids.expect("it is announced to the neighbor of the tree");
    assert_eq!(ids.len(), 1);
    let message = Message::Tree(plumtree::Message::Graft { ids });
    let answer = behind.input(Input::Received { from: 9, message });
    let answer = answer.into_iter().find_map(|output| match output {
        Output::Send { message, .. } => Some(message),
        _ => None,
    });
    let again = answer.expect("it has it");
    let from = 5;
    for (one, other) in [(sent.clone(), again.clone()), (again.clone(), sent)] {
        let mut node = Bench {
            layer: Broadcasts::new(9, OverlayKind::HyParView, Config::default()),
            random: SmallRng::seed_from_u64(2),
        };
        let message = one;
        let got = delivered(node.input(Input::Received { from, message }));
        assert_eq!(got, [(first, payload().marked(0))]);
        let message = other;
        let got = delivered(node.input(Input::Received { from, message }));
        assert_eq!(got, [], "once");
        let message = again.clone();
        let got = delivered(node.input(Input::Received { from, message }));
        assert_eq!(got, [], "once");
    }
}

#[test]
fn nothing_begins_again_with_the_same_broadcast_or_where_the_change_was_prepared() {
    for (from, to, is_late) in [
        (OverlayKind::FullMesh, OverlayKind::HyParView, false),
        (OverlayKind::HyParView, OverlayKind::FullMesh, false),
        (OverlayKind::HyParView, OverlayKind::ClientServer, true),
        (OverlayKind::FullMesh, OverlayKind::FullMesh, true),
    ] {
        let mut bench = Bench::new(from);
        bench.link(1, true, true);
        bench.broadcast(payload());
        let out = bench.commit_as(to, is_late);
        let sent = out
            .iter()
            .any(|output| matches!(output, Output::Send { .. } | Output::SendAll { .. }));
        assert!(!sent, "{from} to {to}: {out:?}");
    }
}
