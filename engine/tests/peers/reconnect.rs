//! Lanes that come, go and come again: dials from both ends, cut and stalled connections, peers that
//! are not there. Whatever happens, every message is acknowledged or reported, and none comes twice.

use std::collections::HashMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::payload::{self, Streams};
use crate::support::{
    GENEROUS, config, connect_both, connect_through_proxy, reliable, start, wait_for_event,
    wait_until,
};
use overlane::wire::CloseReason;
use overlane::{Event, Events, Node, NotConnected, RecvError, SendError, WaitError};
use overlane_proxy::Proxy;

/// Who dialled each lane, by what the events say last.
fn dialled(events: &Events) -> HashMap<(String, u16), bool> {
    let mut lanes = HashMap::new();
    while let Some(event) = events.try_recv() {
        match event {
            Event::LaneUp {
                channel,
                lane,
                dialed,
                ..
            } => {
                lanes.insert((channel.to_string(), lane), dialed);
            }
            Event::LaneDown { channel, lane, .. } => {
                lanes.remove(&(channel.to_string(), lane));
            }
            _ => {}
        }
    }
    lanes
}

#[test]
fn when_both_ends_dial_one_connection_is_kept_per_lane_the_same_on_both() {
    let node = |name, shards| {
        let config = config(name).shards(shards);
        let config = config.channel(reliable("one")).channel(reliable("two"));
        start(config.channel(reliable("four").parallelism(4)))
    };
    for round in 0..25 {
        let (a, b) = (node("a", 1 + round % 2), node("b", 1 + round / 2 % 2));
        let (of_a, of_b) = (a.events(), b.events());
        thread::scope(|scope| {
            scope.spawn(|| a.connect("b", b.local_addr()));
            scope.spawn(|| b.connect("a", a.local_addr()));
        });
        a.wait_connected("b", GENEROUS).expect("lanes come up");
        b.wait_connected("a", GENEROUS).expect("lanes come up");
        thread::scope(|scope| {
            scope.spawn(|| use_all_lanes(&a, "b"));
            scope.spawn(|| use_all_lanes(&b, "a"));
        });
        let metrics = check_accounting(&[&a, &b]);
        for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
            for (channel, lanes) in [("one", 1), ("two", 1), ("four", 4)] {
                let out = counted(metrics, peer, channel);
                assert_eq!((out.accepted, out.refused), (lanes, lanes), "{out:#?}");
            }
        }
        for node in [&a, &b] {
            wait_until(
                "six connections are left, and the engine's own",
                || node.metrics(),
                |metrics| {
                    let connections: usize =
                        metrics.shards.iter().map(|shard| shard.connections).sum();
                    connections == 7
                },
            );
        }
        let (by_a, by_b) = (
            wait_until(
                "all lanes are told",
                || dialled(&of_a),
                |lanes| lanes.len() <= 7,
            ),
            dialled(&of_b),
        );
        for (lane, dialed) in &by_a {
            if let Some(by_peer) = by_b.get(lane) {
                assert_ne!(
                    dialed, by_peer,
                    "round {round}, lane {lane:?}: one end dialled"
                );
            }
        }
    }
}

/// A message on each lane, to a mailbox that nobody has.
fn use_all_lanes(node: &Node, peer: &str) {
    let to = node.destination(peer, "nowhere").expect("names");
    for (channel, lanes) in [("one", 1), ("two", 1), ("four", 4)] {
        let channel = node.channel(channel).expect("it is configured");
        for key in 0..lanes {
            channel.try_send(&to.with_key(key), b"x").expect("accepted");
        }
    }
}

