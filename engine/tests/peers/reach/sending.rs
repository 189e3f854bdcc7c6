//! The first message to a peer that is reached connects it.

use std::net::TcpListener;

use overlane::wire::CloseReason;
use overlane::{Event, SendError, StreamReader};

use crate::reach::{KINDS, dead_address, has_connections, node, node_of, reach, send};
use crate::support::accounting::{all_acknowledged, check_accounting, counted};
use crate::support::{CONTROL, GENEROUS, config, counting_handler, ends, hold, reliable, start};
use crate::support::{wait_for_event, wait_until};

#[test]
fn the_first_message_on_each_channel_connects_a_peer_that_is_reached() {
    for shards in [1, 3] {
        for channel in KINDS {
            let (a, b) = (node_of(config("a").shards(shards)), node("b"));
            let mut inbox = b.inbox("in").expect("a mailbox");
            let events = a.events();
            reach(&a, "b", &[b.local_addr()]);
            assert!(!a.peers()[0].peer.is_connected(), "nothing is sent yet");
            has_connections(&a, 0);
            send(&a, "b", channel, b"one");
            let came = inbox.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!((came.payload(), came.channel()), (&b"one"[..], channel));
            drop(came);
            send(&a, "b", channel, b"two");
            inbox.recv_timeout(GENEROUS).expect("it comes");
            // The control lane and this one, made by this node.
            has_connections(&a, 2);
            let up = wait_for_event(&events, "the peer", |event| match event {
                Event::LaneUp {
                    channel, dialed, ..
                } => Some((channel.to_string(), *dialed)),
                _ => None,
            });
            assert_eq!(up, (CONTROL.to_owned(), true), "it is made first");
            let metrics = check_accounting(&[&a, &b]);
            assert_eq!(counted(&metrics[1], "a", channel).delivered, 2);
            assert!(b.peers()[0].peer.is_connected());
        }
    }
}

/// Nothing is wanted of the asking node there, and no lane but the one of the question is up.
#[test]
fn a_peer_that_is_asked_answers_at_once_on_any_channel() {
    for shards in [1, 3] {
        let (a, b) = (node_of(config("a").shards(shards)), node("b"));
        let answers = b.channel("guaranteed").expect("it is configured");
        let back = b.mailbox("answers").expect("a name");
        b.handle("in", move |_, message| {
            let to = message.reply_to(&back).with_key(1);
            answers.try_send(&to, message.payload()).expect("accepted");
        })
        .expect("a mailbox");
        let mut inbox = a.inbox("answers").expect("a mailbox");
        reach(&a, "b", &[b.local_addr()]);
        send(&a, "b", "reliable", b"well?");
        let answer = inbox.recv_timeout(GENEROUS).expect("it is answered");
        assert_eq!(answer.payload(), b"well?");
        drop(answer);
        check_accounting(&[&a, &b]);
    }
}

#[test]
fn two_nodes_that_reach_each_other_at_once_make_each_lane_once() {
    for round in 0..20 {
        let node = |name: &str, shards| node_of(config(name).shards(shards));
        let (a, b) = (node("a", 1 + round % 2), node("b", 1 + round / 2 % 2));
        for node in [&a, &b] {
            let (handler, _) = counting_handler();
            node.handle("in", handler).expect("a mailbox");
        }
        reach(&a, "b", &[b.local_addr()]);
        reach(&b, "a", &[a.local_addr()]);
        std::thread::scope(|scope| {
            for (from, to) in [(&a, "b"), (&b, "a")] {
                scope.spawn(move || KINDS.map(|channel| send(from, to, channel, b"x")));
            }
        });
        let metrics = check_accounting(&[&a, &b]);
        for (metrics, peer) in metrics.iter().zip(["b", "a"]) {
            for channel in KINDS {
                assert_eq!(counted(metrics, peer, channel).delivered, 1, "{channel}");
            }
        }
        for node in [&a, &b] {
            has_connections(node, 1 + KINDS.len());
        }
    }
}

#[test]
fn addresses_are_tried_in_turn_and_the_one_that_answered_is_tried_first_after_that() {
    let (a, b) = (node("a"), node("b"));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    let events = a.events();
    reach(&a, "b", &[dead_address(), dead_address(), b.local_addr()]);
    for channel in KINDS {
        send(&a, "b", channel, b"x");
        check_accounting(&[&a, &b]);
    }
    let failed = crate::reach::happened(&events).into_iter();
    let failed = failed.filter(|event| matches!(event, Event::DialFailed { .. }));
    assert_eq!(failed.count(), 2, "each dead address was dialled once");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "guaranteed", 1);
}

