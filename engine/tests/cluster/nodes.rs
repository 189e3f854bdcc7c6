//! Nodes of a cluster, each with a mailbox that keeps what is broadcast to it.

use std::net::SocketAddr;
use std::time::Duration;

use overlane::config::{ChannelConfig, ConfigBuilder, OverlayChoice, Seed};
use overlane::{Cluster, Inbox, MemberStatus, Node};

use crate::support::{config, start, wait_until};

pub(crate) const MAILBOX: &str = "news";
pub(crate) const CHANNEL: &str = "data";

/// A node and its mailbox.
pub(crate) struct Member {
    pub(crate) node: Node,
    pub(crate) inbox: Inbox,
}

impl Member {
    /// A node that asks at these addresses.
    pub(crate) fn start(name: &str, overlay: OverlayChoice, seeds: &[SocketAddr]) -> Self {
        Self::start_with(config(name), overlay, seeds)
    }

    /// The same, of a node of that configuration.
    pub(crate) fn start_with(
        config: ConfigBuilder,
        overlay: OverlayChoice,
        seeds: &[SocketAddr],
    ) -> Self {
        let config = config
            .overlay(overlay)
            .servers(servers(overlay))
            .seeds(seeds.iter().copied().map(Seed::from).collect::<Vec<_>>())
            .channel(ChannelConfig::new(CHANNEL));
        let node = start(config);
        let inbox = node.inbox(MAILBOX).expect("a mailbox");
        Self { node, inbox }
    }

    pub(crate) fn cluster(&self) -> &Cluster {
        self.node.cluster().expect("it has an overlay")
    }

    /// The names of those that it counts as live.
    pub(crate) fn live(&self) -> Vec<String> {
        let members = self.cluster().members().into_iter();
        let live = members.filter(|member| member.status.is_live());
        live.map(|member| member.name).collect()
    }

    pub(crate) fn status(&self, name: &str) -> Option<MemberStatus> {
        let members = self.cluster().members();
        let found = members.into_iter().find(|member| member.name == name);
        found.map(|member| member.status)
    }
}

/// The first three nodes, where the overlay needs to be told.
fn servers(overlay: OverlayChoice) -> Vec<String> {
    let count = if overlay == OverlayChoice::ClientServer {
        3
    } else {
        0
    };
    (0..count).map(name).collect()
}

pub(crate) fn name(number: usize) -> String {
    format!("n{number:02}")
}

/// So many nodes, of which the others ask at the first, all members of each other.
pub(crate) fn cluster(count: usize, overlay: OverlayChoice) -> Vec<Member> {
    let mut members = vec![Member::start(&name(0), overlay, &[])];
    let seed = members[0].node.local_addr();
    for number in 1..count {
        members.push(Member::start(&name(number), overlay, &[seed]));
    }
    agree(&members);
    members
}

/// Waits until all of them count all of them, and nobody else, as live.
pub(crate) fn agree(members: &[Member]) {
    let mut names: Vec<_> = members
        .iter()
        .map(|member| member.node.name().to_owned())
        .collect();
    names.sort_unstable();
    wait_until(
        "all know who is a member",
        || members.iter().map(Member::live).collect::<Vec<_>>(),
        |views| views.iter().all(|view| *view == names),
    );
}

/// Waits until each of them has all others as neighbors: what is broadcast before that, and not repaired, may not come.
pub(crate) fn all_are_neighbors(members: &[Member]) {
    let neighbors = |member: &Member| member.cluster().overlay().neighbors.len();
    wait_until(
        "all are neighbors",
        || members.iter().map(neighbors).collect::<Vec<_>>(),
        |counts| counts.iter().all(|count| count + 1 == members.len()),
    );
}

/// What each of them sees, for whoever looks into a failure.
pub(crate) fn states(members: &[Member]) -> String {
    let states = members.iter().map(|member| {
        let cluster = member.cluster();
        let (overlay, counts) = (cluster.overlay(), cluster.broadcast_counts());
        let metrics = member.node.metrics();
        let lanes = metrics.lanes.iter().map(|lane| {
            format!(
                "\n  {} {}: up {} accepted {} queued {} in flight {} acknowledged {} reported {} delivered {}",
                lane.peer, lane.channel, lane.lanes_up, lane.accepted, lane.queued, lane.in_flight, lane.acknowledged, lane.reported, lane.delivered
            )
        });
        let lanes: String = lanes.collect();
        format!("\n{}: {overlay:?} {counts:?}{lanes}", member.node.name())
    });
    states.collect()
}

/// Broadcasts from each of them, and waits until it came to all others, once.
pub(crate) fn broadcasts_reach_all(members: &mut [Member], round: usize) {
    for sender in 0..members.len() {
        let payload = format!("{round} of {sender}");
        let mut missed = Vec::new();
        let name = members[sender].node.name().to_owned();
        let cluster = members[sender].cluster();
        cluster
            .broadcast(CHANNEL, MAILBOX, &payload)
            .expect("there is room");
        for (number, member) in members.iter_mut().enumerate() {
            if number != sender {
                let came = member
                    .inbox
                    .recv_timeout(Duration::from_secs(30))
                    .is_ok_and(|message| {
                        assert_eq!(message.payload(), payload.as_bytes());
                        let from = message.metadata(overlane::ORIGIN_KEY);
                        from == Some(name.as_bytes())
                    });
                missed.extend((!came).then_some(number));
            }
        }
        assert!(
            missed.is_empty(),
            "{payload} did not come to {missed:?}: {}",
            states(members)
        );
    }
    for member in members {
        assert!(member.inbox.try_recv().is_none(), "a broadcast came twice");
        let metrics = member.node.metrics();
        assert!(metrics.identity_holds(), "{metrics:#?}");
    }
}
