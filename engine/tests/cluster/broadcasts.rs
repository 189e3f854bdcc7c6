//! The kinds of broadcast over real sockets, and what is counted of them.

use std::time::{Duration, Instant};

use overlane::config::OverlayChoice;
use overlane::{AtomicError, BroadcastCounts, BroadcastKind, KindCounts};

use crate::nodes::{CHANNEL, MAILBOX, Member, agree, all_are_neighbors, cluster, states};
use crate::support::{GENEROUS, wait_until};

const NODES: usize = 5;

fn counts(member: &Member) -> BroadcastCounts {
    member.cluster().broadcast_counts()
}

fn of_kind(counts: &BroadcastCounts, kind: &str) -> KindCounts {
    let found = counts.kinds.iter().find(|counts| counts.kind == kind);
    *found.expect("each kind is counted")
}

/// Begins a broadcast; an atomic one is waited for.
fn begin(member: &Member, kind: BroadcastKind, payload: &str) {
    let cluster = member.cluster();
    if kind == BroadcastKind::Atomic {
        let all = cluster.broadcast_atomic(CHANNEL, MAILBOX, payload, GENEROUS);
        all.expect("all are there");
    } else {
        let begun = cluster.broadcast_as(kind, CHANNEL, MAILBOX, payload);
        begun.expect("there is room");
    }
}

/// Broadcasts causally until each of them delivers what the others do, and says how often each has begun and delivered one. Who
/// joins begins where a neighbor is, which it has to hear first: what the neighbor had delivered by then does not come.
fn all_follow_causes(members: &mut [Member]) -> Vec<(u64, u64)> {
    let kind = BroadcastKind::Causal;
    let mut came = vec![0; members.len()];
    let mut begun = 0;
    let deadline = Instant::now() + GENEROUS;
    while came.contains(&0) {
        assert!(Instant::now() < deadline, "{came:?} {}", states(members));
        for member in members.iter() {
            begin(member, kind, "early");
        }
        begun += 1;
        for (member, came) in members.iter_mut().zip(&mut came) {
            let early = member.inbox.recv_timeout(Duration::from_millis(200));
            *came += u64::from(early.is_ok());
        }
    }
    for member in members.iter() {
        begin(member, kind, "last");
    }
    for (member, came) in members.iter_mut().zip(&mut came) {
        let mut last = 0;
        while last < NODES - 1 {
            let message = member.inbox.recv_timeout(GENEROUS).expect("it follows");
            *came += 1;
            last += usize::from(message.payload() == b"last");
        }
    }
    came.into_iter().map(|came| (begun + 1, came)).collect()
}

#[test]
fn each_kind_comes_to_every_member_once_and_is_counted_as_what_it_is() {
    for overlay in [OverlayChoice::FullMesh, OverlayChoice::HyParView] {
        let mut members = cluster(NODES, overlay);
        // An epidemic goes to four neighbors.
        all_are_neighbors(&members);
        let early = all_follow_causes(&mut members);
        for kind in BroadcastKind::ALL {
            for member in &members {
                begin(member, kind, kind.name());
            }
            for number in 0..NODES {
                for _ in 1..NODES {
                    let Ok(came) = members[number].inbox.recv_timeout(GENEROUS) else {
                        let states = states(&members);
                        panic!("{kind} did not come to {number}, {overlay:?}: {states}");
                    };
                    assert_eq!(came.payload(), kind.name().as_bytes());
                }
            }
        }
        let others = NODES as u64 - 1;
        let all = BroadcastKind::ALL.len() as u64;
        for (member, (begun, came)) in members.iter_mut().zip(early) {
            // What has come is counted a moment later.
            let counts = wait_until(
                "all are counted",
                || counts(member),
                |counts| counts.delivered == came + all * others,
            );
            assert!(member.inbox.try_recv().is_none(), "one came twice");
            for kind in BroadcastKind::ALL {
                let is_causal = kind == BroadcastKind::Causal;
                let (begun, came) = if is_causal { (begun, came) } else { (0, 0) };
                let expected = KindCounts {
                    kind: kind.name(),
                    started: begun + 1,
                    delivered: came + others,
                    missed: 0,
                    refused: 0,
                };
                assert_eq!(of_kind(&counts, kind.name()), expected, "{overlay:?}");
            }
            let topic = KindCounts {
                kind: "topic",
                ..KindCounts::default()
            };
            assert_eq!(of_kind(&counts, "topic"), topic);
            assert_eq!(counts.started, begun + all);
            assert_eq!((counts.missed, counts.given_up), (0, 0));
            let metrics = member.node.metrics();
            assert!(metrics.identity_holds(), "{metrics:#?}");
        }
    }
}

#[test]
fn what_names_no_channel_or_no_mailbox_or_is_too_large_is_refused() {
    let members = cluster(2, OverlayChoice::FullMesh);
    for kind in BroadcastKind::ALL {
        let cluster = members[0].cluster();
        assert!(cluster.broadcast_as(kind, "none", MAILBOX, "x").is_err());
        assert!(cluster.broadcast_as(kind, CHANNEL, "", "x").is_err());
        let large = vec![0; 300 << 10];
        assert!(
            cluster
                .broadcast_as(kind, CHANNEL, MAILBOX, &large)
                .is_err()
        );
    }
    assert_eq!(counts(&members[0]).started, 0);
}

#[test]
fn an_atomic_broadcast_ends_as_none_where_a_member_is_gone_and_not_yet_known_to_be() {
    let mut members = cluster(3, OverlayChoice::FullMesh);
    let gone = members.pop().expect("three");
    drop(gone);
    let cluster = members[0].cluster().clone();
    match cluster.broadcast_atomic(CHANNEL, MAILBOX, "all or none", GENEROUS) {
        // It was in the view, and said nothing.
        Err(AtomicError::Aborted { .. }) => assert!(members[1].inbox.try_recv().is_none()),
        // It was told down before: not in the view.
        Ok(()) => {
            let came = members[1].inbox.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(came.payload(), b"all or none");
        }
        Err(other) => panic!("{other}"),
    }
    // Once it is down it is in no view.
    agree(&members);
    let all = cluster.broadcast_atomic(CHANNEL, MAILBOX, "the others", GENEROUS);
    all.expect("all that live are there");
    let came = members[1].inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(came.payload(), b"the others");
}
