//! What tasks of any runtime use: inboxes and subscriptions as streams, registering, waiting and
//! stopping without blocking a thread; and the messages they keep.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use crate::support::accounting::{all_acknowledged, check_accounting};
use crate::support::{GENEROUS, config, connect_both, ends, reliable, start};
use futures_lite::StreamExt;
use futures_lite::future::{block_on, or};
use overlane::{Event, Message, NameError, Node, SendError, ShardContext};

/// Longer than any test waits: a stop that needs it is found to hang.
const AGES: Duration = Duration::from_secs(3600);

fn node(name: &str) -> Node {
    start(config(name).channel(reliable("data")))
}

fn pair() -> (Node, Node) {
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    (a, b)
}

fn tokio_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime")
}

#[test]
fn an_inbox_is_a_stream_of_messages_to_keep() {
    let (a, b) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let kept = tokio_runtime().block_on(async {
        let sending = tokio::spawn(async move {
            for bytes in [0, 10, 5_000] {
                data.send(&to, vec![7; bytes]).await.expect("accepted");
                tokio::task::yield_now().await;
            }
        });
        let mut kept = Vec::new();
        while kept.len() < 3 {
            kept.push(inbox.next().await.expect("the node runs"));
        }
        sending.await.expect("no panic");
        kept
    });
    drop(inbox);
    for (message, bytes) in kept.iter().zip([0, 10, 5_000]) {
        assert_eq!(message.payload(), vec![7; bytes]);
        assert_eq!(message.to_bytes(), message.payload());
        assert_eq!((message.channel(), message.channel_index()), ("data", 0));
        assert_eq!(
            (message.from().name(), message.mailbox().name()),
            ("a", "in")
        );
    }
    let metrics = check_accounting(&[&a, &b]);
    all_acknowledged(&metrics[0], "b", "data", 3);
}

