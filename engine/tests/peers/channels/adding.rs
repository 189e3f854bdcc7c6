//! Channels that are added: beside others under load, to be sent on in every way, and where a peer has them
//! later, or never.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;
use std::time::Duration;

use overlane::config::{ChannelConfig, Reliability};
use overlane::{ChannelError, Event, NameError, Node};

use super::{Load, channel, pair, ups_and_downs};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{
    GENEROUS, config, connect_both, counting_handler, ends, start, wait_for_event, wait_until,
};

#[test]
fn a_channel_is_added_while_another_is_under_load() {
    let (a, b, count) = pair();
    let events = a.events();
    let base = a.channel("base").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let load = Load::start(base, to.clone(), 100);
    let mut added = 0;
    for reliability in [
        Reliability::BestEffort,
        Reliability::Reliable,
        Reliability::AtLeastOnce,
        Reliability::Guaranteed,
    ] {
        for parallelism in [1, 3] {
            added += 1;
            let config = channel(&format!("added-{added}"), reliability)
                .parallelism(parallelism)
                .priority(added % 7 + 1);
            b.add_channel(config.clone()).expect("a new channel");
            let channel = a.add_channel(config).expect("a new channel");
            for key in 0..100_u64 {
                channel
                    .send_blocking(&to.with_key(key), b"hello")
                    .expect("the peer has it");
            }
        }
    }
    let base = load.end();
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "base", base);
    for number in 1..=added {
        let name = format!("added-{number}");
        let out = counted(&metrics[0], "b", &name);
        assert_eq!((out.accepted, out.reported, out.dropped), (100, 0, 0));
        assert_eq!(counted(&metrics[1], "a", &name).delivered, 100, "{name}");
    }
    let delivered = count.load(Ordering::Relaxed);
    assert_eq!(delivered, base + 100 * u64::from(added));
    assert_eq!(ups_and_downs(&events, "base"), (1, 0));
}

#[test]
fn streams_requests_and_receipts_go_over_a_channel_that_was_added() {
    let (a, b, _) = pair();
    let added = || channel("added", Reliability::Guaranteed);
    b.add_channel(added()).expect("a new channel");
    let channel = a.add_channel(added()).expect("a new channel");
    let replying = b.channel("added").expect("it was added");
    b.handle("ask", move |context, message| {
        let to = message.reply_handle().expect("it is a request");
        assert_eq!(message.channel(), "added");
        context.try_reply(&replying, &to, b"answer").expect("room");
    })
    .expect("a mailbox");
    let ask = a.destination("b", "ask").expect("names");
    let reply = channel
        .request_blocking(&ask, b"question", GENEROUS)
        .expect("it is answered");
    assert_eq!(
        (reply.payload(), reply.channel()),
        (&b"answer"[..], "added")
    );
    let to = a.destination("b", "in").expect("names");
    let mut receipt = channel
        .send_blocking_with_receipt(&to, b"x")
        .expect("there is room");
    receipt.wait(GENEROUS).expect("in time").expect("it came");

    let mut streams = b.streams("files").expect("a mailbox");
    let file = a.destination("b", "files").expect("names");
    let mut writer = channel.open_stream(&file).expect("it can be opened");
    let sent = vec![5; 3_000_000];
    let content = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&content).expect("it is read");
        writer.finish_blocking().expect("it is read to the end");
    });
    let mut reader = streams.accept_blocking().expect("one comes");
    assert_eq!(reader.channel(), "added");
    let mut received = Vec::new();
    reader.read_to_end(&mut received).expect("it goes on");
    writing.join().expect("no panic");
    assert!(received == sent);
    check_accounting(&[&a, &b]);
}

