//! Channels that are removed: what they had accepted is delivered, or reported at the deadline, and nothing of
//! them is left.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use overlane::config::{ChannelConfig, Overflow, Reliability};
use overlane::wire::CloseReason;
use overlane::{ChannelError, Event, Metrics, Node, RemovedChannel, SendError, StreamError};

use super::{LONG, Load, channel, pair};
use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, config, connect_both, connect_through_proxy, counting_handler, drained, ends, start,
    wait_for_event, wait_until,
};

/// What a node counted on a channel that was removed.
fn removed<'m>(metrics: &'m Metrics, name: &str) -> &'m overlane::ChannelMetrics {
    let mut removed = metrics.removed.iter();
    removed
        .find(|channel| *channel.channel == *name)
        .unwrap_or_else(|| panic!("{name} was removed: {metrics:#?}"))
}

#[test]
fn removing_a_channel_drains_it() {
    for reliability in [
        Reliability::BestEffort,
        Reliability::Reliable,
        Reliability::AtLeastOnce,
        Reliability::Guaranteed,
    ] {
        let (a, b, count) = pair();
        let data = || channel("data", reliability).parallelism(3);
        b.add_channel(data()).expect("new");
        let sending = a.add_channel(data()).expect("new");
        let to = a.destination("b", "in").expect("names");
        let events = b.events();
        let mut accepted = 0;
        for key in 0..3000 {
            match sending.try_send(&to.with_key(key), vec![0; 500]) {
                Ok(()) => accepted += 1,
                Err(unsent) => assert_eq!(unsent.error, SendError::Full),
            }
        }
        let outcome = a.remove_channel("data", LONG).expect("it is there");
        let metrics = a.metrics();
        let out = removed(&metrics, "data");
        assert!(out.identity_holds() && out.is_drained(), "{out:#?}");
        if reliability == Reliability::BestEffort {
            assert_eq!(out.accepted, out.sent + out.dropped);
            assert_eq!(outcome.reported, 0);
        } else {
            assert_eq!(outcome, RemovedChannel::default());
            assert_eq!((out.acknowledged, out.reported), (accepted, 0), "{out:#?}");
            assert_eq!(count.load(Ordering::Relaxed), accepted, "{reliability:?}");
        }
        wait_for_event(&events, "the peer hears why", |event| match event {
            Event::LaneDown {
                channel, reason, ..
            } if &**channel == "data" => {
                assert_eq!(*reason, CloseReason::PeerRemovedChannel);
                Some(())
            }
            _ => None,
        });
        let unsent = sending.try_send(&to, vec![1]).expect_err("it is gone");
        assert_eq!(unsent.error, SendError::ChannelRemoved);
        assert_eq!(sending.capacity(&to), Err(SendError::ChannelRemoved));
        assert_eq!(
            sending.open_stream(&to).err(),
            Some(StreamError::Send(SendError::ChannelRemoved))
        );
        check_accounting(&[&a, &b]);
    }
}

#[test]
fn a_channel_is_removed_while_it_and_others_are_under_load() {
    let (a, b, count) = pair();
    let data = || channel("data", Reliability::Guaranteed).overflow(Overflow::Block);
    b.add_channel(data()).expect("new");
    let sending = a.add_channel(data()).expect("new");
    let to = a.destination("b", "in").expect("names");
    let load = Load::start(a.channel("base").expect("there"), to.clone(), 100);
    let senders: Vec<_> = (0..3)
        .map(|_| {
            let (sending, to) = (sending.clone(), to.clone());
            thread::spawn(move || {
                let mut accepted = 0_u64;
                loop {
                    match sending.send_blocking(&to, vec![1; 200]) {
                        Ok(()) => accepted += 1,
                        Err(unsent) => return (accepted, unsent.error),
                    }
                }
            })
        })
        .collect();
    wait_until(
        "messages flow",
        || count.load(Ordering::Relaxed),
        |count| *count > 1000,
    );
    let outcome = a.remove_channel("data", LONG).expect("it is there");
    assert!(outcome.is_drained(), "{outcome:?}");
    let mut accepted = 0;
    for sender in senders {
        let (sent, why) = sender.join().expect("no panic");
        assert_eq!(why, SendError::ChannelRemoved);
        accepted += sent;
    }
    let base = load.end();
    let metrics = check_accounting(&[&a, &b]);
    let out = removed(&metrics[0], "data");
    assert_eq!((out.accepted, out.acknowledged), (accepted, accepted));
    assert_eq!(count.load(Ordering::Relaxed), base + accepted);
    let base_out = counted(&metrics[0], "b", "base");
    assert_eq!((base_out.acknowledged, base_out.reported), (base, 0));
}

