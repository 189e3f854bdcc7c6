//! Joining and leaving, on every overlay.

use std::net::SocketAddr;
use std::time::Duration;

use overlane::config::{ControlPlacement, OverlayChoice};
use overlane::{JoinError, MemberStatus};

use crate::nodes::{CHANNEL, MAILBOX, Member, agree, broadcasts_reach_all, cluster, name};
use crate::support::{GENEROUS, config, wait_until};

const OVERLAYS: [OverlayChoice; 4] = [
    OverlayChoice::FullMesh,
    OverlayChoice::HyParView,
    OverlayChoice::ClientServer,
    OverlayChoice::PubSub,
];

#[test]
fn a_cluster_forms_on_every_overlay_and_broadcasts_reach_all() {
    for overlay in OVERLAYS {
        let mut members = cluster(7, overlay);
        broadcasts_reach_all(&mut members, 0);
        let last = members.pop().expect("seven");
        let gone = last.node.name().to_owned();
        drop(last.node.stop(Duration::from_secs(5)));
        agree(&members);
        for member in &members {
            assert_eq!(member.status(&gone), Some(MemberStatus::Left));
        }
        broadcasts_reach_all(&mut members, 1);
    }
}

#[test]
fn a_cluster_forms_where_shard_0_is_the_control_shard_too() {
    let start = |number: usize, seeds: &[SocketAddr]| {
        let config = config(&name(number)).control(ControlPlacement::Shared);
        Member::start_with(config, OverlayChoice::HyParView, seeds)
    };
    let mut members = vec![start(0, &[])];
    let seed = members[0].node.local_addr();
    members.extend((1..4).map(|number| start(number, &[seed])));
    agree(&members);
    broadcasts_reach_all(&mut members, 0);
    // It is found out by probes, which only timers send.
    drop(members.pop());
    agree(&members);
}

#[test]
fn a_node_that_is_dropped_is_found_out_and_comes_back_as_another_incarnation() {
    let mut members = cluster(5, OverlayChoice::HyParView);
    let gone = members.pop().expect("five");
    let before = gone.node.incarnation();
    drop(gone);
    agree(&members);
    let seed = members[0].node.local_addr();
    members.push(Member::start(&name(4), OverlayChoice::HyParView, &[seed]));
    agree(&members);
    wait_until(
        "its new incarnation is known",
        || {
            let known = members[1].cluster().members();
            let back = known.into_iter().find(|member| member.name == name(4));
            back.map_or(0, |member| member.incarnation)
        },
        |incarnation| *incarnation > before,
    );
    broadcasts_reach_all(&mut members, 0);
}

#[test]
fn a_name_that_a_live_member_has_is_refused_and_the_member_stays() {
    let members = cluster(3, OverlayChoice::FullMesh);
    let seed = members[0].node.local_addr();
    let taken = members[1].node.incarnation();
    let second = Member::start(&name(1), OverlayChoice::FullMesh, &[seed]);
    let error = second
        .cluster()
        .wait_joined(Duration::from_secs(3))
        .expect_err("the name is taken");
    assert!(error.to_string().contains("names are unique"), "{error}");
    drop(second);
    agree(&members);
    let known = members[0].cluster().members();
    let kept = known.iter().find(|member| member.name == name(1));
    assert_eq!(kept.map(|member| member.incarnation), Some(taken));
}

#[test]
fn a_node_that_comes_back_at_another_address_is_found_there() {
    let mut members = cluster(4, OverlayChoice::HyParView);
    let before = members[3].node.local_addr();
    drop(members.pop());
    let seed = members[0].node.local_addr();
    members.push(Member::start(&name(3), OverlayChoice::HyParView, &[seed]));
    agree(&members);
    let now = members[3].node.local_addr();
    assert_ne!(before, now);
    for member in &members {
        wait_until(
            "its new address is known",
            || {
                let known = member.cluster().members();
                let moved = known.into_iter().find(|member| member.name == name(3));
                moved.map(|member| member.addresses)
            },
            |addresses| *addresses == Some(vec![now]),
        );
    }
    // A message to it reaches it, neighbor or not.
    let to = members[1]
        .node
        .destination(&name(3), MAILBOX)
        .expect("names");
    let channel = members[1].node.channel(CHANNEL).expect("it is configured");
    members[1]
        .node
        .wait_reachable(&name(3), GENEROUS)
        .expect("a member is reached");
    channel
        .send_blocking(&to, b"direct")
        .expect("a member is reached");
    let inbox = &mut members[3].inbox;
    let message = inbox
        .recv_timeout(Duration::from_secs(30))
        .expect("it comes");
    assert_eq!(message.payload(), b"direct");
}

#[test]
fn who_finds_no_seed_is_told_why_and_goes_on_trying() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = nobody.local_addr().expect("an address");
    drop(nobody);
    let late = Member::start("late", OverlayChoice::FullMesh, &[place]);
    let error = late
        .cluster()
        .wait_joined(Duration::from_secs(2))
        .expect_err("nobody is there");
    let JoinError::TimedOut { failures, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(failures.len(), 1);
    assert!(error.to_string().contains(&place.to_string()), "{error}");
    let first = Member::start("first", OverlayChoice::FullMesh, &[]);
    let seeds = [first.node.local_addr().into()];
    late.cluster()
        .join(&seeds, Duration::from_secs(30))
        .expect("it is there now");
    agree(&[first, late]);
}
