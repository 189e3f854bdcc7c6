//! Calls that cannot be what was meant: waiting on a thread of the engine, and using on one node what
//! was looked up on another. Each is refused with an error that says so.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::accounting::check_accounting;
use crate::support::{GENEROUS, config, connect_both, drained, reliable, start};
use futures_lite::future::block_on;
use overlane::config::Overflow;
use overlane::{NameError, Node, RecvError, SendError, WaitError};

/// Two connected nodes; a queue of 64 messages, whose senders wait for room.
fn pair() -> (Node, Node) {
    let node = |name| {
        let channel = reliable("data").queue_messages_max(64);
        start(config(name).channel(channel.overflow(Overflow::Block)))
    };
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    (a, b)
}

#[test]
fn send_blocking_in_a_handler_says_that_it_would_wait_for_itself() {
    let (a, b) = pair();
    let mut answers = a.inbox("answers").expect("a mailbox");
    let data = b.channel("data").expect("it is configured");
    let to_a = b.destination("a", "answers").expect("names");
    let (tell, told) = mpsc::channel();
    b.handle("in", move |shard, _| {
        for _ in 0..200 {
            let sent = data.send_blocking(&to_a, b"answer");
            tell.send(sent).expect("the test waits");
        }
        shard
            .try_send(&data, &to_a, b"answer")
            .expect("there is room");
    })
    .expect("a mailbox");
    let to_b = a.destination("b", "in").expect("names");
    let data = a.channel("data").expect("it is configured");
    data.send_blocking(&to_b, b"question").expect("accepted");
    for _ in 0..200 {
        let sent = told.recv_timeout(GENEROUS).expect("the shard goes on");
        assert_eq!(sent, Err(SendError::WouldDeadlock));
    }
    assert_eq!(
        answers.recv_timeout(GENEROUS).expect("it comes").payload(),
        b"answer"
    );
    check_accounting(&[&a, &b]);
}

/// The task is on a shard of `a`; `b` lives in the same process, and waiting for it is as bad.
#[test]
fn every_wait_on_a_shard_says_that_it_would_wait_for_itself() {
    let (a, b) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let events = b.events();
    let (tell, told) = mpsc::channel();
    a.spawn_on_shard(0, move |_| async move {
        let shortly = Duration::from_millis(1);
        let received = [
            inbox.recv_blocking().err(),
            inbox.recv_timeout(shortly).err(),
            events.recv().err(),
            events.recv_deadline(Instant::now()).err(),
        ];
        let named = [
            b.handle("other", |_, _| {}).err(),
            b.handle_with("other", |_| |_: &mut _, _: overlane::Message<'_>| {})
                .err(),
            b.inbox("other").err(),
        ];
        let waited = b.wait_connected("a", shortly).err();
        let metrics = b.metrics();
        tell.send((received, named, waited, metrics))
            .expect("the test waits");
    })
    .expect("the node runs");
    let (received, named, waited, metrics) =
        told.recv_timeout(GENEROUS).expect("the shard goes on");
    assert_eq!(received, [const { Some(RecvError::WouldDeadlock) }; 4]);
    assert_eq!(named, [const { Some(NameError::WouldDeadlock) }; 3]);
    assert_eq!(waited, Some(WaitError::Name(NameError::WouldDeadlock)));
    assert!(metrics.shards.is_empty());
    drained(&a);
}

#[test]
fn what_was_looked_up_on_one_node_is_refused_by_another() {
    let (a, b) = pair();
    let c = start(config("c").channel(reliable("data")));
    connect_both(&c, &b);
    let mut at_b = b.inbox("in").expect("a mailbox");
    let data = a.channel("data").expect("it is configured");
    let of_c = c.channel("data").expect("it is configured");
    let foreign = c.destination("b", "in").expect("names");
    let other_node = Err(SendError::OtherNode);
    assert_eq!(data.try_send(&foreign, "x"), other_node);
    assert_eq!(data.send_blocking(&foreign, "x"), other_node);
    assert_eq!(block_on(data.send(&foreign, "x")), other_node);
    assert_eq!(
        data.send_many(&foreign, &[b"x", b"y"]).err(),
        other_node.clone().err()
    );
    assert_eq!(a.shard_of(&data, &foreign), Err(SendError::OtherNode));
    assert_eq!(a.shard_of(&of_c, &foreign), Err(SendError::OtherNode));
    let mailbox = c.mailbox("in").expect("a name");
    assert_eq!(
        data.broadcast(&mailbox, "x").err(),
        Some(SendError::OtherNode)
    );

    let own = a.destination("b", "in").expect("names");
    data.try_send(&own, "x").expect("accepted");
    let received = at_b.recv_timeout(GENEROUS).expect("it comes");
    let mixed = received.reply_to(&mailbox);
    let back = b.channel("data").expect("it is configured");
    assert_eq!(back.try_send(&mixed, "x"), other_node);
    assert_eq!(of_c.try_send(&mixed, "x"), other_node);
    check_accounting(&[&a, &b, &c]);
}

#[test]
fn a_shard_refuses_the_destination_of_another_node_and_sends_on_its_channel() {
    let (a, b) = pair();
    let c = start(config("c").channel(reliable("data")));
    connect_both(&c, &b);
    let mut at_b = b.inbox("in").expect("a mailbox");
    let data = a.channel("data").expect("it is configured");
    let of_c = c.channel("data").expect("it is configured");
    let foreign = c.destination("b", "in").expect("names");
    let (tell, told) = mpsc::channel();
    a.spawn_on_shard(0, move |shard| async move {
        let refused = [
            shard.try_send(&data, &foreign, "x"),
            shard.send(&data, &foreign, "x").await,
            shard.send_many(&data, &foreign, &[b"x"]).map(drop),
        ];
        let sent = [
            shard.try_send(&of_c, &foreign, "one"),
            shard.send(&of_c, &foreign, "two").await,
        ];
        tell.send((refused, sent)).expect("the test waits");
    })
    .expect("the node runs");
    let (refused, sent) = told.recv_timeout(GENEROUS).expect("the task runs");
    assert_eq!(refused, [const { Err(SendError::OtherNode) }; 3]);
    assert_eq!(sent, [Ok(()), Ok(())]);
    for expected in ["one", "two"] {
        let message = at_b.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(message.payload(), expected.as_bytes());
        assert_eq!(message.from().name(), "c");
    }
    check_accounting(&[&a, &b, &c]);
}
