//! Lanes that are made anew because secrets or certificates have changed: under traffic on channels of every kind, with
//! streams and requests under way, and where the new ones do not fit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use overlane::config::{
    ChannelConfig, ConfigBuilder, Ordering as Order, Overflow, PskConfig, Reliability,
    SecurityMode, TlsConfig,
};
use overlane::wire::CloseReason;
use overlane::{Event, Events, Node, OwnedMessage, SendError};

use crate::support::accounting::check_accounting;
use crate::support::authority::{Authority, Folder};
use crate::support::{
    Ends, GENEROUS, config, connect_both, counting_handler, reliable, start, use_lane,
    wait_for_event, wait_until,
};

pub(crate) const OLD: &str = "the secret that all of them have";
pub(crate) const NEW: &str = "the secret that they change to";
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

pub(crate) fn with_secret_file(name: &str, folder: &Folder, secrets: &[&str]) -> ConfigBuilder {
    let secret_file = folder.write(name, &secrets.join("\n"));
    config(name)
        .security(SecurityMode::Psk)
        .psk(PskConfig { secret_file })
        .security_reload_ms(0)
}

pub(crate) fn with_certificate(
    name: &str,
    folder: &Folder,
    authority: &Authority,
) -> ConfigBuilder {
    let [certificate, key, authorities] = folder.node(name, &authority.certify(name), authority);
    config(name)
        .security(SecurityMode::Tls)
        .security_reload_ms(0)
        .tls(TlsConfig {
            certificate,
            key,
            authorities,
            ..TlsConfig::default()
        })
}

pub(crate) fn guaranteed() -> ChannelConfig {
    reliable("kept")
        .reliability(Reliability::Guaranteed)
        .overflow(Overflow::Block)
}

/// One of each kind that holds its messages in another way.
fn channels(config: ConfigBuilder) -> ConfigBuilder {
    config
        .channel(guaranteed().parallelism(2))
        .channel(reliable("told").overflow(Overflow::Block))
        .channel(reliable("newest").ordering(Order::Monotonic))
}

/// How often lanes of a node have been made anew, and that none has ended for another reason.
fn renewed(node: &Node) -> u64 {
    let metrics = node.metrics();
    let mut renewed = 0;
    for lane in &metrics.lanes {
        for (reason, count) in &lane.closes {
            let is_from_start = [CloseReason::SimultaneousDial, CloseReason::AlreadyUp];
            if *reason == CloseReason::Renewed {
                renewed += count;
            } else {
                let is_allowed = is_from_start.contains(reason);
                let (node, peer, channel) = (node.name(), &lane.peer, &lane.channel);
                let closes = &lane.closes;
                assert!(is_allowed, "{node}: {channel} to {peer}: {closes:?}");
            }
        }
    }
    renewed
}

/// Waits until the control lanes to the four others have been made anew at least `times`.
fn wait_renewed(node: &Node, times: u64) {
    for peer in NAMES.into_iter().filter(|peer| *peer != node.name()) {
        wait_until(
            "its lanes are made anew",
            || {
                let metrics = node.metrics();
                let lanes = metrics.lanes.iter().filter(|lane| lane.peer == peer);
                let closes = lanes.filter_map(|lane| lane.closes.get(&CloseReason::Renewed));
                closes.max().copied().unwrap_or(0)
            },
            |most| *most >= times,
        );
    }
}

fn nothing_was_lost(events: &Events, node: &Node) {
    while let Some(event) = events.try_recv() {
        if let Event::Reported {
            peer, channel, why, ..
        } = &event
        {
            panic!("{}: {channel} to {}: {why}", node.name(), peer.name());
        }
        let is_down = matches!(event, Event::PeerDown { .. });
        assert!(!is_down, "{}: {event:?}", node.name());
        assert!(!matches!(event, Event::Missed { .. }), "too many events");
    }
}

fn traffic(node: &Node, over: &AtomicBool) -> u64 {
    let mut sent = 0;
    let channels = ["kept", "told", "newest"].map(|name| node.channel(name).expect("configured"));
    let to: Vec<_> = NAMES
        .iter()
        .filter(|name| **name != node.name())
        .map(|name| node.destination(name, "in").expect("names"))
        .collect();
    while !over.load(Ordering::Relaxed) {
        for to in &to {
            for channel in &channels[..2] {
                channel
                    .send_blocking(to, vec![1; 200])
                    .unwrap_or_else(|error| panic!("{} to {to:?}: {error}", node.name()));
                sent += 1;
            }
            match channels[2].try_send(to, &[2; 200]) {
                Ok(()) | Err(SendError::Full) => {}
                Err(error) => panic!("{} to {to:?}: {error}", node.name()),
            }
        }
        thread::sleep(Duration::from_micros(500));
    }
    sent
}

