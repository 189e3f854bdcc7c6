//! What a node answers, and that it does what is asked.

use std::time::Duration;

use overlane::admin::{
    Answer, Client, Content, MetricsReport, NodeStatus, PeerStatus, RefusalKind, Request,
    SendOutcome,
};
use overlane::config::ChannelConfig;
use overlane::{Node, StopReport};

use super::support::accounting::check_accounting;
use super::support::{best_effort, counting_handler, reliable, wait_until};
use super::{Folder, ask, builder, refused, start};

const WAIT_MS: u64 = 60_000;

/// Nodes `a` and `b` with those channels, and `a` connected to `b` by a request.
fn pair(folder: &Folder, channels: &[ChannelConfig]) -> (Node, Node) {
    let a = start("a", &folder.socket("a"), channels);
    let b = start("b", &folder.socket("b"), channels);
    let connect = Request::Connect {
        peer: "b".to_owned(),
        address: b.local_addr(),
        wait_ms: WAIT_MS,
    };
    assert_eq!(ask(&folder.socket("a"), &connect), Answer::Done);
    (a, b)
}

fn status(folder: &Folder, node: &str) -> NodeStatus {
    match ask(&folder.socket(node), &Request::Status {}) {
        Answer::Status(status) => status,
        other => panic!("{other:?}"),
    }
}

fn peers(folder: &Folder, node: &str) -> Vec<PeerStatus> {
    match ask(&folder.socket(node), &Request::Peers {}) {
        Answer::Peers(peers) => peers,
        other => panic!("{other:?}"),
    }
}

fn metrics(folder: &Folder, node: &str) -> MetricsReport {
    let request = Request::Metrics {
        peer: None,
        channel: None,
    };
    match ask(&folder.socket(node), &request) {
        Answer::Metrics(metrics) => metrics,
        other => panic!("{other:?}"),
    }
}

fn stop(node: Node) -> StopReport {
    let report = node.stop(Duration::from_secs(30));
    assert!(report.drained, "{report:?}");
    report
}

#[test]
fn it_says_what_the_node_is_and_whom_it_knows() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, &[reliable("data")]);
    let of_a = status(&folder, "a");
    assert_eq!((&*of_a.node, of_a.incarnation), ("a", a.incarnation()));
    assert_eq!(of_a.address, a.local_addr());
    assert_eq!(of_a.channels, ["data"]);
    assert_eq!((of_a.peers, of_a.peers_connected), (1, 1));
    assert_eq!(of_a.pid, std::process::id());
    assert!(of_a.identity_holds);
    let known = peers(&folder, "a");
    assert_eq!(known.len(), 1);
    assert_eq!((&*known[0].peer, known[0].connected), ("b", true));
    assert_eq!(known[0].address, Some(b.local_addr()));
    assert_eq!(known[0].incarnation, b.incarnation());
    // The other end did not ask for it, and leaves the dialling to this one.
    assert_eq!(peers(&folder, "b")[0].address, None);
    stop(a);
    stop(b);
    assert!(!folder.socket("a").exists(), "it is removed");
}

#[test]
fn pings_go_through_the_engine_and_back() {
    let folder = Folder::new();
    let channels = [reliable("data"), reliable("urgent").priority(1)];
    let (a, b) = pair(&folder, &channels);
    let ping = |channel: Option<&str>| Request::Ping {
        peer: "b".to_owned(),
        channel: channel.map(str::to_owned),
        bytes: 1000,
        timeout_ms: WAIT_MS,
    };
    for (asked, taken) in [(None, "urgent"), (Some("data"), "data")] {
        match ask(&folder.socket("a"), &ping(asked)) {
            Answer::Ping {
                channel,
                round_trip_us,
            } => {
                assert_eq!(channel, taken);
                assert!(round_trip_us > 0.0);
            }
            other => panic!("{other:?}"),
        }
    }
    let report = metrics(&folder, "a");
    let mut lanes = report.lanes.iter();
    let used = lanes.find(|lane| lane.peer == "b" && &*lane.channel == "data");
    let used = used.expect("it was used");
    assert_eq!(used.accepted, 1, "{used:?}");
    assert!(
        used.bytes_sent > 1000 && used.bytes_received > 1000,
        "{used:?}"
    );
    check_accounting(&[&a, &b]);
    stop(a);
    stop(b);
}