/// What the peer has not taken by the deadline is reported, and the removal ends soon after.
#[test]
fn a_deadline_ends_what_an_unreachable_peer_keeps_waiting() {
    for reliability in [Reliability::Reliable, Reliability::Guaranteed] {
        let node = |name| {
            start(
                config(name)
                    .channel(ChannelConfig::new("base"))
                    .channel(channel("data", reliability).resume_timeout_ms(600_000_u64)),
            )
        };
        let (a, b) = (node("a"), node("b"));
        let (handler, count) = counting_handler();
        b.handle("in", handler).expect("a mailbox");
        let proxy = connect_through_proxy(&a, &b);
        let sending = a.channel("data").expect("there");
        let to = a.destination("b", "in").expect("names");
        sending.try_send(&to, b"first").expect("room");
        drained(&a);
        assert_eq!(count.load(Ordering::Relaxed), 1);
        proxy.stall(true);
        for _ in 0..20 {
            sending.try_send(&to, b"stalled").expect("room");
        }
        let events = a.events();
        let asked = Instant::now();
        let outcome = a.remove_channel("data", Duration::from_millis(300));
        let outcome = outcome.expect("it is there");
        assert!(asked.elapsed() >= Duration::from_millis(300));
        assert_eq!(outcome.reported, 20, "{reliability:?}");
        wait_for_event(&events, "they are reported", |event| match event {
            Event::LaneDown {
                reason: CloseReason::DrainTimeout,
                undelivered,
                unknown,
                ..
            } => {
                assert_eq!(undelivered + unknown, 20);
                Some(())
            }
            _ => None,
        });
        wait_for_event(&events, "its end is told", |event| match event {
            Event::ChannelRemoved { reported, .. } => {
                assert_eq!(*reported, 20);
                Some(())
            }
            _ => None,
        });
        let metrics = a.metrics();
        let out = removed(&metrics, "data");
        assert_eq!((out.accepted, out.acknowledged, out.reported), (21, 1, 20));
        proxy.stall(false);
        drop(ends("the nodes end", move || (a, b)));
    }
}

#[test]
fn what_waits_for_a_peer_that_is_not_there_is_reported_at_the_deadline() {
    let a = start(
        config("a")
            .channel(ChannelConfig::new("base"))
            .channel(channel("data", Reliability::Guaranteed)),
    );
    let b = start(config("b").channel(channel("data", Reliability::Guaranteed)));
    connect_both(&a, &b);
    let sending = a.channel("data").expect("there");
    let to = a.destination("b", "nobody").expect("names");
    let (handler, _) = counting_handler();
    b.handle("nobody", handler).expect("a mailbox");
    sending.try_send(&to, b"first").expect("room");
    check_accounting(&[&a, &b]);
    drop(b);
    let mut kept = 0;
    wait_until(
        "it is kept for the peer",
        || {
            if sending.try_send(&to, b"kept").is_ok() {
                kept += 1;
            }
            kept
        },
        |kept| *kept == 5,
    );
    let outcome = a.remove_channel("data", Duration::from_millis(100));
    let outcome = outcome.expect("it is there");
    let metrics = a.metrics();
    let out = removed(&metrics, "data");
    assert!(out.identity_holds() && out.is_drained(), "{out:#?}");
    assert_eq!(out.accepted, out.acknowledged + out.reported);
    assert!(outcome.reported <= 5 && out.reported >= outcome.reported);
}