/// Whoever listens there takes connections and says nothing.
#[test]
fn what_waits_for_a_peer_that_does_not_answer_is_bounded_and_reported() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let channel = reliable("data").queue_messages_max(8_usize);
    let a = config("a")
        .handshake_deadline_ms(300)
        .reconnect_base_ms(600_000)
        .reconnect_max_ms(600_000);
    let a = start(a.channel(channel));
    let events = a.events();
    reach(&a, "b", &[silent.local_addr().expect("it is bound")]);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let accepted = (0..100).take_while(|_| data.try_send(&to, b"x").is_ok());
    assert_eq!(accepted.count(), 8);
    let (undelivered, why) = wait_for_event(&events, "a report", |event| match event {
        Event::Reported {
            undelivered, why, ..
        } => Some((*undelivered, *why)),
        _ => None,
    });
    assert_eq!(undelivered, 8);
    assert_eq!(why, CloseReason::HandshakeTimeout.sentence());
    // There was no answer: nothing is accepted for a while, and nothing waits in vain.
    let refused = || data.try_send(&to, b"x") == Err(SendError::Unreachable);
    wait_until("it is given up", refused, |refused| *refused);
    let out = &check_accounting(&[&a])[0];
    assert_eq!(counted(out, "b", "data").reported, 8);
    // Reached anew, it may be there.
    reach(&a, "b", &[silent.local_addr().expect("it is bound")]);
    data.try_send(&to, b"x").expect("it is accepted again");
    drop(silent);
    check_accounting(&[&a]);
}

#[test]
fn a_stream_to_a_peer_that_is_reached_connects_it() {
    let (a, b) = (node("a"), node("b"));
    let mut streams = b.streams("in").expect("a mailbox");
    reach(&a, "b", &[b.local_addr()]);
    let channel = a.channel("guaranteed").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let mut writer = channel.open_stream(&to).expect("it is reached");
    let text = vec![7; 3 << 20];
    let sent = text.clone();
    let writing = std::thread::spawn(move || {
        use std::io::Write;
        writer.write_all(&sent).expect("it is read");
        writer.finish_blocking().expect("all of it");
    });
    let read = ends("the stream", move || {
        let mut reader: StreamReader = streams.accept_blocking().expect("one comes");
        let mut read = Vec::new();
        std::io::Read::read_to_end(&mut reader, &mut read).expect("the whole");
        read
    });
    writing.join().expect("no panic");
    assert_eq!(read, text);
    check_accounting(&[&a, &b]);
}

#[test]
fn a_channel_that_is_added_reaches_as_the_others_do() {
    let (a, b) = (node("a"), node("b"));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    reach(&a, "b", &[b.local_addr()]);
    for node in [&b, &a] {
        let news = reliable("news").parallelism(3);
        node.add_channel(news).expect("a new name");
    }
    send(&a, "b", "news", b"x");
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "news", 1);
}

/// The control lane may be on another shard than what waits.
#[test]
fn a_stop_connects_what_messages_wait_for() {
    for round in 0..12 {
        let shards = 1 + round % 3;
        let (a, b) = (node_of(config("a").shards(shards)), node("b"));
        let (handler, _) = counting_handler();
        b.handle("in", handler).expect("a mailbox");
        reach(&a, "b", &[b.local_addr()]);
        // Nothing is dialled before the stop begins.
        let held = hold(&a);
        for channel in KINDS {
            send(&a, "b", channel, b"x");
        }
        drop(held);
        let report = a.stop(GENEROUS);
        assert!(report.drained, "{report:#?}");
        for channel in &KINDS[1..] {
            all_acknowledged(&report.metrics, "b", channel, 1);
        }
    }
}

/// It goes to peers that are connected.
#[test]
fn a_broadcast_leaves_peers_out_that_are_not_connected() {
    let (a, b) = (node("a"), node("b"));
    let (handler, _) = counting_handler();
    b.handle("in", handler).expect("a mailbox");
    reach(&a, "b", &[b.local_addr()]);
    reach(&a, "c", &[dead_address()]);
    let channel = a.channel("reliable").expect("it is configured");
    let mailbox = a.mailbox("in").expect("a name");
    let sent = channel.broadcast(&mailbox, b"x").expect("it fits");
    assert_eq!((sent.accepted, sent.refused.len()), (0, 0));
    send(&a, "b", "best_effort", b"x");
    check_accounting(&[&a, &b]);
    let sent = channel.broadcast(&mailbox, b"x").expect("it fits");
    assert_eq!((sent.accepted, sent.refused.len()), (1, 0));
    check_accounting(&[&a, &b]);
}