#[test]
fn a_ping_that_cannot_be_answered_says_why() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, &[reliable("data")]);
    let ping = |peer: &str, channel: &str| Request::Ping {
        peer: peer.to_owned(),
        channel: Some(channel.to_owned()),
        bytes: 1,
        timeout_ms: WAIT_MS,
    };
    let socket = folder.socket("a");
    let unknown = refused(&socket, &ping("nobody", "data"));
    assert_eq!(unknown.kind, RefusalKind::Failed);
    assert!(unknown.text.contains("no lane to that peer"), "{unknown:?}");
    let unknown = refused(&socket, &ping("b", "date"));
    assert_eq!(unknown.kind, RefusalKind::Invalid);
    assert!(
        unknown.text.contains("the configured ones are data"),
        "{unknown:?}"
    );
    // A node without an admin socket does not answer pings.
    let c = super::support::start(super::support::config("c").channel(reliable("data")));
    a.connect("c", c.local_addr()).expect("a name");
    a.wait_connected("c", Duration::from_millis(WAIT_MS))
        .expect("it comes up");
    let deaf = refused(&socket, &ping("c", "data"));
    assert_eq!(deaf.kind, RefusalKind::Failed);
    assert!(deaf.text.contains("admin socket"), "{deaf:?}");
    stop(a);
    stop(b);
    stop(c);
}

#[test]
fn a_message_is_sent_and_its_end_told() {
    let folder = Folder::new();
    let channels = [reliable("data"), best_effort("gossip")];
    let (handler, count) = counting_handler();
    let b = builder("b", &folder.socket("b"), &channels)
        .handle("in", handler)
        .start()
        .expect("it starts");
    let a = start("a", &folder.socket("a"), &channels);
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", Duration::from_millis(WAIT_MS))
        .expect("it comes up");
    let send = |mailbox: &str, channel: Option<&str>| Request::Send {
        peer: "b".to_owned(),
        mailbox: mailbox.to_owned(),
        channel: channel.map(str::to_owned),
        payload: Content::from(vec![0, 0xff]),
        timeout_ms: WAIT_MS,
    };
    let socket = folder.socket("a");
    let sent = |channel: &str, outcome| Answer::Sent {
        channel: Some(channel.to_owned()),
        outcome,
    };
    let acknowledged = ask(&socket, &send("in", Some("data")));
    assert_eq!(acknowledged, sent("data", SendOutcome::Acknowledged));
    let accepted = ask(&socket, &send("in", Some("gossip")));
    assert_eq!(accepted, sent("gossip", SendOutcome::Accepted));
    let nobody = refused(&socket, &send("nobody", Some("data")));
    assert_eq!(nobody.kind, RefusalKind::Failed);
    assert!(nobody.text.contains("no such mailbox"), "{nobody:?}");
    let unsaid = refused(&socket, &send("in", None));
    assert_eq!(unsaid.kind, RefusalKind::Invalid);
    let rules = Request::SetRules {
        rules: vec!["data".to_owned()],
    };
    assert_eq!(ask(&socket, &rules), Answer::Done);
    assert!(matches!(
        ask(&socket, &send("in", None)),
        Answer::Sent { .. }
    ));
    match ask(&socket, &Request::Rules {}) {
        Answer::Rules(rules) => assert_eq!((&*rules[0].rule, rules[0].matched), ("data", 1)),
        other => panic!("{other:?}"),
    }
    wait_until(
        "all come",
        || count.load(std::sync::atomic::Ordering::Relaxed),
        |count| *count == 3,
    );
    check_accounting(&[&a, &b]);
    stop(a);
    stop(b);
}