#[test]
fn borrowed_and_owned_messages_say_the_same() {
    let (a, b) = pair();
    let (tell, told) = mpsc::channel();
    b.handle("handler", move |_, message| {
        assert_eq!(
            (message.channel(), message.mailbox().name()),
            ("data", "handler")
        );
        tell.send(message.to_owned()).expect("the test waits");
    })
    .expect("a mailbox");
    let mut inbox = b.inbox("inbox").expect("a mailbox");
    let mut back = a.inbox("back").expect("a mailbox");
    let data = a.channel("data").expect("it is configured");
    for mailbox in ["handler", "inbox"] {
        let to = a.destination("b", mailbox).expect("names");
        data.try_send(&to, mailbox).expect("accepted");
    }
    let received = inbox.recv_timeout(GENEROUS).expect("it comes");
    let owned = [
        told.recv_timeout(GENEROUS).expect("it comes"),
        received.to_owned(),
    ];
    assert_eq!(received.from().name(), owned[1].from().name());
    let answers = b.mailbox("back").expect("a name");
    for (message, mailbox) in owned.into_iter().zip(["handler", "inbox"]) {
        assert_eq!(message.mailbox().name(), mailbox);
        assert_eq!((message.from().name(), message.channel()), ("a", "data"));
        let answer_to = message.reply_to(&answers);
        let channel = b.channel(message.channel()).expect("it is configured");
        channel
            .try_send(&answer_to, message.into_payload())
            .expect("accepted");
        let answer = back.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(answer.payload(), mailbox.as_bytes());
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn a_stream_ends_with_its_node() {
    let (a, b) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let mut events = b.events();
    let reading = std::thread::spawn(move || block_on(inbox.next()).is_none());
    let following = std::thread::spawn(move || {
        let mut seen = Vec::new();
        while let Some(event) = block_on(events.next()) {
            seen.push(event);
        }
        seen
    });
    let report = ends("the stop", move || block_on(b.stop_async(AGES)));
    assert!(
        report.drained && report.metrics.identity_holds(),
        "{report:#?}"
    );
    assert!(reading.join().expect("no panic"), "the inbox ends");
    let seen = following.join().expect("no panic");
    let is_down = |event: &Event| matches!(event, Event::PeerDown { .. });
    assert!(seen.iter().any(is_down), "{seen:?}");
    check_accounting(&[&a]);
}

#[test]
fn events_are_a_stream() {
    let (a, b) = (node("a"), node("b"));
    let mut events = a.events();
    a.connect("b", b.local_addr()).expect("a name");
    tokio_runtime().block_on(async {
        a.wait_connected_async("b").await.expect("a name");
        while !matches!(events.next().await, Some(Event::PeerUp { .. })) {}
    });
    let nobody = a.wait_connected_async("\n");
    assert!(matches!(block_on(nobody), Err(NameError::Malformed { .. })));
}

#[test]
fn waiting_for_a_peer_can_be_given_up() {
    let a = node("a");
    let gave_up = block_on(or(
        async { a.wait_connected_async("b").await.is_ok() },
        async { false },
    ));
    assert!(!gave_up);
}

#[test]
fn mailboxes_get_their_receivers_in_a_task() {
    let (a, b) = pair();
    let (tell, told) = mpsc::channel();
    let (mut inbox, taken) = block_on(async {
        let make = |_| {
            let tell = tell.clone();
            move |_: &mut ShardContext<'_>, message: Message<'_>| {
                tell.send(message.to_bytes()).expect("the test waits");
            }
        };
        b.handle_with_async("handler", make)
            .await
            .expect("a mailbox");
        let inbox = b.inbox_async("inbox").await.expect("a mailbox");
        (inbox, b.inbox_async("inbox").await.err())
    });
    let name = "inbox".to_owned();
    assert_eq!(taken, Some(NameError::MailboxTaken { name }));
    let data = a.channel("data").expect("it is configured");
    for mailbox in ["handler", "inbox"] {
        let to = a.destination("b", mailbox).expect("names");
        data.try_send(&to, mailbox).expect("accepted");
    }
    assert_eq!(told.recv_timeout(GENEROUS).expect("it comes"), "handler");
    let message = inbox.recv_timeout(GENEROUS).expect("it comes");
    assert_eq!(message.payload(), b"inbox");
    check_accounting(&[&a, &b]);
}

/// Each shard has a count of its own, and none is shared or copied.
#[test]
fn a_factory_makes_a_handler_for_each_shard() {
    let lanes = || reliable("data").parallelism(4_u16);
    let a = start(config("a").channel(lanes()));
    let b = start(config("b").shards(2).channel(lanes()));
    let (tell, told) = mpsc::channel();
    let mut made = Vec::new();
    b.handle_with("in", |shard| {
        made.push(shard);
        let tell = tell.clone();
        let mut count = 0_u64;
        move |context: &mut ShardContext<'_>, _: Message<'_>| {
            count += 1;
            let told = (shard, context.shard(), count);
            tell.send(told).expect("the test waits");
        }
    })
    .expect("a mailbox");
    assert_eq!(made, [0, 1]);
    connect_both(&a, &b);
    let data = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    for key in 0..40 {
        data.try_send(&to.with_key(key), "x").expect("accepted");
    }
    let mut counts = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..40 {
        let (made_for, runs_on, count) = told.recv_timeout(GENEROUS).expect("it comes");
        assert_eq!(made_for, runs_on);
        assert!(counts[made_for].insert(count), "counted twice");
    }
    for counts in counts {
        let last = counts.last().copied().unwrap_or_default();
        assert_eq!((counts.len() as u64, last > 0), (last, true));
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn what_is_handed_over_and_not_accepted_comes_back() {
    let (a, b) = pair();
    let data = a.channel("data").expect("it is configured");
    let nobody = a.destination("nobody", "in").expect("names");
    let payload = bytes::Bytes::from(vec![7; 10_000]);
    let unsent = data
        .try_send(&nobody, payload.clone())
        .expect_err("no lane");
    assert_eq!(unsent.error, SendError::Unreachable);
    assert_eq!(unsent.payload.as_ptr(), payload.as_ptr(), "the same bytes");
    let vector = vec![7; 2_000_000];
    let place = vector.as_ptr();
    let itself = a.destination("a", "in").expect("names");
    for to in [&nobody, &itself] {
        let unsent = data
            .try_send(to, vec![7; 2_000_000])
            .expect_err("too large");
        assert!(matches!(unsent.error, SendError::TooLarge { .. }));
        assert_eq!(unsent.payload.len(), 2_000_000);
    }
    let unsent = data.send_blocking(&nobody, vector).expect_err("too large");
    assert_eq!(unsent.payload.as_ptr(), place, "nothing was copied");
    assert_eq!(SendError::from(unsent.clone()), unsent.error);
    assert_eq!(unsent.to_string(), unsent.error.to_string());
    check_accounting(&[&a, &b]);
}
