//! Requests and replies: each way to ask and to answer, and each way in which a request ends without a
//! reply. Whoever asks hears of exactly one outcome.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::accounting::check_accounting;
use crate::support::{GENEROUS, config, connect_both, ends, reliable, start, wait_until};
use futures_lite::future::{block_on, or, poll_once};
use overlane::{Channel, Destination, Message, Node, RequestError, SendError, ShardContext};

/// Open requests of a node.
const REQUESTS_MAX: usize = 1 << 16;

fn node(name: &str) -> Node {
    // For the largest payloads one after the other, without waiting for room.
    let calls = reliable("calls").queue_messages_max(1 << 17);
    start(config(name).channel(calls.queue_bytes_max(8_usize << 20)))
}

/// Two connected nodes, the channel of the first, and the mailbox `in` of the second.
fn pair() -> (Node, Node, Channel, Destination) {
    let (a, b) = (node("a"), node("b"));
    connect_both(&a, &b);
    let calls = a.channel("calls").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, calls, to)
}

/// Answers each request with its own payload, on the shard.
fn echo(node: &Node, mailbox: &str) {
    let calls = node.channel("calls").expect("it is configured");
    node.handle(mailbox, move |shard, request| {
        let asker = request.reply_handle().expect("it is a request");
        assert!(asker.deadline().is_some_and(|at| at > Instant::now()));
        shard
            .try_reply(&calls, &asker, request.payload())
            .expect("there is room");
    })
    .expect("a mailbox");
}

#[test]
fn a_request_is_answered_by_a_handler_whatever_its_size() {
    let (a, b, calls, to) = pair();
    echo(&b, "in");
    echo(&a, "own");
    let itself = a.destination("a", "own").expect("names");
    let largest = calls.message_bytes_max();
    for to in [&to, &itself] {
        for bytes in [0, 1, 1000, 1024, 5000, 100_000, largest] {
            let payload = vec![7; bytes];
            let reply = calls
                .request_blocking(to, &payload, GENEROUS)
                .expect("a reply");
            assert!(reply.payload() == payload, "{bytes} bytes");
            assert_eq!(
                (reply.from().name(), reply.channel()),
                (to.peer().name(), "calls")
            );
            let reply = block_on(calls.request(to, payload.clone(), GENEROUS)).expect("a reply");
            assert!(reply.into_payload() == payload, "{bytes} bytes");
        }
    }
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!((metrics[0].late_replies, metrics[0].open_requests), (0, 0));
}

#[test]
fn a_request_is_answered_from_an_inbox_by_a_thread() {
    let (a, b, calls, to) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let back = b.channel("calls").expect("it is configured");
    let answering = std::thread::spawn(move || {
        for way in 0..3 {
            let request = inbox.recv_timeout(GENEROUS).expect("it comes");
            assert_eq!(request.payload(), vec![way; 3000]);
            let asker = request.reply_handle().expect("it is a request");
            assert_eq!(asker.peer().name(), "a");
            let kept = request.to_owned();
            assert_eq!(kept.payload(), request.payload());
            let kept = kept.reply_handle().expect("it is a request");
            match way {
                0 => back.try_reply(&asker, "at once").expect("accepted"),
                1 => back.reply_blocking(&kept, "blocking").expect("accepted"),
                _ => block_on(back.reply(&kept, "awaited")).expect("accepted"),
            }
        }
        let plain = inbox.recv_timeout(GENEROUS).expect("it comes");
        assert!(plain.reply_handle().is_none(), "nobody waits for a reply");
    });
    for (way, expected) in (0..3).zip(["at once", "blocking", "awaited"]) {
        let reply = calls.request_blocking(&to, vec![way; 3000], GENEROUS);
        assert_eq!(reply.expect("a reply").payload(), expected.as_bytes());
    }
    calls.try_send(&to, "a plain message").expect("accepted");
    answering.join().expect("no panic");
    check_accounting(&[&a, &b]);
}

/// All are asked before the first is answered, and they are answered in the opposite order.
#[test]
fn replies_find_their_requests_in_any_order() {
    let (a, b, calls, to) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let back = b.channel("calls").expect("it is configured");
    let answering = std::thread::spawn(move || {
        let mut asked = Vec::new();
        while asked.len() < 1000 {
            asked.push(inbox.recv_timeout(GENEROUS).expect("it comes").to_owned());
        }
        for request in asked.iter().rev() {
            let asker = request.reply_handle().expect("it is a request");
            back.reply_blocking(&asker, request.to_bytes())
                .expect("accepted");
        }
    });
    let mut requests: Vec<_> = (0_u32..1000)
        .map(|number| {
            let payload = number.to_le_bytes().to_vec();
            let mut request = Box::pin(calls.request(&to, payload, GENEROUS));
            assert!(block_on(poll_once(&mut request)).is_none());
            request
        })
        .collect();
    for (number, request) in (0_u32..).zip(&mut requests) {
        let reply = block_on(request).expect("a reply");
        assert_eq!(reply.payload(), number.to_le_bytes());
    }
    answering.join().expect("no panic");
    check_accounting(&[&a, &b]);
}

#[test]
fn a_request_to_no_mailbox_is_refused() {
    let (a, b, calls, to) = pair();
    let itself = a.destination("a", "nowhere").expect("names");
    for to in [&to, &itself] {
        let refused = calls.request_blocking(to, "well?", GENEROUS);
        let Err(RequestError::Refused { why }) = refused else {
            panic!("nobody is there: {refused:?}");
        };
        assert!(why.contains("mailbox"), "{why}");
    }
    check_accounting(&[&a, &b]);
}