#[test]
fn an_inbox_tells_the_channels_that_were_added_by_name() {
    let (a, b, _) = pair();
    let mut inbox = b.inbox("box").expect("a mailbox");
    let to = a.destination("b", "box").expect("names");
    for name in ["first", "second"] {
        b.add_channel(ChannelConfig::new(name)).expect("new");
        let channel = a.add_channel(ChannelConfig::new(name)).expect("new");
        channel.send_blocking(&to, name.as_bytes()).expect("room");
        let message = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(message.channel(), name);
        assert_eq!(message.to_owned().channel(), name);
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn a_node_sends_to_itself_on_a_channel_that_was_added() {
    let node = start(config("a").shards(2).channel(ChannelConfig::new("base")));
    let (handler, count) = counting_handler();
    node.handle("in", handler).expect("a mailbox");
    let channel = node
        .add_channel(ChannelConfig::new("added").parallelism(4))
        .expect("a new channel");
    let to = node.destination("a", "in").expect("names");
    for key in 0..400 {
        channel
            .send_blocking(&to.with_key(key), b"x")
            .expect("room");
    }
    let metrics = check_accounting(&[&node]);
    all_acknowledged(&metrics[0], "a", "added", 400);
    assert_eq!(count.load(Ordering::Relaxed), 400);
}

/// Sends that a peer refuses for want of the channel are reported with the reason, at both nodes; once the peer
/// has it, they go.
#[test]
fn a_peer_that_has_the_channel_later_is_sent_to_then() {
    let (a, b, count) = pair();
    let (at_a, at_b) = (a.events(), b.events());
    let channel = a.add_channel(ChannelConfig::new("late")).expect("new");
    let to = a.destination("b", "in").expect("names");
    channel.try_send(&to, b"too early").expect("it is held");
    wait_for_event(&at_a, "the sender is told why", |event| match event {
        Event::Reported {
            channel,
            undelivered: 1,
            why,
            ..
        } if &**channel == "late" => {
            assert!(why.contains("has no such channel"), "{why}");
            Some(())
        }
        _ => None,
    });
    wait_for_event(&at_b, "the peer says why", |event| match event {
        Event::Refused { detail, .. } if detail.contains("late") => Some(()),
        _ => None,
    });
    b.add_channel(ChannelConfig::new("late")).expect("new");
    channel.send_blocking(&to, b"now").expect("there is room");
    let metrics = check_accounting(&[&a, &b]);
    let out = counted(&metrics[0], "b", "late");
    assert_eq!((out.acknowledged, out.reported), (1, 1));
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

/// What is kept until it is acknowledged waits for the peer to have the channel.
#[test]
fn guaranteed_messages_wait_for_a_peer_that_has_the_channel_later() {
    let (a, b, count) = pair();
    let late = || channel("late", Reliability::Guaranteed);
    let channel = a.add_channel(late()).expect("new");
    let to = a.destination("b", "in").expect("names");
    for _ in 0..10 {
        channel.try_send(&to, b"early").expect("it is held");
    }
    let events = b.events();
    wait_for_event(&events, "the peer refuses it", |event| {
        matches!(event, Event::Refused { .. }).then_some(())
    });
    b.add_channel(late()).expect("new");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "late", 10);
    assert_eq!(count.load(Ordering::Relaxed), 10);
}

#[test]
fn what_cannot_be_added_is_refused_and_changes_nothing() {
    let node = start(config("a").channel(ChannelConfig::new("base")));
    let refused = |channel: ChannelConfig| {
        let error = node.add_channel(channel).expect_err("it cannot be added");
        error.to_string()
    };
    for (bad, text) in [
        (ChannelConfig::new("base"), "named `base` already"),
        (ChannelConfig::new(""), "characters a-z"),
        (ChannelConfig::new("Data"), "characters a-z"),
        (ChannelConfig::new("x".repeat(256)), "1 to 255"),
        (
            ChannelConfig::new("overlane.control"),
            "begin with overlane.",
        ),
        (ChannelConfig::new("x").parallelism(65_u16), "parallelism"),
        (ChannelConfig::new("x").parallelism(0_u16), "parallelism"),
        (ChannelConfig::new("x").priority(0), "priority"),
        (
            ChannelConfig::new("x").ring_bytes(100_000_usize),
            "ring_bytes",
        ),
        (
            ChannelConfig::new("x").low_watermark_percent(90_u8),
            "low watermark",
        ),
        (
            channel("x", Reliability::Guaranteed).overflow(overlane::config::Overflow::DropOldest),
            "cannot be dropped",
        ),
    ] {
        let error = refused(bad);
        assert!(
            error.contains(text),
            "{error}, which says nothing of {text}"
        );
    }
    assert!(matches!(
        node.channel("x").expect_err("it was not added"),
        NameError::UnknownChannel { .. }
    ));
    let error = node.retune_channel("x", |channel| channel);
    assert!(matches!(error, Err(ChannelError::Unknown { .. })));
    let error = node.remove_channel("x", Duration::ZERO);
    assert!(matches!(error, Err(ChannelError::Unknown { .. })));
    let error = node.remove_channel("overlane.control", Duration::ZERO);
    assert!(matches!(error, Err(ChannelError::Unknown { .. })));
}

#[test]
fn there_are_as_many_channels_as_may_be_and_no_more() {
    let node = start(config("a").channel(ChannelConfig::new("base")));
    let small = |number| ChannelConfig::new(format!("c{number}")).ring_bytes(65_536_usize);
    for number in 1..overlane::config::CHANNELS_MAX {
        node.add_channel(small(number)).expect("there is room");
    }
    let error = node.add_channel(small(64)).expect_err("one too many");
    assert_eq!(error, ChannelError::TooMany { channels_max: 64 });
    node.remove_channel("c7", GENEROUS).expect("it is there");
    node.add_channel(small(64)).expect("there is room again");
}

#[test]
fn lanes_to_a_peer_are_bounded_by_its_connections() {
    let node = start(
        config("a")
            .channel(ChannelConfig::new("base"))
            .connections_max(16)
            .pending_handshakes_max(8),
    );
    let error = node.add_channel(ChannelConfig::new("wide").parallelism(20));
    let expected = ChannelError::TooManyLanes {
        lanes: 22,
        connections_max: 16,
    };
    assert_eq!(error.err(), Some(expected));
}

#[test]
fn a_shard_cannot_wait_for_itself_and_awaits_instead() {
    let node = start(config("a").channel(ChannelConfig::new("base")));
    let (to, outcome) = std::sync::mpsc::channel();
    let other: Node = start(config("b").channel(ChannelConfig::new("base")));
    other
        .spawn_on_shard(0, move |_| async move {
            let blocking = node.add_channel(ChannelConfig::new("x")).err();
            let awaited = node.add_channel_async(ChannelConfig::new("x")).await;
            let retuned = node
                .retune_channel_async("x", |is| is.priority(2))
                .await
                .map(|()| node.channel_config("x").expect("there").priority.0);
            let removed = node.remove_channel_async("x", GENEROUS).await;
            to.send((blocking, awaited.is_ok(), retuned, removed))
                .expect("it waits");
            drop(node);
        })
        .expect("there is that shard");
    let (blocking, added, retuned, removed) = outcome.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(blocking, Some(ChannelError::WouldDeadlock));
    assert!(added);
    assert_eq!(retuned, Ok(2));
    assert!(removed.is_ok_and(|outcome| outcome.is_drained()));
}

/// With the control shard on shard 0, which it shares.
#[test]
fn channels_change_where_the_control_shard_shares_a_thread() {
    let node = start(
        config("a")
            .control(overlane::config::ControlPlacement::Shared)
            .channel(ChannelConfig::new("base")),
    );
    let (handler, count) = counting_handler();
    node.handle("in", handler).expect("a mailbox");
    let to = node.destination("a", "in").expect("names");
    for _ in 0..20 {
        let channel = node.add_channel(ChannelConfig::new("x")).expect("new");
        channel.try_send(&to, b"x").expect("room");
        node.retune_channel("x", |is| is.priority(2))
            .expect("there");
        let outcome = node.remove_channel("x", GENEROUS).expect("there");
        assert!(outcome.is_drained());
    }
    assert_eq!(count.load(Ordering::Relaxed), 20);
    assert!(node.metrics().identity_holds());
    assert!(node.stop(GENEROUS).drained);
}

#[test]
fn a_peer_that_comes_later_finds_the_channels_that_were_added() {
    let a = start(config("a").channel(ChannelConfig::new("base")));
    let added = a.add_channel(ChannelConfig::new("added").parallelism(5));
    let added = added.expect("a new channel");
    let b = start(config("b").channel(ChannelConfig::new("added").parallelism(5)));
    let (handler, count) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    connect_both(&a, &b);
    let to = a.destination("b", "in").expect("names");
    for key in 0..50 {
        added.send_blocking(&to.with_key(key), b"x").expect("room");
    }
    check_accounting(&[&a, &b]);
    wait_until(
        "all of them come",
        || count.load(Ordering::Relaxed),
        |count| *count == 50,
    );
    drop(ends("the nodes end", move || (a, b)));
}
