//! Nodes whose lanes are protected: everything a lane does comes through its session, certificates and secrets
//! change while messages flow, and who is revoked is gone.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use overlane::config::{
    ChannelConfig, ChannelSecurity, Compression, ConfigBuilder, ControlPlacement, NamePatterns,
    Overflow, PskConfig, Reliability, SecurityMode,
};
use overlane::wire::CloseReason;
use overlane::{Event, Message, Node, ShardContext, StreamReader};

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::authority::{Authority, Folder, Valid};
use crate::support::payload::{self, Streams};
use crate::support::{
    Ends, GENEROUS, config, connect_both, connect_through_proxy, counting_handler, drained,
    reliable, start, use_lane, wait_for_event, wait_until, with_secrets, with_tls,
};

const SECRET: &str = "the secret that both of them have";
const NEW_SECRET: &str = "the secret that they change to";

/// What protects the nodes of a test.
enum Protection {
    Tls(Box<Authority>, Folder),
    Psk,
}

impl Protection {
    fn both() -> [Self; 2] {
        [
            Self::Tls(Box::new(Authority::new("ours")), Folder::new()),
            Self::Psk,
        ]
    }

    fn give(&self, node: &str, config: ConfigBuilder) -> ConfigBuilder {
        match self {
            Self::Tls(authority, folder) => {
                with_tls(config, folder, &authority.certify(node), authority)
            }
            Self::Psk => with_secrets(config, &[SECRET]),
        }
    }
}

fn send(node: &Node, to: &str, mailbox: &str, payload: impl Into<Vec<u8>>) {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination(to, mailbox).expect("names");
    channel
        .send_blocking(&to, payload.into())
        .expect("there is room in the end");
}

fn read_stream(mut reader: StreamReader) -> Vec<u8> {
    let mut read = Vec::new();
    while let Some(chunk) = reader.read_chunk_blocking().expect("it goes on") {
        read.extend_from_slice(&chunk);
    }
    read
}

/// Both of several shards, so that connections are handed over with their sessions; of all sizes: in a record, over
/// several, compressed, in fragments, and streams.
#[test]
fn everything_that_a_lane_carries_comes_through_its_session() {
    for (protection, placement) in
        { Protection::both().into_iter() }.zip([ControlPlacement::Own, ControlPlacement::Shared])
    {
        let channel = reliable("data")
            .parallelism(3)
            .compression(Compression::Lz4)
            .fragment_bytes(100_000)
            .overflow(Overflow::Block);
        let node = |name: &str| {
            let config = config(name).shards(2).control(placement);
            start(protection.give(name, config).channel(channel.clone()))
        };
        let (a, b) = (node("a"), node("app@10.0.0.1"));
        connect_both(&a, &b);
        let mut inbox = b.inbox("in").expect("a mailbox");
        let sizes = [
            0,
            1,
            100,
            1000,
            3000,
            8_191,
            20_000,
            65_536,
            300_000,
            1 << 20,
        ];
        let payload = |size: usize| -> Vec<u8> {
            (0..251_u8)
                .map(|at| at.wrapping_mul(7))
                .cycle()
                .take(size)
                .collect()
        };
        for round in 0..5 {
            for size in sizes {
                send(&a, "app@10.0.0.1", "in", payload(size));
                let came = inbox.recv_timeout(GENEROUS).expect("it comes");
                assert!(came.payload() == payload(size), "{size} in round {round}");
            }
        }
        let mut accepting = b.streams("files").expect("a name");
        let channel = a.channel("data").expect("it is configured");
        let to = a.destination("app@10.0.0.1", "files").expect("names");
        let mut writer = channel.open_stream(&to).expect("the peer is there");
        let writing = thread::spawn(move || {
            for _ in 0..50 {
                writer
                    .write_bytes_blocking(vec![3; 100_000].into())
                    .expect("it is read");
            }
            writer.finish_blocking()
        });
        let reader = accepting.accept_blocking().expect("a stream is opened");
        assert!(read_stream(reader) == vec![3; 5_000_000]);
        assert_eq!(writing.join().expect("no panic"), Ok(()));
        check_accounting(&[&a, &b]);
    }
}