#[test]
fn a_name_is_free_for_a_channel_that_promises_otherwise() {
    let (a, b, count) = pair();
    let to = a.destination("b", "in").expect("names");
    let mut delivered = 0;
    let mut old = Vec::new();
    for reliability in [
        Reliability::BestEffort,
        Reliability::Guaranteed,
        Reliability::Reliable,
        Reliability::AtLeastOnce,
    ] {
        let data = || channel("data", reliability);
        b.add_channel(data()).expect("the name is free");
        let sending = a.add_channel(data()).expect("the name is free");
        for _ in 0..50 {
            sending.try_send(&to, b"x").expect("room");
        }
        delivered += 50;
        let came = || count.load(Ordering::Relaxed);
        wait_until("they come", came, |count| *count == delivered);
        check_accounting(&[&a, &b]);
        a.remove_channel("data", LONG).expect("it is there");
        b.remove_channel("data", LONG).expect("it is there");
        old.push(sending);
        for gone in &old {
            let unsent = gone.try_send(&to, b"x").expect_err("it is gone");
            assert_eq!(unsent, SendError::ChannelRemoved);
        }
    }
    let metrics = a.metrics();
    // Those that promise the same count together.
    assert_eq!(metrics.removed.len(), 2, "{:#?}", metrics.removed);
    assert!(metrics.identity_holds());
    let accepted: u64 = metrics.removed.iter().map(|out| out.accepted).sum();
    assert_eq!(accepted, delivered);
}

/// A channel handle that is older than the channel at its place neither sends on it nor counts there.
#[test]
fn an_old_handle_does_not_reach_the_channel_that_has_its_place() {
    let (a, b, count) = pair();
    let old = a.add_channel(ChannelConfig::new("old")).expect("new");
    a.remove_channel("old", LONG).expect("there");
    b.add_channel(ChannelConfig::new("next")).expect("new");
    let next = a.add_channel(ChannelConfig::new("next")).expect("new");
    let to = a.destination("b", "in").expect("names");
    next.try_send(&to, b"x").expect("room");
    let gone = old.clone();
    let other = to.clone();
    let (told, tells) = std::sync::mpsc::channel();
    for shard in 0..2 {
        let (gone, other, told) = (gone.clone(), other.clone(), told.clone());
        a.spawn_on_shard(shard, move |handle| async move {
            let sent = handle.try_send(&gone, &other, b"x");
            let many = handle.send_many(&gone, &other, &[b"x", b"y"]);
            told.send((sent.err(), many.err())).expect("it waits");
        })
        .expect("there is that shard");
    }
    for _ in 0..2 {
        let (sent, many) = tells.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(sent, Some(SendError::ChannelRemoved));
        assert_eq!(many, Some(SendError::ChannelRemoved));
    }
    assert_eq!(
        old.send_many(&to, &[b"x", b"y"]),
        Err(SendError::ChannelRemoved)
    );
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "next").accepted, 1);
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[test]
fn open_streams_and_requests_of_a_channel_end_with_it() {
    let (a, b, _) = pair();
    let data = || channel("data", Reliability::Guaranteed);
    b.add_channel(data()).expect("new");
    let sending = a.add_channel(data()).expect("new");
    let (hold, _) = counting_handler();
    b.handle("silent", hold).expect("a mailbox");
    let mut streams = b.streams("files").expect("a mailbox");
    let file = a.destination("b", "files").expect("names");
    let mut writer = sending.open_stream(&file).expect("it opens");
    std::io::Write::write_all(&mut writer, &[1; 1000]).expect("there is room");
    let mut reader = streams.accept_blocking().expect("it comes");
    let silent = a.destination("b", "silent").expect("names");
    let asking = sending.clone();
    let asked = thread::spawn(move || asking.request_blocking(&silent, b"?", LONG).err());
    wait_until(
        "the request is under way",
        || a.metrics().open_requests,
        |open| *open == 1,
    );
    let outcome = a.remove_channel("data", LONG).expect("there");
    assert!(outcome.is_drained(), "{outcome:?}");
    assert!(asked.join().expect("no panic").is_some());
    let error = writer.write_bytes_blocking(vec![2; 1000].into());
    let error = error.expect_err("its channel is gone").to_string();
    assert!(error.contains("removed"), "{error}");
    let mut ended = || reader.read_chunk_blocking().map(|chunk| chunk.is_some());
    while let Ok(true) = ended() {}
    assert!(ended().is_err(), "the end at the peer is no orderly one");
    // What this node counted of the other's words is with the channels that were removed.
    for node in [&a, &b] {
        drained(node);
    }
}