#[test]
fn channels_are_added_changed_and_removed() {
    let folder = Folder::new();
    let a = start("a", &folder.socket("a"), &[]);
    let socket = folder.socket("a");
    let mut events = Client::connect(&socket)
        .and_then(Client::follow)
        .expect("it follows");
    let add = |channel: &str| Request::AddChannel {
        channel: channel.to_owned(),
    };
    let set = |channel: &str| Request::SetChannel {
        channel: channel.to_owned(),
    };
    assert_eq!(ask(&socket, &add("data:priority=high")), Answer::Done);
    assert_eq!(
        ask(&socket, &set("data:priority=low,compression=lz4")),
        Answer::Done
    );
    match ask(&socket, &Request::Channels {}) {
        Answer::Channels(channels) => {
            assert_eq!(channels.len(), 1);
            assert_eq!(channels[0].set, ["priority", "compression"]);
            assert_eq!(channels[0].parameters["priority"], "low");
            assert_eq!(channels[0].parameters["ordering"], "fifo");
        }
        other => panic!("{other:?}"),
    }
    for (request, said) in [
        (add("data"), "already"),
        (add("da ta"), "characters a-z"),
        (add("more:priority=9"), "priority from 1 to 7"),
        (set("data:priorty=1"), "did you mean `priority`?"),
        (
            set("data:reliability=guaranteed"),
            "remove the channel and add it again",
        ),
        (set("date:priority=1"), "those there are now are data"),
    ] {
        let refusal = refused(&socket, &request);
        assert_eq!(refusal.kind, RefusalKind::Invalid, "{refusal:?}");
        assert!(refusal.text.contains(said), "{refusal:?} lacks {said}");
    }
    let remove = Request::RemoveChannel {
        channel: "data".to_owned(),
        wait_ms: WAIT_MS,
    };
    let removed = Answer::Removed {
        reported: 0,
        dropped: 0,
    };
    assert_eq!(ask(&socket, &remove), removed);
    for expected in ["channel_added", "channel_retuned", "channel_removed"] {
        let event = events.next_event().expect("it reads").expect("it goes on");
        assert_eq!(
            (&*event.event, &event.fields["channel"]),
            (expected, &"data".into())
        );
    }
    stop(a);
    assert_eq!(events.next_event().expect("it reads"), None);
}

#[test]
fn peers_are_parted_from_and_forgotten() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, &[reliable("data")]);
    let socket = folder.socket("a");
    let of_b = |request: fn(String) -> Request| ask(&socket, &request("b".to_owned()));
    assert_eq!(of_b(|peer| Request::Disconnect { peer }), Answer::Done);
    wait_until(
        "they part",
        || peers(&folder, "a"),
        |known| known.iter().all(|peer| !peer.connected),
    );
    assert_eq!(of_b(|peer| Request::Forget { peer }), Answer::Done);
    let bad = Request::Connect {
        peer: "b".to_owned(),
        address: "0.0.0.0:0".parse().expect("an address"),
        wait_ms: 0,
    };
    assert_eq!(refused(&socket, &bad).kind, RefusalKind::Invalid);
    let nobody = Request::Connect {
        peer: "c".to_owned(),
        address: "127.0.0.1:9".parse().expect("an address"),
        wait_ms: 1,
    };
    assert_eq!(refused(&socket, &nobody).kind, RefusalKind::Failed);
    stop(a);
    stop(b);
}

#[test]
fn a_node_stops_while_requests_and_followers_wait() {
    let folder = Folder::new();
    let (a, b) = pair(&folder, &[reliable("data")]);
    let socket = folder.socket("a");
    let followers: Vec<_> = (0..4)
        .map(|_| {
            let client = Client::connect(&socket).expect("it is there");
            let mut following = client.follow().expect("it follows");
            std::thread::spawn(move || while let Ok(Some(_)) = following.next_event() {})
        })
        .collect();
    let idle = Client::connect(&socket).expect("it is there");
    stop(a);
    for follower in followers {
        follower.join().expect("it ends");
    }
    drop(idle);
    assert!(!socket.exists());
    stop(b);
}