/// Frames straddle records, and records receives, wherever the proxy cuts them; what was under way is sent again in
/// a new session.
#[test]
fn what_is_kept_is_sent_again_in_a_new_session() {
    for protection in Protection::both() {
        let channel = reliable("data")
            .reliability(Reliability::Guaranteed)
            .overflow(Overflow::Block);
        let node = |name: &str| start(protection.give(name, config(name)).channel(channel.clone()));
        let (a, b) = (node("a"), node("b"));
        let proxy = connect_through_proxy(&a, &b);
        let mut inbox = b.inbox("in").expect("a mailbox");
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ends = Ends(&over);
            scope.spawn(|| {
                for number in 0..4000 {
                    send(&a, "b", "in", payload::numbered(0, number, 700));
                }
            });
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let before = proxy.bytes();
                    while proxy.bytes() < before + 300_000 && !over.load(Ordering::Relaxed) {
                        thread::sleep(Duration::from_millis(1));
                    }
                    proxy.cut();
                }
            });
            let mut streams = Streams::default();
            while streams.received() < 4000 {
                let message = inbox.recv_timeout(GENEROUS).expect("each comes");
                let _ = streams.take(message.payload());
            }
        });
        let metrics = check_accounting(&[&a, &b]);
        all_acknowledged(&metrics[0], "b", "data", 4000);
        let ended: u64 = counted(&metrics[0], "b", "data").closes.values().sum();
        assert!(ended > 0, "it was cut");
    }
}

/// A damaged byte on the way ends the lane, and nothing of the record it is in is delivered.
#[test]
fn a_damaged_record_ends_its_lane_with_the_reason() {
    let node = |name: &str| {
        let channel = reliable("data").reliability(Reliability::Guaranteed);
        start(with_secrets(config(name), &[SECRET]).channel(channel))
    };
    let (a, b) = (node("a"), node("b"));
    let proxy = connect_through_proxy(&a, &b);
    let payload = vec![9; 10_000];
    let damaged = Arc::new(AtomicU64::new(0));
    let (seen, expected) = (Arc::clone(&damaged), payload.clone());
    let look = move |_: &mut ShardContext<'_>, message: Message<'_>| {
        let is_right = message.payload() == expected;
        seen.fetch_add(u64::from(!is_right), Ordering::Relaxed);
    };
    b.handle("in", look).expect("a mailbox");
    send(&a, "b", "in", payload.clone());
    drained(&a);
    proxy.set_corrupt_every(NonZeroU64::new(20_000));
    let events = b.events();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _ends = Ends(&is_over);
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                let channel = a.channel("data").expect("it is configured");
                let to = a.destination("b", "in").expect("names");
                // While it is full, the lane is down.
                drop(channel.try_send(&to, payload.as_slice()));
                thread::sleep(Duration::from_millis(1));
            }
        });
        wait_for_event(&events, "a lane that ends for that", |event| match event {
            Event::LaneDown {
                channel,
                reason: CloseReason::SessionBroken,
                ..
            } if **channel == *"data" => Some(()),
            _ => None,
        });
    });
    proxy.set_corrupt_every(None);
    check_accounting(&[&a, &b]);
    assert_eq!(damaged.load(Ordering::Relaxed), 0);
}

fn with_secret_file(name: &str, folder: &Folder) -> ConfigBuilder {
    let secret_file = folder.path().join(name);
    config(name)
        .security(SecurityMode::Psk)
        .psk(PskConfig { secret_file })
        .security_reload_ms(0)
}

