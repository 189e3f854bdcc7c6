//! What an application can get wrong, and what it is told.

use std::time::Duration;

use crate::support::{config, connect_both, reliable, start};
use overlane::config::Overflow;
use overlane::{
    Channel, Destination, Events, Inbox, NameError, Node, Payload, Peer, SendError, WaitError,
};

fn node(name: &str) -> Node {
    start(config(name).channel(reliable("data").overflow(Overflow::Block)))
}

#[test]
fn handles_can_go_to_any_thread() {
    fn shared<T: Send + Sync + 'static>() {}
    fn moved<T: Send + 'static>() {}
    shared::<Node>();
    shared::<Channel>();
    shared::<Destination>();
    shared::<Peer>();
    shared::<Events>();
    moved::<Inbox>();
}

#[test]
fn a_channel_that_is_not_configured_is_refused_with_those_that_are() {
    let a = start(
        config("a")
            .channel(reliable("data"))
            .channel(reliable("news")),
    );
    let error = a.channel("date").expect_err("there is none");
    let text = error.to_string();
    assert!(
        text.contains("date") && text.contains("data, news"),
        "{text}"
    );
    assert_eq!(a.channel("news").expect("it is configured").name(), "news");
}

#[test]
fn names_that_cannot_be_names_are_refused_everywhere() {
    let a = node("a");
    let long = "x".repeat(256);
    for name in ["", "a\nb", &long] {
        let refused = [
            a.destination(name, "in").map(drop),
            a.destination("b", name).map(drop),
            a.connect(name, a.local_addr()).map(drop),
            a.disconnect(name),
            a.mailbox(name).map(drop),
            a.inbox(name).map(drop),
            a.handle(name, |_, _| {}).map(drop),
        ];
        for error in refused {
            assert!(
                matches!(error, Err(NameError::Malformed { .. })),
                "{name:?}: {error:?}"
            );
        }
        assert!(a.wait_connected(name, Duration::ZERO).is_err());
    }
}

#[test]
fn an_address_that_no_peer_can_have_is_refused_with_the_reason() {
    let node = node("a");
    for (address, reason) in [
        ("127.0.0.1:0", "port 0"),
        ("0.0.0.0:7400", "all addresses"),
        ("224.0.0.1:7400", "multicast"),
        ("255.255.255.255:7400", "broadcast"),
    ] {
        let error = node.connect("b", address.parse().expect("an address"));
        let error = error.expect_err(address).to_string();
        assert!(error.contains(address) && error.contains(reason), "{error}");
    }
    assert!(node.peers().is_empty(), "nothing was taken for a peer");
}

#[test]
fn errors_out_of_main_and_by_unwrap_read_as_their_message() {
    let node = node("a");
    let name = node
        .mailbox("a\u{1b}[2Jb")
        .expect_err("a control character");
    assert_eq!(format!("{name:?}"), name.to_string());
    assert!(!name.to_string().contains(char::is_control), "{name}");
    let waited = node
        .wait_connected("b\u{7}", Duration::ZERO)
        .expect_err("no peer");
    assert_eq!(format!("{waited:?}"), waited.to_string());
    assert!(!waited.to_string().contains(char::is_control), "{waited}");
}

#[test]
fn a_shard_that_is_not_there_is_refused_with_how_many_there_are() {
    let a = start(config("a").shards(2).channel(reliable("data")));
    let refused = a.spawn_on_shard(2, |_| async {});
    let expected = NameError::UnknownShard {
        shard: 2,
        shards: 2,
    };
    assert_eq!(refused, Err(expected));
    assert_eq!(a.shards(), 2);
}

#[test]
fn every_way_to_send_says_closed_once_the_node_stopped() {
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let itself = a.destination("a", "in").expect("names");
    let events = a.events();
    assert!(a.stop(crate::support::GENEROUS).drained);
    for to in [&to, &itself] {
        assert_eq!(channel.try_send(to, b"x"), Err(SendError::Closed));
        assert_eq!(channel.send_blocking(to, b"x"), Err(SendError::Closed));
        assert_eq!(channel.send_many(to, &[b"x", b"y"]), Err(SendError::Closed));
        let sent = futures_lite::future::block_on(channel.send(to, b"x"));
        assert_eq!(sent, Err(SendError::Closed));
    }
    // The events end after what happened.
    while events.recv().is_ok() {}
}

#[test]
fn whoever_waits_for_room_is_told_when_the_node_stops() {
    let channel = || {
        let tiny = reliable("data")
            .queue_messages_max(2)
            .queue_bytes_max(1_usize << 20);
        tiny.overflow(Overflow::Block).send_buffer_bytes(8192_u32)
    };
    let a = start(config("a").channel(channel()));
    let b = start(config("b").channel(channel()));
    let _unread = b.inbox_of("in", 64 << 10).expect("a mailbox");
    connect_both(&a, &b);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let sender = std::thread::spawn(move || {
        loop {
            if let Err(error) = data.send_blocking(&to, &vec![0; 100_000]) {
                return error;
            }
        }
    });
    crate::support::wait_until(
        "the queue is full",
        || a.metrics(),
        |metrics| {
            metrics
                .channel("b", "data")
                .is_some_and(|out| out.queue_messages == 2)
        },
    );
    drop(a);
    assert_eq!(sender.join().expect("no panic"), SendError::Closed);
}

#[test]
fn peers_say_how_they_stand() {
    let (a, b) = (node("a"), node("b"));
    assert!(a.peers().is_empty(), "a node is not its own peer");
    connect_both(&a, &b);
    let peers = a.peers();
    let [b_seen] = &peers[..] else {
        panic!("one peer: {peers:?}");
    };
    assert_eq!(
        (b_seen.peer.name(), b_seen.lanes_up, b_seen.lanes),
        ("b", 1, 2),
        "the engine's own lane is up, that of data is not used yet"
    );
    assert_eq!(b_seen.address, Some(b.local_addr()));
    assert_eq!(b_seen.peer.incarnation(), b.incarnation());
    assert!(b_seen.peer.is_connected() && !b_seen.peer.is_self());
}

#[test]
fn waiting_for_a_peer_says_how_far_it_came() {
    let a = node("a");
    let error = a.wait_connected("b", Duration::from_millis(1));
    let Err(WaitError::NotConnected(error)) = error else {
        panic!("nobody knows b: {error:?}");
    };
    assert_eq!(
        (error.peer.as_str(), error.lanes_up, error.lanes),
        ("b", 0, 2)
    );
    a.wait_connected("a", Duration::ZERO)
        .expect("a node has lanes to itself");
}

#[test]
fn the_longest_of_all_timeouts_is_a_timeout_too() {
    let (a, b) = (node("a"), node("b"));
    let mut inbox = b.inbox("in").expect("a mailbox");
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", Duration::MAX).expect("it comes up");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    data.try_send(&to, b"x").expect("accepted");
    assert!(inbox.recv_timeout(Duration::MAX).is_ok());
    assert!(a.stop(Duration::MAX).drained);
}

#[test]
fn payloads_come_from_what_applications_have() {
    let vector = vec![1, 2, 3];
    let payloads: [Payload<'_>; 6] = [
        (&vector).into(),
        vector[..].into(),
        (&[1, 2, 3]).into(),
        "\u{1}\u{2}\u{3}".into(),
        vector.clone().into(),
        bytes::Bytes::from(vector.clone()).into(),
    ];
    for payload in payloads {
        assert_eq!((payload.as_slice(), payload.len()), (&[1, 2, 3][..], 3));
        assert!(!payload.is_empty());
    }
}