/// Sends numbered messages on three keys until told to stop; says how many were accepted of each.
fn send_until(node: &Node, over: &AtomicBool) -> [u64; 3] {
    let channel = node.channel("data").expect("it is configured");
    let to = node.destination("b", "in").expect("names");
    let mut accepted = [0; 3];
    while !over.load(Ordering::Relaxed) {
        for (stream, accepted) in (0..).zip(&mut accepted) {
            let message = payload::numbered(stream, *accepted, 300);
            match channel.try_send(&to.with_key(stream), &message) {
                Ok(()) => *accepted += 1,
                Err(SendError::Full | SendError::Unreachable) => thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
    }
    accepted
}

/// Two nodes with a proxy between them, which `a` dials.
fn behind_a_proxy() -> (Node, Node, Proxy) {
    let channel = reliable("data").parallelism(3);
    let a = config("a").events_queue_max(1_usize << 18);
    let a = start(a.channel(channel.clone()));
    let b = start(config("b").channel(channel));
    let proxy = connect_through_proxy(&a, &b);
    (a, b, proxy)
}

#[test]
fn connections_cut_at_random_and_stalled_lose_nothing_unreported() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let (a, b, proxy) = behind_a_proxy();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let events = a.events();
    let over = AtomicBool::new(false);
    let mut streams = Streams::default();
    let accepted = thread::scope(|scope| {
        let sending = scope.spawn(|| send_until(&a, &over));
        for round in 0..40 {
            match round % 4 {
                0 => proxy.cut_each_after(random.u64(1000..200_000)),
                1 => proxy.cut(),
                2 => proxy.stall(true),
                _ => {
                    proxy.stall(false);
                    proxy.cut_each_after(0);
                }
            }
            // Between two disturbances something comes, unless it is stalled.
            let some = streams.received() + random.u64(1..2000);
            while streams.received() < some {
                let patience = if round % 4 == 2 {
                    Duration::ZERO
                } else {
                    GENEROUS
                };
                match inbox.recv_timeout(patience) {
                    Ok(message) => drop(streams.take_after_gap(message.payload())),
                    Err(RecvError::TimedOut) if round % 4 == 2 => break,
                    Err(error) => {
                        panic!("nothing comes any more in round {round}, seed {seed}: {error}")
                    }
                }
            }
        }
        over.store(true, Ordering::Relaxed);
        sending.join().expect("no panic")
    });
    proxy.stall(false);
    proxy.cut_each_after(0);
    wait_until(
        "everything is settled",
        || {
            while let Some(message) = inbox.try_recv() {
                streams.take_after_gap(message.payload());
            }
            a.metrics()
        },
        |metrics| counted(metrics, "b", "data").is_drained(),
    );
    while let Some(message) = inbox.try_recv() {
        streams.take_after_gap(message.payload());
    }
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "data");
    assert_eq!(out.accepted, accepted.iter().sum::<u64>());
    assert_eq!(
        counted(&metrics[1], "a", "data").delivered,
        streams.received()
    );
    assert!(
        out.reported > 0,
        "some were on the way when lanes ended: {out:#?}"
    );
    // The events told of each one that was reported, and none of those that were said to be
    // undelivered was delivered.
    let (mut undelivered_told, mut unknown_told) = (0, 0);
    wait_for_event(&events, "all that was reported is told", |event| {
        match event {
            Event::LaneDown {
                undelivered,
                unknown,
                ..
            } => {
                undelivered_told += undelivered;
                unknown_told += unknown;
            }
            Event::Reported { undelivered, .. } => undelivered_told += undelivered,
            Event::Missed { events } => panic!("{events} events were missed"),
            _ => {}
        }
        (undelivered_told + unknown_told >= out.reported).then_some(())
    });
    assert_eq!(undelivered_told + unknown_told, out.reported, "{out:#?}");
    assert!(
        streams.received() <= out.acknowledged + unknown_told,
        "{} came, {unknown_told} unknown: {out:#?}",
        streams.received()
    );
    a.wait_connected("b", GENEROUS)
        .expect("lanes come up again");
}

#[test]
fn a_restarted_peer_gets_all_of_its_lanes_although_the_old_ones_look_alive() {
    let channel = || reliable("data").parallelism(3);
    let a = start(config("a").channel(channel()));
    let old = start(config("b").incarnation(1_u64).channel(channel()));
    // `a` is not told that b has gone: its host lost power, say.
    let proxy = Proxy::start(old.local_addr()).expect("a free port");
    proxy.keep_half_open();
    a.connect("b", proxy.address()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("lanes come up");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "nowhere").expect("names");
    for key in 0..3 {
        data.try_send(&to.with_key(key), b"x").expect("accepted");
    }
    crate::support::drained(&a);
    let events = a.events();
    proxy.stall(true);
    drop(old);
    let new = start(config("b").incarnation(2_u64).channel(channel()));
    new.connect("a", a.local_addr()).expect("a name");
    new.wait_connected("a", GENEROUS).expect("it is let in");
    let mut replaced = 0;
    // Of b: that it is down, or up with which incarnation.
    let mut told = Vec::new();
    wait_for_event(&events, "all lanes are replaced", |event| {
        match event {
            Event::LaneDown { reason, .. } => {
                assert_eq!(*reason, CloseReason::IdleTimeout);
                replaced += 1;
            }
            Event::PeerDown { reason, .. } => {
                assert_eq!(*reason, CloseReason::IdleTimeout);
                told.push(None);
            }
            Event::PeerUp { incarnation, .. } => told.push(Some(*incarnation)),
            _ => {}
        }
        // One is the engine's own.
        (replaced == 4 && told.last() == Some(&Some(2))).then_some(())
    });
    assert_eq!(
        told,
        [None, Some(2)],
        "one process after the other, each once"
    );
    let peer = a.connect("b", new.local_addr()).expect("a name");
    assert_eq!(peer.incarnation(), 2);
    check_accounting(&[&a, &new]);
}