/// Three nodes send to each other in a ring while their secret is changed in three steps, node by node; each lane is made
/// anew at each step.
#[test]
fn a_secret_is_rotated_under_traffic_and_nothing_is_lost() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let folder = Folder::new();
    let write = |secrets: &[&str], name: &str| folder.write(name, &secrets.join("\n"));
    for name in NAMES {
        write(&[SECRET], name);
    }
    let channel = reliable("data")
        .reliability(Reliability::Guaranteed)
        .overflow(Overflow::Block);
    let nodes = NAMES.map(|name| start(with_secret_file(name, &folder).channel(channel.clone())));
    let (mut counts, mut proxies) = (Vec::new(), Vec::new());
    for (place, node) in nodes.iter().enumerate() {
        let (handler, count) = counting_handler();
        node.handle("in", handler).expect("a mailbox");
        counts.push(count);
        let next = &nodes[(place + 1) % 3];
        proxies.push(connect_through_proxy(node, next));
    }
    let over = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let ends = Ends(&over);
        let senders: Vec<_> = (0..3)
            .map(|place| {
                let (nodes, over) = (&nodes, &over);
                scope.spawn(move || {
                    let mut sent = 0;
                    while !over.load(Ordering::Relaxed) {
                        send(&nodes[place], NAMES[(place + 1) % 3], "in", vec![1; 200]);
                        sent += 1;
                        thread::sleep(Duration::from_micros(200));
                    }
                    sent
                })
            })
            .collect();
        // A lane that has not been up refuses while its peer is away.
        wait_until(
            "the lanes carry",
            || {
                counts
                    .iter()
                    .map(|count| count.load(Ordering::Relaxed))
                    .min()
            },
            |least| *least > Some(0),
        );
        for secrets in [
            &[SECRET, NEW_SECRET][..],
            &[NEW_SECRET, SECRET],
            &[NEW_SECRET],
        ] {
            for (place, node) in nodes.iter().enumerate() {
                write(secrets, NAMES[place]);
                assert_eq!(node.reload_security(), Ok(true));
                for lanes in [place, (place + 2) % 3] {
                    proxies[lanes].cut();
                    let next = NAMES[(lanes + 1) % 3];
                    nodes[lanes]
                        .wait_connected(next, GENEROUS)
                        .expect("lanes come up");
                }
            }
        }
        drop(ends);
        senders
            .into_iter()
            .map(|sender| sender.join().expect("no panic"))
            .collect::<Vec<u64>>()
    });
    let all: Vec<_> = nodes.iter().collect();
    check_accounting(&all);
    for place in 0..3 {
        let count = counts[(place + 1) % 3].load(Ordering::Relaxed);
        assert_eq!(count, sent[place], "{} lost some", NAMES[place]);
    }
    // Who still has the old secret alone is a stranger now.
    let late = start(with_secrets(config("late"), &[SECRET]).channel(channel));
    let events = late.events();
    late.connect("a", nodes[0].local_addr()).expect("a name");
    let reason = wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::SecretWrong);
}

#[test]
fn lanes_of_the_revoked_end_and_those_of_others_go_on() {
    let (authority, folder) = (Authority::new("ours"), Folder::new());
    let list = folder.write("revoked", "# nobody yet\n");
    let node = |name: &str, serial: u64| {
        let certified = authority.sign(name, Valid::Now, serial);
        with_tls(config(name), &folder, &certified, &authority).channel(reliable("data"))
    };
    let a = start(node("a", 1).revoked(list.clone()).security_reload_ms(20));
    let peers = [("by-name", 2), ("by-serial", 0xbeef), ("good", 4)];
    let peers = peers.map(|(name, serial)| start(node(name, serial)));
    for peer in &peers {
        connect_both(&a, peer);
        use_lane(peer, "a", "data", "nowhere");
    }
    let events = a.events();
    let told: Vec<_> = peers.iter().map(Node::events).collect();
    folder.write("revoked", "by-name\nserial:be:ef\n");
    let mut down = Vec::new();
    while down.len() < 2 {
        let (name, reason) = wait_for_event(&events, "the end of a peer", |event| match event {
            Event::PeerDown { peer, reason } => Some((peer.name().to_owned(), *reason)),
            _ => None,
        });
        assert_eq!(reason, CloseReason::Revoked, "{name}");
        down.push(name);
    }
    down.sort_unstable();
    assert_eq!(down, ["by-name", "by-serial"]);
    // They dial again, and are told why that is in vain.
    for events in &told[..2] {
        wait_for_event(events, "a refusal", |event| match event {
            Event::DialFailed {
                reason: CloseReason::Revoked,
                ..
            } => Some(()),
            _ => None,
        });
    }
    use_lane(&peers[2], "a", "data", "nowhere");
    let metrics = a.metrics();
    let good = counted(&metrics, "good", "data");
    assert!(good.closes.is_empty(), "{good:#?}");
}

