//! Messages that go over servers to members without a lane, on real nodes whose clients cannot reach one another.

use std::time::{Duration, Instant};

use overlane::config::{
    MembershipConfig, NamePatterns, Overflow, OverlayChoice, Reach, Reliability,
};
use overlane::testing::{Formation, TestCluster, TestClusterBuilder, TestError};
use overlane::{
    ChannelConfig, Event, HOPS_KEY, Inbox, ORIGIN_KEY, RELAYED_BYTES_MAX, RelayCounts, SendError,
};

use crate::support::{GENEROUS, io, wait_for_event, wait_until};

const SERVERS: usize = 2;

/// So many nodes, of which two are servers. Clients have no way to each other.
fn nodes(count: usize) -> TestClusterBuilder {
    let far = ChannelConfig::new("far")
        .reliability(Reliability::Guaranteed)
        .overflow(Overflow::Block)
        .mailboxes_allowed(NamePatterns::from(["in", "slow", "nobody*"]))
        .reach(Reach::Relay);
    let loose = ChannelConfig::new("loose")
        .reliability(Reliability::BestEffort)
        .reach(Reach::Relay);
    let servers: Vec<_> = (0..SERVERS).map(|server| format!("n{server}")).collect();
    TestCluster::builder(count)
        .channel(far)
        .channel(loose)
        .channel(ChannelConfig::new("near"))
        .formation(Formation::Joined(OverlayChoice::ClientServer))
        .patience(GENEROUS)
        .configure(move |config, _| config.io(io()).servers(servers.clone()))
}

/// Clients that were connected are not any more, and will not be.
fn part_clients(cluster: &TestCluster, count: usize) {
    for one in SERVERS..count {
        for other in one + 1..count {
            cluster.link(one, other).sever();
        }
    }
    let connected = || {
        let clients = cluster.nodes().filter(|(node, _)| *node >= SERVERS);
        let peers = clients.flat_map(|(_, node)| node.peers());
        let connected = peers.filter(|known| known.peer.is_connected() && !known.peer.is_self());
        connected
            .map(|known| known.peer.name().to_owned())
            .collect::<Vec<_>>()
    };
    wait_until("clients have lanes to servers alone", connected, |names| {
        names.iter().all(|name| name == "n0" || name == "n1")
    });
}

fn counts(cluster: &TestCluster, node: usize) -> RelayCounts {
    let counts = cluster.node(node).cluster().map(|it| it.relay_counts());
    let counts = counts.expect("it is in a cluster");
    assert!(counts.identity_holds(), "{counts:?}");
    counts
}

fn wait_ended(cluster: &TestCluster, node: usize) -> RelayCounts {
    wait_until(
        "each message has ended",
        || counts(cluster, node),
        |counts| counts.open == 0,
    )
}

/// The next message, which has come over others from that node.
fn next(inbox: &mut Inbox, from: &str) -> Vec<u8> {
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(message.metadata(ORIGIN_KEY), Some(from.as_bytes()));
    let hops = message.metadata(HOPS_KEY).expect("it says them");
    assert!(
        (2..=3).contains(&hops[0]),
        "over one server or two: {hops:?}"
    );
    message.payload().to_vec()
}

#[test]
fn messages_to_a_member_without_a_lane_go_over_servers_each_once_in_order() -> Result<(), TestError>
{
    let cluster = nodes(6).start()?;
    let mut inbox = cluster.node(5).inbox("in")?;
    part_clients(&cluster, 6);
    let from = cluster.node(2);
    let far = from.channel("far")?;
    let to = from.destination("n5", "in")?;
    for number in 0..500_u32 {
        far.send_blocking(&to, &number.to_le_bytes())?;
    }
    for number in 0..500_u32 {
        assert_eq!(next(&mut inbox, "n2"), number.to_le_bytes());
    }
    let sent = wait_ended(&cluster, 2);
    assert_eq!(
        (sent.accepted, sent.acknowledged, sent.reported),
        (500, 500, 0)
    );
    assert_eq!(counts(&cluster, 5).delivered, 500);
    let passed_on: u64 = (0..SERVERS).map(|at| counts(&cluster, at).passed_on).sum();
    assert!(passed_on >= 1_000, "messages, and receipts: {passed_on}");
    let by_clients: u64 = (2..6).map(|at| counts(&cluster, at).passed_on).sum();
    assert_eq!(by_clients, 0, "clients pass nothing on");

    // A server has a lane to it: that is taken.
    let near = cluster.node(0);
    let to = near.destination("n5", "in")?;
    near.channel("far")?.try_send(&to, b"direct")?;
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(
        (message.metadata(ORIGIN_KEY), message.payload()),
        (None, &b"direct"[..])
    );
    drop(message);
    assert_eq!(counts(&cluster, 0).accepted, 0);

    // Best effort goes the same way, and nobody answers for it.
    let to = from.destination("n5", "in")?;
    from.channel("loose")?.try_send(&to, b"loose")?;
    assert_eq!(next(&mut inbox, "n2"), b"loose");
    let sent = wait_ended(&cluster, 2);
    assert_eq!((sent.sent, sent.dropped), (1, 0));
    cluster.finish()?;
    Ok(())
}