/// Five nodes, each of which sends to each other on all channels, while `steps` change what protects them.
fn rotate(nodes: &[Node], steps: &[&dyn Fn(&str)]) {
    let (handler, count) = counting_handler();
    let counted = Arc::new(AtomicU64::new(0));
    for node in nodes {
        let (handler, counted) = (handler.clone(), Arc::clone(&counted));
        let counts = move |shard: &mut overlane::ShardContext<'_>,
                           message: overlane::Message<'_>| {
            if message.payload()[0] == 1 {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            handler(shard, message);
        };
        node.handle("in", counts).expect("a mailbox");
    }
    for (place, node) in nodes.iter().enumerate() {
        // Of every pair one dials: the other has to be able to have its lanes made anew all the same.
        for peer in &nodes[place + 1..] {
            node.connect(peer.name(), peer.local_addr())
                .expect("a name");
        }
    }
    for node in nodes {
        for peer in NAMES.into_iter().filter(|peer| *peer != node.name()) {
            node.wait_connected(peer, GENEROUS).expect("lanes come up");
            use_lane(node, peer, "told", "in");
        }
    }
    let told = counted.load(Ordering::Relaxed);
    let events: Vec<_> = nodes.iter().map(Node::events).collect();
    let over = AtomicBool::new(false);
    let sent: u64 = thread::scope(|scope| {
        let ends = Ends(&over);
        let senders: Vec<_> = { nodes.iter() }
            .map(|node| {
                let over = &over;
                scope.spawn(move || traffic(node, over))
            })
            .collect();
        wait_until(
            "messages flow",
            || count.load(Ordering::Relaxed),
            |count| *count > 500,
        );
        for (round, step) in steps.iter().enumerate() {
            for node in nodes {
                step(node.name());
                assert_eq!(node.reload_security(), Ok(true));
            }
            for node in nodes {
                wait_renewed(node, round as u64 + 1);
            }
        }
        drop(ends);
        senders
            .into_iter()
            .map(|sender| sender.join().expect("no panic"))
            .sum()
    });
    let all: Vec<_> = nodes.iter().collect();
    let metrics = check_accounting(&all);
    let reported: u64 = { metrics.iter() }
        .flat_map(|metrics| metrics.lanes.iter())
        .filter(|lane| *lane.channel != *"newest")
        .map(|lane| lane.reported)
        .sum();
    assert_eq!(reported, 0);
    assert_eq!(counted.load(Ordering::Relaxed) - told, sent, "each once");
    for (node, events) in nodes.iter().zip(&events) {
        assert!(renewed(node) > 0);
        nothing_was_lost(events, node);
    }
}

#[test]
fn lanes_are_made_anew_with_a_new_secret_and_nothing_is_lost() {
    let folder = Folder::new();
    let nodes = NAMES.map(|name| {
        let config = with_secret_file(name, &folder, &[OLD]).events_queue_max(1 << 16);
        start(channels(config))
    });
    let write = |secrets: &'static [&'static str]| {
        let folder = &folder;
        move |name: &str| drop(folder.write(name, &secrets.join("\n")))
    };
    rotate(
        &nodes,
        &[&write(&[OLD, NEW]), &write(&[NEW, OLD]), &write(&[NEW])],
    );
}

#[test]
fn lanes_are_made_anew_with_new_certificates_and_nothing_is_lost() {
    let (old, new, folder) = (Authority::new("old"), Authority::new("new"), Folder::new());
    let nodes = NAMES.map(|name| {
        let config = with_certificate(name, &folder, &old).events_queue_max(1 << 16);
        // Lanes and their sessions are handed from shard to shard.
        start(channels(config.shards(2)))
    });
    let trust = |authorities: String| {
        let folder = &folder;
        move |name: &str| drop(folder.write(&format!("{name}.authorities"), &authorities))
    };
    let certify = |name: &str| {
        let certified = new.certify(name);
        folder.write(&format!("{name}.key"), &certified.key);
        folder.write(&format!("{name}.crt"), &certified.certificate);
    };
    rotate(
        &nodes,
        &[
            &trust(format!("{}{}", old.pem(), new.pem())),
            &certify,
            &trust(new.pem().to_owned()),
        ],
    );
}

