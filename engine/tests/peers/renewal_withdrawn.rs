//! Lanes whose secret or authority has been taken away: of those who have nothing else they end, each for its own reason, beside
//! traffic of those who have; who is only slow has time; and a handshake that was under way brings no lane that stays.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use overlane::config::{ConfigBuilder, Overflow};
use overlane::wire::CloseReason;
use overlane::{Event, Metrics, Node};
use overlane_proxy::Direction;

use crate::renewal::{NEW, OLD, guaranteed, with_certificate, with_secret_file};
use crate::support::accounting::check_accounting;
use crate::support::authority::{Authority, Folder};
use crate::support::{
    Ends, GENEROUS, connect_both, connect_through_proxy, counting_handler, reliable, start,
    use_lane, wait_for_event, wait_until,
};

/// Those who change, and one who does not.
const NAMES: [&str; 4] = ["a", "b", "c", "late"];
const CHANGE: [&str; 3] = ["a", "b", "c"];

/// A dial takes no longer than that: so long lanes wait for what cannot be.
fn impatient(config: ConfigBuilder) -> ConfigBuilder {
    config.connect_timeout_ms(500).handshake_deadline_ms(500)
}

fn closes(metrics: &Metrics, peer: &str, channel: &str, reason: CloseReason) -> u64 {
    let lane = metrics.channel(peer, channel);
    let count = lane.and_then(|lane| lane.closes.get(&reason).copied());
    count.unwrap_or(0)
}

/// The lane of a channel of `node` to `peer` ends for that reason, which is counted as well.
fn ends_for(node: &Node, peer: &str, channel: &str, reason: CloseReason) {
    let what = format!("{channel} of {} to {peer} ends: {reason}", node.name());
    wait_until(
        &what,
        || {
            let metrics = node.metrics();
            let lane = metrics.channel(peer, channel);
            lane.map(|lane| lane.closes.clone())
        },
        |closes| {
            closes
                .as_ref()
                .is_some_and(|closes| closes.contains_key(&reason))
        },
    );
}

/// Lanes of `node` to `peer` that are up.
fn lanes_up(node: &Node, peer: &str) -> u32 {
    let peers = node.peers();
    let known = peers.iter().find(|known| known.peer.name() == peer);
    known.map_or(0, |known| known.lanes_up)
}

/// All of them have lanes of `kept` to each other.
fn connect_all(nodes: &[Node]) {
    for (place, node) in nodes.iter().enumerate() {
        for peer in &nodes[place + 1..] {
            connect_both(node, peer);
            use_lane(node, peer.name(), "kept", "nowhere");
        }
    }
}

/// Sends to all others until it is over; how many messages each of them was sent.
fn send_to_others(node: &Node, over: &AtomicBool) -> Vec<(&'static str, u64)> {
    let channel = node.channel("kept").expect("configured");
    let others = NAMES.into_iter().filter(|name| *name != node.name());
    let mut sent: Vec<_> = others.map(|name| (name, 0)).collect();
    while !over.load(Ordering::Relaxed) {
        for (name, count) in &mut sent {
            let to = node.destination(name, "in").expect("names");
            // To who is gone there may be no room: he has to cost the others nothing.
            let accepted = channel.try_send(&to, &[1; 200]);
            let is_his = [*name, node.name()].contains(&"late");
            assert!(accepted.is_ok() || is_his, "{name}: {accepted:?}");
            *count += u64::from(accepted.is_ok());
        }
        thread::sleep(Duration::from_micros(500));
    }
    sent
}