#[test]
fn new_certificates_count_without_a_restart() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let folder = Folder::new();
    let node = |name: &str| {
        let [certificate, key, authorities] = folder.node(name, &old.certify(name), &old);
        start(
            config(name)
                .security(SecurityMode::Tls)
                .security_reload_ms(20)
                .tls(overlane::config::TlsConfig {
                    certificate,
                    key,
                    authorities,
                    ..Default::default()
                })
                .channel(reliable("data")),
        )
    };
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    // A newcomer with a certificate of the new authority alone is a stranger, until the files have changed.
    let newcomer = with_tls(config("c"), &folder, &new.certify("c"), &new);
    let newcomer = start(newcomer.channel(reliable("data")));
    let events = newcomer.events();
    newcomer.connect("a", a.local_addr()).expect("a name");
    wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed {
            reason: CloseReason::CertificateUntrusted,
            ..
        } => Some(()),
        _ => None,
    });
    for name in ["a", "b"] {
        folder.node(name, &new.certify(name), &new);
    }
    newcomer
        .wait_connected("a", GENEROUS)
        .expect("it is let in");
    // The lanes between the two were made with the old ones, and are made anew.
    let renewed = || {
        let metrics = a.metrics();
        let mut lanes = metrics.lanes.iter().filter(|lane| lane.peer == "b");
        lanes.any(|lane| lane.closes.contains_key(&CloseReason::Renewed))
    };
    wait_until("they are made anew", renewed, |renewed| *renewed);
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    use_lane(&a, "b", "data", "nowhere");
}

#[test]
fn a_channel_is_for_the_peers_that_it_names() {
    let node = |name: &str, channel: ChannelConfig| start(config(name).channel(channel));
    let named = reliable("data").peers_allowed(NamePatterns::from(["web-*"]));
    let a = node("a", named);
    let (web, other) = (
        node("web-1", reliable("data")),
        node("other", reliable("data")),
    );
    for peer in [&web, &other] {
        connect_both(&a, peer);
    }
    let (handler, count) = counting_handler();
    a.handle("in", handler).expect("a mailbox");
    send(&web, "a", "in", b"hello".to_vec());
    let events = other.events();
    send(&other, "a", "in", b"hello".to_vec());
    let reason = wait_for_event(&events, "a refusal", |event| match event {
        Event::DialFailed {
            channel, reason, ..
        } if **channel == *"data" => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::PeerNotAllowed);
    let refused = || a.metrics().refused_connections;
    wait_until("the refusal", refused, |refused| {
        refused.contains_key(&CloseReason::PeerNotAllowed)
    });
    // Nor does it dial them on the channel.
    send(&a, "other", "in", b"hello".to_vec());
    let metrics = check_accounting(&[&a, &web, &other]);
    assert_eq!(counted(&metrics[0], "other", "data").reported, 1);
    assert_eq!(counted(&metrics[2], "a", "data").reported, 1);
    all_acknowledged(&metrics[1], "a", "data", 1);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_channel_reaches_the_mailboxes_that_it_names() {
    let named = reliable("data").mailboxes_allowed(NamePatterns::from(["open.*"]));
    let a = start(config("a").channel(named));
    let b = start(config("b").channel(reliable("data")));
    connect_both(&a, &b);
    let (handler, count) = counting_handler();
    for mailbox in ["open.1", "closed"] {
        a.handle(mailbox, handler.clone()).expect("a mailbox");
    }
    send(&b, "a", "open.1", b"hello".to_vec());
    send(&b, "a", "closed", b"hello".to_vec());
    // Made after its name was announced, it is as closed.
    send(&b, "a", "closed-too", b"hello".to_vec());
    a.handle("closed-too", handler).expect("a mailbox");
    send(&b, "a", "closed-too", b"hello".to_vec());
    let metrics = check_accounting(&[&a, &b]);
    let lane = counted(&metrics[1], "a", "data");
    assert_eq!((lane.acknowledged, lane.reported), (1, 3), "{lane:#?}");
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn a_channel_that_has_to_be_protected_is_on_no_plain_node() {
    let required = || reliable("data").security(ChannelSecurity::Required);
    let error = config("a")
        .channel(required())
        .build()
        .expect_err("it is plain");
    let said = error.to_string();
    assert!(
        said.contains("channel.data.security") && said.contains("psk"),
        "{said}"
    );
    let plain = start(config("a"));
    plain.add_channel(required()).expect_err("nor is it added");
    let protected = start(with_secrets(config("b"), &[SECRET]).channel(required()));
    protected.channel("data").expect("it is there");
}