#[test]
fn a_removal_that_is_under_way_is_told_and_events_tell_each_change() {
    let (a, b, _) = pair();
    let events = a.events();
    b.add_channel(ChannelConfig::new("data")).expect("new");
    let sending = a.add_channel(ChannelConfig::new("data")).expect("new");
    let mut stuck = b.inbox_of("stuck", 128).expect("a mailbox");
    let to = a.destination("b", "stuck").expect("names");
    for _ in 0..100 {
        sending.try_send(&to, vec![0; 1000]).expect("room");
    }
    thread::scope(|scope| {
        let removing = scope.spawn(|| a.remove_channel("data", LONG));
        wait_until(
            "the removal has begun",
            || sending.try_send(&to, vec![0; 10]).err(),
            |error| {
                error
                    .as_ref()
                    .is_some_and(|unsent| unsent.error == SendError::ChannelRemoved)
            },
        );
        let leaving = || ChannelError::Leaving {
            name: "data".to_owned(),
        };
        let again = a.add_channel(ChannelConfig::new("data"));
        assert_eq!(again.err(), Some(leaving()));
        assert_eq!(a.remove_channel("data", LONG), Err(leaving()));
        // More were accepted before the removal began.
        wait_until(
            "all that was accepted is read, and the channel gone",
            || {
                drop(stuck.try_recv());
                removing.is_finished()
            },
            |gone| *gone,
        );
        let outcome = removing.join().expect("no panic").expect("it is there");
        assert!(outcome.is_drained(), "{outcome:?}");
    });
    let mut told = Vec::new();
    wait_for_event(&events, "each change is told", |event| {
        match event {
            Event::ChannelAdded { channel } => told.push(format!("+{channel}")),
            Event::ChannelRemoved { channel, .. } => told.push(format!("-{channel}")),
            _ => {}
        }
        (told == ["+data", "-data"]).then_some(())
    });
    check_accounting(&[&a, &b]);
}

/// The place of a channel is not given away as long as a message of it is unread.
#[test]
fn messages_that_are_unread_keep_the_name_of_their_channel() {
    let (a, b, _) = pair();
    let mut inbox = b.inbox("box").expect("a mailbox");
    let to = a.destination("b", "box").expect("names");
    for number in 0..10 {
        let name = format!("c{number}");
        b.add_channel(ChannelConfig::new(&name)).expect("new");
        let sending = a.add_channel(ChannelConfig::new(&name)).expect("new");
        sending.try_send(&to, name.as_bytes()).expect("room");
        check_accounting(&[&a, &b]);
        a.remove_channel(&name, LONG).expect("there");
        b.remove_channel(&name, LONG).expect("there");
    }
    for number in 0..10 {
        let message = inbox.recv_timeout(GENEROUS).expect("it came");
        assert_eq!(message.channel(), format!("c{number}"));
    }
}

/// Inboxes that are never read do not make a node hold more channels than it has places for.
#[test]
fn places_that_unread_messages_hold_are_bounded() {
    let node: Node = start(config("a").channel(ChannelConfig::new("base")));
    let mut inbox = node.inbox("box").expect("a mailbox");
    let to = node.destination("a", "box").expect("names");
    let mut added = 0;
    let error = loop {
        let name = format!("c{added}");
        let config = ChannelConfig::new(&name).ring_bytes(65_536_usize);
        match node.add_channel(config) {
            Ok(channel) => channel.try_send(&to, b"x").expect("room"),
            Err(error) => break error,
        }
        added += 1;
        assert!(added < 2 * overlane::config::CHANNELS_MAX, "{added}");
        node.remove_channel(&name, LONG).expect("there");
    };
    assert_eq!(error, ChannelError::StillInUse, "after {added}");
    for _ in 0..added {
        inbox.recv_timeout(GENEROUS).expect("it came");
    }
    node.add_channel(ChannelConfig::new("again")).expect("room");
    let metrics = node.metrics();
    assert!(metrics.identity_holds(), "{metrics:#?}");
}