/// Three nodes change their secret in three steps, under traffic; the fourth has never heard of the new one. In the second step he costs
/// only control lanes; in the third all his lanes end, and nothing between the others is lost. Once he has the new one, he has
/// all that waited for him.
#[test]
fn lanes_of_who_has_nothing_but_a_retired_secret_end_under_traffic() {
    let folder = Folder::new();
    let nodes = NAMES.map(|name| {
        let config = impatient(with_secret_file(name, &folder, &[OLD]));
        // What waits for him for the time of the test.
        let kept = guaranteed().queue_bytes_max(64 << 20);
        start(config.events_queue_max(1 << 16).channel(kept))
    });
    let counts: Vec<Arc<AtomicU64>> = { nodes.iter() }
        .map(|node| {
            let (handler, count) = counting_handler();
            node.handle("in", handler).expect("a mailbox");
            count
        })
        .collect();
    connect_all(&nodes);
    let events: Vec<_> = nodes.iter().map(Node::events).collect();
    let over = AtomicBool::new(false);
    let sent = thread::scope(|scope| {
        let ends = Ends(&over);
        let senders: Vec<_> = { nodes.iter() }
            .map(|node| {
                let over = &over;
                scope.spawn(move || send_to_others(node, over))
            })
            .collect();
        for (round, secrets) in [&[OLD, NEW][..], &[NEW, OLD], &[NEW]].iter().enumerate() {
            for (node, name) in nodes.iter().zip(CHANGE) {
                folder.write(name, &secrets.join("\n"));
                assert_eq!(node.reload_security(), Ok(true));
            }
            for (node, name) in nodes.iter().zip(CHANGE) {
                for peer in CHANGE.into_iter().filter(|peer| *peer != name) {
                    let renewed = || closes(&node.metrics(), peer, "kept", CloseReason::Renewed);
                    wait_until("its lanes are made anew", renewed, |renewed| {
                        *renewed > round as u64
                    });
                }
            }
            // He is let in still, and lets them in: his lanes are made anew too, and carry.
            for node in nodes[..3].iter().filter(|_| round < 2) {
                let of_late = || {
                    let metrics = node.metrics();
                    let lane = metrics.channel("late", "kept").expect("it is used");
                    let renewed = lane.closes.get(&CloseReason::Renewed).copied();
                    (renewed.unwrap_or(0), lane.acknowledged)
                };
                let (_, before) = wait_until("his lane is made anew", of_late, |(renewed, _)| {
                    *renewed > round as u64
                });
                wait_until("it carries", of_late, |(_, now)| *now > before + 10);
                let ended = closes(&node.metrics(), "late", "kept", CloseReason::SecretRetired);
                assert_eq!(ended, 0, "the old secret is good still");
            }
        }
        for node in &nodes[..3] {
            ends_for(node, "late", "kept", CloseReason::SecretRetired);
        }
        for node in &nodes[..3] {
            wait_until("he is gone", || lanes_up(node, "late"), |up| *up == 0);
        }
        // He is let in again with the new one.
        folder.write("late", NEW);
        assert_eq!(nodes[3].reload_security(), Ok(true));
        for node in &nodes[..3] {
            node.wait_connected("late", GENEROUS).expect("he is back");
        }
        drop(ends);
        let senders = senders.into_iter();
        senders
            .flat_map(|sender| sender.join().expect("no panic"))
            .collect::<Vec<_>>()
    });
    let all: Vec<_> = nodes.iter().collect();
    check_accounting(&all);
    for (name, count) in NAMES.iter().zip(&counts) {
        let sent: u64 = { sent.iter() }
            .filter(|(to, _)| to == name)
            .map(|(_, sent)| sent)
            .sum();
        assert_eq!(count.load(Ordering::Relaxed), sent, "{name}: each once");
    }
    for (node, events) in nodes[..3].iter().zip(&events) {
        let mut told = Vec::new();
        while let Some(event) = events.try_recv() {
            match event {
                Event::Reported { .. } | Event::Missed { .. } => panic!("{event:?}"),
                Event::LaneDown {
                    peer,
                    reason: CloseReason::SecretRetired,
                    ..
                } => told.push(peer.name().to_owned()),
                Event::PeerDown { peer, .. } => assert_eq!(peer.name(), "late"),
                _ => {}
            }
        }
        assert_eq!(told, ["late"], "{}", node.name());
    }
}

/// The same of an authority: who has a certificate of the old one alone is gone once that is trusted no more, also where the new one has
/// its name.
#[test]
fn lanes_of_who_is_certified_by_an_authority_that_is_trusted_no_more_end() {
    for name in ["new", "old"] {
        let (old, new) = (Authority::new("old"), Authority::new(name));
        let folder = Folder::new();
        let [a, b, late] = ["a", "b", "late"].map(|name| {
            let config = impatient(with_certificate(name, &folder, &old));
            start(config.channel(reliable("data")))
        });
        for peer in [&b, &late] {
            connect_both(&a, peer);
            use_lane(&a, peer.name(), "data", "nowhere");
        }
        let both = format!("{}{}", old.pem(), new.pem());
        let certified = ["a", "b"].map(|name| (name, new.certify(name)));
        for node in [&a, &b, &late] {
            folder.write(&format!("{}.authorities", node.name()), &both);
            assert_eq!(node.reload_security(), Ok(true));
        }
        for ((name, certified), node) in certified.iter().zip([&a, &b]) {
            folder.write(&format!("{name}.key"), &certified.key);
            folder.write(&format!("{name}.crt"), &certified.certificate);
            assert_eq!(node.reload_security(), Ok(true));
        }
        // So that its lane is up at each moment that it can be.
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ends = Ends(&over);
            scope.spawn(|| {
                let to = a.destination("late", "nowhere").expect("names");
                let data = a.channel("data").expect("it is configured");
                while !over.load(Ordering::Relaxed) {
                    let _ = data.try_send(&to, b"x");
                    thread::sleep(Duration::from_millis(1));
                }
            });
            let reported = || {
                let metrics = a.metrics();
                metrics.channel("late", "data").map(|lane| lane.reported)
            };
            let before = reported();
            wait_until("it carries", reported, |now| {
                *now > before.map(|it| it + 10)
            });
            let untrusted = CloseReason::CertificateUntrusted;
            assert_eq!(closes(&a.metrics(), "late", "data", untrusted), 0);
            folder.write("a.authorities", new.pem());
            assert_eq!(a.reload_security(), Ok(true));
            ends_for(&a, "late", "data", untrusted);
        });
        wait_until("he is gone", || lanes_up(&a, "late"), |up| *up == 0);
        use_lane(&a, "b", "data", "nowhere");
        let metrics = check_accounting(&[&a, &b, &late]);
        let lane = metrics[0].channel("b", "data").expect("it is used");
        let is_lost = lane.closes.contains_key(&CloseReason::CertificateUntrusted);
        assert!(!is_lost, "{lane:#?}");
    }
}