#[test]
fn a_deadline_ends_a_request_and_a_reply_after_it_is_counted() {
    let (a, b, calls, to) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let back = b.channel("calls").expect("it is configured");
    let shortly = Duration::from_millis(20);
    let ended = [
        calls.request_blocking(&to, "one", shortly),
        block_on(calls.request(&to, "two", shortly)),
    ];
    for outcome in ended {
        assert!(
            matches!(outcome, Err(RequestError::DeadlinePassed)),
            "{outcome:?}"
        );
    }
    for _ in 0..2 {
        let request = inbox.recv_timeout(GENEROUS).expect("it came");
        let asker = request.reply_handle().expect("it is a request");
        back.try_reply(&asker, "too late").expect("accepted");
    }
    wait_until(
        "both are counted",
        || a.metrics().late_replies,
        |late| *late == 2,
    );
    check_accounting(&[&a, &b]);
}

#[test]
fn dropping_the_future_cancels_the_request() {
    let (a, b, calls, to) = pair();
    let mut inbox = b.inbox("in").expect("a mailbox");
    let gave_up = block_on(or(
        async { calls.request(&to, "well?", GENEROUS).await.is_ok() },
        async { false },
    ));
    assert!(!gave_up);
    assert_eq!(a.metrics().open_requests, 0);
    let request = inbox.recv_timeout(GENEROUS).expect("it was sent");
    let asker = request.reply_handle().expect("it is a request");
    let back = b.channel("calls").expect("it is configured");
    back.try_reply(&asker, "for nobody").expect("accepted");
    wait_until(
        "it is counted",
        || a.metrics().late_replies,
        |late| *late == 1,
    );
    check_accounting(&[&a, &b]);
}

#[test]
fn the_end_of_the_lane_ends_its_requests() {
    for stops in [false, true] {
        let (a, b, calls, to) = pair();
        let mut inbox = b.inbox("in").expect("a mailbox");
        let asking = {
            let (calls, to) = (calls.clone(), to.clone());
            std::thread::spawn(move || calls.request_blocking(&to, "well?", Duration::MAX))
        };
        assert!(inbox.recv_timeout(GENEROUS).is_ok());
        if stops {
            drop(b);
        } else {
            a.disconnect("b").expect("a name");
        }
        let outcome = ends("the request", move || asking.join().expect("no panic"));
        assert!(
            matches!(outcome, Err(RequestError::LaneEnded)),
            "{outcome:?}"
        );
        // Until this shard knows, what is accepted ends with the lane: sent, or still waiting.
        let ends_with_lane = |error: &RequestError| {
            matches!(
                error,
                RequestError::LaneEnded | RequestError::Undelivered { .. }
            )
        };
        let refused = wait_until(
            "the lane is down",
            || calls.request_blocking(&to, "well?", GENEROUS),
            |outcome| !outcome.as_ref().is_err_and(ends_with_lane),
        );
        assert!(
            matches!(refused, Err(RequestError::Send(SendError::Unreachable))),
            "{refused:?}"
        );
        check_accounting(&[&a]);
    }
}

#[test]
fn what_cannot_be_asked_is_refused_at_once() {
    let (a, b, calls, to) = pair();
    let bytes_max = calls.message_bytes_max();
    let too_large = calls.request_blocking(&to, vec![0; bytes_max + 1], GENEROUS);
    let expected = SendError::TooLarge {
        bytes: bytes_max + 1,
        bytes_max,
    };
    assert_eq!(too_large.err(), Some(RequestError::Send(expected)));
    let foreign = b.destination("a", "in").expect("names");
    let refused = calls.request_blocking(&foreign, "x", GENEROUS).err();
    assert_eq!(refused, Some(RequestError::Send(SendError::OtherNode)));
    let nobody = a.destination("nobody", "in").expect("names");
    let refused = calls.request_blocking(&nobody, "x", GENEROUS).err();
    assert_eq!(refused, Some(RequestError::Send(SendError::Unreachable)));
    let (tell, told) = mpsc::channel();
    let own = calls.clone();
    a.handle(
        "in",
        move |_: &mut ShardContext<'_>, message: Message<'_>| {
            let to = message.reply_to(message.mailbox());
            let refused = own.request_blocking(&to, "x", GENEROUS).err();
            tell.send(refused).expect("the test waits");
        },
    )
    .expect("a mailbox");
    let back = b.channel("calls").expect("it is configured");
    back.try_send(&foreign, "ask me").expect("accepted");
    let refused = told.recv_timeout(GENEROUS).expect("the shard goes on");
    assert_eq!(refused, Some(RequestError::Send(SendError::WouldDeadlock)));
    check_accounting(&[&a, &b]);
}

#[test]
fn open_requests_are_bounded() {
    let (a, b, calls, to) = pair();
    let inbox = b.inbox_of("in", 16 << 20).expect("a mailbox");
    let mut requests = Vec::new();
    for _ in 0..REQUESTS_MAX {
        let mut request = Box::pin(calls.request(&to, "x", GENEROUS));
        assert!(block_on(poll_once(&mut request)).is_none());
        requests.push(request);
    }
    let refused = calls.request_blocking(&to, "one more", GENEROUS).err();
    let requests_max = REQUESTS_MAX;
    assert_eq!(refused, Some(RequestError::TooMany { requests_max }));
    requests.truncate(REQUESTS_MAX - 1);
    let ended = calls
        .request_blocking(&to, "x", Duration::from_millis(1))
        .err();
    assert_eq!(ended, Some(RequestError::DeadlinePassed));
    drop(requests);
    drop(inbox);
    check_accounting(&[&a, &b]);
}