#[test]
fn an_address_where_nobody_listens_is_dialled_until_somebody_does() {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let a = start(config("a").channel(reliable("data")).peer("b", address));
    let events = a.events();
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    assert_eq!(channel.try_send(&to, b"x"), Err(SendError::Unreachable));
    assert_eq!(
        channel.send_blocking(&to, b"x"),
        Err(SendError::Unreachable)
    );
    for _ in 0..3 {
        wait_for_event(&events, "a dial fails", |event| match event {
            Event::DialFailed { reason, peer, .. } => {
                assert_eq!((peer.name(), *reason), ("b", CloseReason::ConnectRefused));
                Some(())
            }
            _ => None,
        });
    }
    let failed = a.wait_connected("b", Duration::from_millis(1));
    assert!(matches!(
        failed,
        Err(WaitError::NotConnected(NotConnected { lanes_up: 0, .. }))
    ));
    let b = start(config("b").channel(reliable("data")).listen(address));
    let (handler, _) = crate::support::counting_handler();
    b.handle("in", handler).expect("a mailbox");
    a.wait_connected("b", GENEROUS).expect("the lane comes up");
    channel.try_send(&to, b"x").expect("accepted");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 1);
    let dialled = counted(&metrics[0], "b", crate::support::CONTROL);
    assert!(
        dialled.closes[&CloseReason::ConnectRefused] >= 3,
        "{dialled:#?}"
    );
}

#[test]
fn a_peer_without_a_channel_has_the_others() {
    let a = config("a")
        .channel(reliable("data"))
        .channel(reliable("extra"));
    let a = start(a);
    let b = start(config("b").channel(reliable("data")));
    let events = a.events();
    let (handler, _) = crate::support::counting_handler();
    b.handle("in", handler).expect("a mailbox");
    a.connect("b", b.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("it is there");
    let to = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    let extra = a.channel("extra").expect("it is configured");
    data.try_send(&to, b"x").expect("accepted");
    // Its first message shows it.
    extra.try_send(&to, b"x").expect("accepted");
    wait_for_event(&events, "the channel is refused", |event| match event {
        Event::DialFailed {
            channel,
            reason,
            detail,
            ..
        } => {
            assert_eq!(
                (&**channel, *reason),
                ("extra", CloseReason::ChannelUnknown)
            );
            assert!(!detail.is_empty());
            Some(())
        }
        _ => None,
    });
    wait_for_event(&events, "its message is reported", |event| match event {
        Event::Reported {
            channel,
            undelivered,
            why,
            ..
        } => {
            let why_not = CloseReason::ChannelUnknown.sentence();
            assert_eq!((&**channel, *undelivered, *why), ("extra", 1, why_not));
            Some(())
        }
        _ => None,
    });
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 1);
    let out = counted(&metrics[0], "b", "extra");
    assert_eq!((out.accepted, out.reported), (1, 1), "{out:#?}");
}

#[test]
fn a_disconnected_peer_stays_away_until_it_is_connected_again() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data")));
    connect_both(&a, &b);
    let events = a.events();
    let of_b = b.events();
    a.disconnect("b").expect("a name");
    let down = wait_for_event(&events, "the lane ends", |event| match event {
        Event::LaneDown { reason, .. } => Some(*reason),
        _ => None,
    });
    assert_eq!(down, CloseReason::Disconnected);
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    assert_eq!(channel.try_send(&to, b"x"), Err(SendError::Unreachable));
    // `b` goes on dialling, and is told why it is turned away.
    wait_for_event(&of_b, "b is refused", |event| match event {
        Event::DialFailed { reason, .. } => {
            (*reason == CloseReason::PeerDisconnected).then_some(())
        }
        _ => None,
    });
    connect_both(&a, &b);
    check_accounting(&[&a, &b]);
}