#[test]
fn streams_and_requests_go_on_in_a_new_session() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| {
        let config = with_secret_file(name, &folder, &[OLD, NEW]);
        start(config.channel(reliable("data").overflow(Overflow::Block)))
    });
    connect_both(&a, &b);
    let (asked, asking) = std::sync::mpsc::channel();
    let back = b.channel("data").expect("it is configured");
    b.handle("slow", move |_, request| {
        let asker = request.reply_handle().expect("it is a request");
        asked.send(asker.to_owned()).expect("the test waits");
    })
    .expect("a mailbox");
    let mut accepting = b.streams("files").expect("a name");
    let channel = a.channel("data").expect("it is configured");
    let files = a.destination("b", "files").expect("names");
    let slow = a.destination("b", "slow").expect("names");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let ends = Ends(&over);
        let mut writer = channel.open_stream(&files).expect("the peer is there");
        let writing = scope.spawn(|| {
            let mut written = 0;
            while !over.load(Ordering::Relaxed) {
                let chunk = vec![3; 50_000];
                writer
                    .write_bytes_blocking(chunk.into())
                    .expect("it is read");
                written += 50_000;
            }
            writer.finish_blocking().expect("it is read to its end");
            written
        });
        let mut reader = accepting.accept_blocking().expect("a stream is opened");
        let reading = scope.spawn(move || {
            let mut read = 0;
            while let Some(chunk) = reader.read_chunk_blocking().expect("it goes on") {
                read += chunk.len();
            }
            read
        });
        for round in 1..=6 {
            let request = scope.spawn(|| channel.request_blocking(&slow, b"well?", GENEROUS));
            let asker = asking.recv_timeout(GENEROUS).expect("it comes");
            // One of them at a time, or both.
            for node in [&a, &b].iter().take(1 + round % 2) {
                let order = if round % 4 < 2 {
                    [OLD, NEW]
                } else {
                    [NEW, OLD]
                };
                // Empty lines do not count, and make another file of it.
                let text = order.join("\n") + &"\n".repeat(round);
                folder.write(node.name(), &text);
                assert_eq!(node.reload_security(), Ok(true));
            }
            let times = || {
                let metrics = a.metrics();
                let data = metrics.channel("b", "data");
                data.and_then(|data| data.closes.get(&CloseReason::Renewed).copied())
            };
            wait_until("its lane is made anew", times, |times| {
                *times >= Some(round as u64)
            });
            back.try_reply(&asker, b"well").expect("there is room");
            let reply: OwnedMessage = request.join().expect("no panic").expect("a reply");
            assert_eq!(reply.payload(), b"well");
        }
        drop(ends);
        let (written, read) = (
            writing.join().expect("no panic"),
            reading.join().expect("no panic"),
        );
        assert_eq!(written, read);
    });
    check_accounting(&[&a, &b]);
}

/// A node dials with a secret that the other does not have: it is told, and the lanes that are up stay up while theirs is good.
#[test]
fn where_the_new_secret_does_not_fit_the_other_lanes_stay_up() {
    let folder = Folder::new();
    let [a, b] =
        ["a", "b"].map(|name| start(with_secret_file(name, &folder, &[OLD]).channel(guaranteed())));
    // `b` cannot dial `a`, who would take the old one.
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    use_lane(&a, "b", "kept", "nowhere");
    let events = a.events();
    folder.write("a", &format!("{NEW}\n{OLD}"));
    assert_eq!(a.reload_security(), Ok(true));
    let reason = wait_for_event(&events, "a failed dial", |event| match event {
        Event::DialFailed { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(reason, CloseReason::SecretWrong);
    use_lane(&a, "b", "kept", "nowhere");
    let metrics = check_accounting(&[&a, &b]);
    let kept = metrics[0].channel("b", "kept").expect("it was used");
    assert!(kept.closes.is_empty(), "{kept:#?}");
    // As soon as it fits, all go on.
    folder.write("a", &format!("{OLD}\n{NEW}"));
    assert_eq!(a.reload_security(), Ok(true));
    let times = || {
        let metrics = a.metrics();
        let kept = metrics.channel("b", "kept").expect("it was used");
        kept.closes.get(&CloseReason::Renewed).copied()
    };
    wait_until("its lane is made anew", times, |times| *times == Some(1));
    a.wait_connected("b", GENEROUS).expect("it is there");
    use_lane(&a, "b", "kept", "nowhere");
    check_accounting(&[&a, &b]);
}