#[test]
fn what_is_under_way_over_a_server_that_dies_ends_soon_and_the_next_goes_over_another()
-> Result<(), TestError> {
    let death = MembershipConfig {
        grace_least_ms: 500,
        grace_most_ms: 1_000,
        probe_period_ms: 200,
        direct_wait_ms: 50,
        indirect_wait_ms: 100,
        ..MembershipConfig::default()
    };
    let servers: Vec<_> = (0..SERVERS).map(|server| format!("n{server}")).collect();
    let builder = nodes(5).configure(move |config, _| {
        let config = config.io(io()).servers(servers.clone());
        config.membership(death.clone())
    });
    let mut cluster = builder.start()?;
    let mut inbox = cluster.node(4).inbox("in")?;
    part_clients(&cluster, 5);
    let from = cluster.node(2);
    let events = from.events();
    let far = from.channel("far")?;
    let to = from.destination("n4", "in")?;
    far.send_blocking(&to, b"before")?;
    assert_eq!(next(&mut inbox, "n2"), b"before");
    assert_eq!(wait_ended(&cluster, 2).acknowledged, 1);
    let server = (0..SERVERS).find(|at| counts(&cluster, *at).passed_on > 0);
    let server = server.expect("it went over one of them");
    // They come as far as the server, and their answers no way back.
    cluster.link(server, 4).stall();
    let under_way = 5;
    for _ in 0..under_way {
        far.send_blocking(&to, b"under way")?;
    }
    cluster.kill(server);
    let began = Instant::now();
    let sent = wait_ended(&cluster, 2);
    // Not only when nobody could be expected to answer any more.
    assert!(began.elapsed() < Duration::from_secs(30), "{sent:?}");
    assert_eq!((sent.acknowledged, sent.reported), (1, under_way));
    // What the server never got is known to be undelivered.
    let mut told = 0;
    wait_for_event(&events, "they are reported", |event| {
        if let Event::Reported {
            undelivered,
            unknown,
            ..
        } = event
        {
            told += undelivered + unknown;
        }
        (told == under_way).then_some(())
    });

    let from = cluster.node(2);
    from.channel("far")?.send_blocking(&to, b"after")?;
    while next(&mut inbox, "n2") != b"after" {}
    let sent = wait_ended(&cluster, 2);
    assert_eq!((sent.acknowledged, sent.reported), (2, under_way));
    cluster.finish()?;
    Ok(())
}

#[test]
fn what_cannot_be_relayed_is_refused_or_reported_with_its_reason() -> Result<(), TestError> {
    let cluster = nodes(5).start()?;
    part_clients(&cluster, 5);
    let from = cluster.node(2);
    let events = from.events();
    let far = from.channel("far")?;
    let reported = |wanted: &str| {
        wait_for_event(&events, wanted, |event| match event {
            Event::Reported {
                peer,
                channel,
                undelivered,
                unknown,
                why,
            } if **channel == *"far" => {
                Some((peer.name().to_owned(), *undelivered, *unknown, *why))
            }
            _ => None,
        })
    };
    far.try_send(&from.destination("n4", "nobody.reads.it")?, b"x")?;
    let (peer, undelivered, unknown, why) = reported("there is no mailbox");
    assert_eq!((peer.as_str(), undelivered, unknown), ("n4", 1, 0));
    assert!(why.contains("no such mailbox"), "{why}");
    let mut closed = cluster.node(4).inbox("closed")?;
    far.try_send(&from.destination("n4", "closed")?, b"x")?;
    let (.., why) = reported("mailboxes_allowed leaves it out");
    assert!(why.contains("no such mailbox"), "{why}");
    assert!(closed.recv_timeout(Duration::from_millis(1)).is_err());
    far.try_send(&from.destination("n99", "in")?, b"x")?;
    let (peer, .., why) = reported("there is no such member");
    assert_eq!(peer, "n99");
    assert!(why.contains("no live member"), "{why}");
    let bytes = far.message_bytes_max();
    let to = from.destination("n4", "in")?;
    let large = far
        .try_send(&to, vec![0; bytes])
        .expect_err("no room for names");
    assert!(matches!(large.error, SendError::TooLarge { .. }));
    let sent = wait_ended(&cluster, 2);
    assert_eq!((sent.accepted, sent.reported), (3, 3));
    cluster.finish()?;
    Ok(())
}

#[test]
fn who_does_not_read_slows_the_sender_down_and_loses_nothing() -> Result<(), TestError> {
    let cluster = nodes(5).start()?;
    let mut inbox = cluster.node(4).inbox_of("slow", 16 << 10)?;
    part_clients(&cluster, 5);
    let from = cluster.node(2);
    let far = from.channel("far")?;
    let to = from.destination("n4", "slow")?;
    let payload = |number: u32| {
        let mut payload = vec![0; 2048];
        payload[..4].copy_from_slice(&number.to_le_bytes());
        payload
    };
    let mut accepted = 0_u32;
    let full = loop {
        match far.try_send(&to, payload(accepted)) {
            Ok(()) => accepted += 1,
            Err(full) => break full,
        }
        let open = counts(&cluster, 2).open;
        assert!(
            open <= (RELAYED_BYTES_MAX / 2048) as u64,
            "it is bounded: {open}"
        );
    };
    assert_eq!(full.error, SendError::Full);
    // More than all that waits on the way, at the receiver too.
    let all = accepted + 1_500;
    let sender = std::thread::spawn(move || {
        for number in accepted..all {
            far.send_blocking(&to, payload(number))
                .expect("there will be room");
        }
    });
    for number in 0..all {
        let came = next(&mut inbox, "n2");
        assert_eq!(came[..4], number.to_le_bytes());
    }
    sender.join().expect("it does not panic");
    assert!(
        inbox.recv_timeout(Duration::from_millis(1)).is_err(),
        "each once"
    );
    let sent = wait_ended(&cluster, 2);
    assert_eq!((sent.acknowledged, sent.reported), (u64::from(all), 0));
    cluster.finish()?;
    Ok(())
}