/// An application that does not read holds the renewal of a lane; where the secret is retired that has an end, and nothing that is kept is
/// lost by it.
#[test]
fn a_lane_that_cannot_be_made_anew_in_time_ends_with_its_secret() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| {
        let config = impatient(with_secret_file(name, &folder, &[OLD, NEW]));
        start(
            config.channel(
                guaranteed()
                    .queue_bytes_max(4 << 20)
                    .overflow(Overflow::Block),
            ),
        )
    });
    connect_both(&a, &b);
    let mut inbox = a.inbox_of("in", 64 << 10).expect("a mailbox");
    let to = b.destination("a", "in").expect("names");
    let channel = b.channel("kept").expect("configured");
    for number in 0..400_u64 {
        let payload = [&number.to_le_bytes()[..], &[0; 1000]].concat();
        channel.try_send(&to, &payload).expect("there is room");
    }
    let is_full = || a.metrics().channel("b", "kept").map(|lane| lane.delivered);
    let mut before = None;
    wait_until(
        "its inbox is full",
        || {
            thread::sleep(Duration::from_millis(50));
            let now = is_full();
            std::mem::replace(&mut before, now) == now && now > Some(0)
        },
        |is_still| *is_still,
    );
    // `b` takes both, and dials with the old one still.
    folder.write("a", NEW);
    assert_eq!(a.reload_security(), Ok(true));
    ends_for(&a, "b", "kept", CloseReason::SecretRetired);
    // It dials with the new one from here on.
    folder.write("b", NEW);
    assert_eq!(b.reload_security(), Ok(true));
    for number in 0..400_u64 {
        let message = inbox.recv_timeout(GENEROUS).expect("each comes");
        let read = u64::from_le_bytes(*message.payload().first_chunk().expect("a number"));
        assert_eq!(read, number, "each once, in its order");
    }
    check_accounting(&[&a, &b]);
}

/// What has begun with the old secret may be finished with it, and is gone at once.
#[test]
fn a_handshake_that_was_under_way_when_its_secret_was_retired_brings_no_lane_that_stays() {
    let folder = Folder::new();
    let [a, b] = ["a", "b"].map(|name| start(with_secret_file(name, &folder, &[OLD])));
    let proxy = connect_through_proxy(&a, &b);
    let events = b.events();
    // The dialer's two messages take more than a second.
    proxy.set_rate(Direction::ToTarget, NonZeroU64::new(600));
    proxy.cut();
    wait_until("he is away", || lanes_up(&b, "a"), |lanes| *lanes == 0);
    let before = proxy.counts().bytes_from_target;
    let answered = || proxy.counts().bytes_from_target - before;
    wait_until("it has answered with the old", answered, |bytes| *bytes > 0);
    // What is said next waits until the secret is gone.
    proxy.stall(true);
    folder.write("b", NEW);
    assert_eq!(b.reload_security(), Ok(true));
    proxy.set_rate(Direction::ToTarget, None);
    proxy.stall(false);
    wait_for_event(&events, "a lane", |event| {
        matches!(event, Event::LaneUp { .. }).then_some(())
    });
    wait_for_event(&events, "its end", |event| {
        matches!(event, Event::LaneDown { .. }).then_some(())
    });
    wait_until("he is gone", || lanes_up(&b, "a"), |lanes| *lanes == 0);
}
