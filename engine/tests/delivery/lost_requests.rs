//! Requests that are not answered: each ends as soon as the node can know it, and says whether the request
//! surely did not arrive or may have been carried out.

use std::future::Future;
use std::pin::Pin;

use crate::stranger::{Stranger, control_hello, good_frame, hello};
use crate::support::accounting::{check_accounting, counted};
use crate::support::{
    GENEROUS, best_effort, config, connect_both, connected_pair, drained, ends, hold, reliable,
    start, wait_for_event, wait_until,
};
use futures_lite::future::{block_on, poll_once};
use overlane::config::{ChannelConfig, Overflow};
use overlane::wire::control::{Decline, Rest};
use overlane::wire::{CloseReason, FrameKind};
use overlane::{Channel, Destination, Event, Node, OwnedMessage, RequestError, SendError};

type Outcome = Result<OwnedMessage, RequestError>;
type Request<'c> = Pin<Box<dyn Future<Output = Outcome> + 'c>>;

/// Asks, and waits for nothing yet.
fn ask<'c>(calls: &'c Channel, to: &'c Destination, payload: &'c [u8]) -> Request<'c> {
    let mut request = Box::pin(calls.request(to, payload, GENEROUS));
    assert!(block_on(poll_once(&mut request)).is_none());
    request
}

/// How it ended, which is not by its deadline.
fn outcome(request: Request<'_>) -> RequestError {
    block_on(request).expect_err("nobody answers")
}

fn undelivered(reason: &'static str) -> RequestError {
    RequestError::Undelivered { why: reason }
}

/// Two connected nodes with that channel, as each of them has it.
fn pair(channel: impl Fn() -> ChannelConfig) -> (Node, Node, Channel, Destination) {
    let (a, b) = connected_pair(&channel());
    let calls = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, calls, to)
}

#[test]
fn a_first_request_that_is_larger_than_the_peer_takes_was_not_delivered() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("data").message_bytes_max(1000_usize)));
    connect_both(&a, &b);
    let calls = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let Err(RequestError::Undelivered { why }) = calls.request_blocking(&to, &[0; 1001], GENEROUS)
    else {
        panic!("b does not take it");
    };
    assert!(why.contains("larger than the peer takes"), "{why}");
    check_accounting(&[&a, &b]);
}

/// A peer that takes in no name of a mailbox at all.
#[test]
fn a_request_that_its_lane_has_no_mailbox_id_for_was_not_delivered() {
    let a = start(config("a").channel(reliable("data")));
    let mut hello = hello("b");
    hello.terms.mailboxes_max = 0;
    let _data = Stranger::lane(a.local_addr(), hello);
    a.wait_connected("b", GENEROUS).expect("it is there");
    let calls = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let Err(RequestError::Undelivered { why }) = calls.request_blocking(&to, "well?", GENEROUS)
    else {
        panic!("b takes no names");
    };
    assert!(why.contains("mailboxes_per_lane_max"), "{why}");
    drained(&a);
}

#[test]
fn a_request_on_a_lane_that_cannot_be_made_was_not_delivered() {
    let a = start(config("a").channel(reliable("data")));
    let b = start(config("b").channel(reliable("other")));
    b.connect("a", a.local_addr()).expect("a name");
    a.wait_connected("b", GENEROUS).expect("it is there");
    let calls = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let ended = calls.request_blocking(&to, "well?", GENEROUS).err();
    let reason = CloseReason::ChannelUnknown.sentence();
    assert_eq!(ended, Some(undelivered(reason)));
    check_accounting(&[&a, &b]);
}

#[test]
fn a_channel_that_drops_refuses_requests_instead() {
    let newest = || reliable("data").overflow(Overflow::DropNewest);
    let (a, b, calls, to) = pair(|| newest().queue_messages_max(1_usize));
    let held = hold(&a);
    let first = ask(&calls, &to, b"one");
    let refused = calls.request_blocking(&to, "two", GENEROUS).err();
    assert_eq!(refused, Some(RequestError::Send(SendError::Full)));
    drop(held);
    assert!(matches!(outcome(first), RequestError::Refused { .. }));
    check_accounting(&[&a, &b]);
    // Nobody is there.
    let (a, b, calls, to) = pair(|| best_effort("data"));
    drop(b);
    let unreachable = RequestError::Send(SendError::Unreachable);
    wait_until(
        "it is gone",
        || calls.request_blocking(&to, "well?", GENEROUS).err(),
        |ended| *ended == Some(unreachable.clone()),
    );
    drained(&a);
}

#[test]
fn a_request_that_newer_messages_displaced_was_not_delivered() {
    let oldest = || reliable("data").overflow(Overflow::DropOldest);
    let (a, b, calls, to) = pair(|| oldest().queue_messages_max(2_usize));
    let (small, large) = ([1; 10], [2; 5000]);
    for payload in [&small[..], &large] {
        let held = hold(&a);
        let request = ask(&calls, &to, payload);
        for _ in 0..2 {
            calls.try_send(&to, payload).expect("it drops the oldest");
        }
        drop(held);
        let RequestError::Undelivered { why } = outcome(request) else {
            panic!("it was dropped");
        };
        assert!(why.contains("overflow"), "{why}");
        check_accounting(&[&a, &b]);
    }
}

#[test]
fn a_request_to_a_full_inbox_of_a_best_effort_channel_is_refused() {
    let (a, b, calls, to) = pair(|| best_effort("data"));
    let itself = a.destination("a", "in").expect("names");
    for (node, to) in [(&b, &to), (&a, &itself)] {
        let _unread = node.inbox_of("in", 4096).expect("a mailbox");
        let dropped = || {
            calls.try_send(to, &[7; 1000]).expect("it drops");
            counted(&node.metrics(), "a", "data").receive_dropped
        };
        wait_until("it is full", dropped, |dropped| *dropped > 0);
        let refused = calls.request_blocking(to, &[7; 1000], GENEROUS);
        let Err(RequestError::Refused { why }) = refused else {
            panic!("there is no room: {refused:?}");
        };
        assert!(why.contains("full"), "{why}");
    }
}

#[test]
fn a_request_to_a_handler_that_panics_is_refused() {
    let (a, b, calls, to) = pair(|| reliable("data"));
    let itself = a.destination("a", "in").expect("names");
    for (node, to) in [(&b, &to), (&a, &itself)] {
        node.handle(
            "in",
            |_: &mut overlane::ShardContext<'_>, _: overlane::Message<'_>| {
                panic!("a mistake of the application");
            },
        )
        .expect("a mailbox");
        let ended = calls.request_blocking(to, "well?", GENEROUS).err();
        let Some(RequestError::Refused { why }) = ended else {
            panic!("it panicked: {ended:?}");
        };
        assert!(why.contains("panicked"), "{why}");
    }
    check_accounting(&[&a, &b]);
}

/// What is handed to the network may have arrived; what waited behind it surely has not.
#[test]
fn the_end_of_a_lane_tells_what_was_not_delivered_from_what_may_have_been() {
    let channel = reliable("data").unacknowledged_bytes_max(4096_usize);
    let a = start(config("a").channel(channel));
    let data = Stranger::lane(a.local_addr(), hello("b"));
    a.wait_connected("b", GENEROUS).expect("it is there");
    let calls = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    let (small, large) = ([1; 10], [2; 5000]);
    let under_way = ask(&calls, &to, &large);
    let waits = || {
        let metrics = a.metrics();
        let out = counted(&metrics, "b", "data");
        (out.in_flight, out.queued)
    };
    wait_until("it is sent", waits, |waits| *waits == (1, 0));
    // Nothing is acknowledged: these wait, in both forms in which payloads do.
    let queued = [&small[..], &large, &small].map(|payload| ask(&calls, &to, payload));
    wait_until("they wait", waits, |waits| *waits == (1, 3));
    drop(data);
    assert_eq!(outcome(under_way), RequestError::LaneEnded);
    for request in queued {
        let why = outcome(request);
        assert!(matches!(why, RequestError::Undelivered { .. }), "{why}");
    }
    drained(&a);
}

/// A process that was started again counts its requests anew.
#[test]
fn a_reply_to_what_an_earlier_process_asked_is_none_to_a_later_one() {
    let b = start(config("b").channel(reliable("data")));
    let mut inbox = b.inbox("in").expect("a mailbox");
    let back = b.channel("data").expect("it is configured");
    let asked = |incarnation: u64| {
        let a = start(
            config("a")
                .channel(reliable("data"))
                .incarnation(incarnation),
        );
        a.connect("b", b.local_addr()).expect("a name");
        a.wait_connected("b", GENEROUS).expect("it is there");
        a
    };
    let first = asked(1);
    let calls = first.channel("data").expect("it is configured");
    let to = first.destination("b", "in").expect("names");
    let unanswered = ask(&calls, &to, b"first");
    let earlier = inbox.recv_timeout(GENEROUS).expect("it comes").to_owned();
    drop(unanswered);
    drop(first);
    let second = asked(2);
    let calls = second.channel("data").expect("it is configured");
    let to = second.destination("b", "in").expect("names");
    let waiting = ask(&calls, &to, b"second");
    let later = inbox.recv_timeout(GENEROUS).expect("it comes").to_owned();
    for request in [&earlier, &later] {
        let asker = request.reply_handle().expect("it is a request");
        back.reply_blocking(&asker, request.to_bytes())
            .expect("accepted");
    }
    let reply = block_on(waiting).expect("a reply");
    assert_eq!(reply.payload(), b"second");
    assert_eq!(second.metrics().late_replies, 1);
    drained(&b);
}

const IDLE_MS: u64 = 20;

fn has_rested(events: &overlane::Events) {
    wait_for_event(events, "the end of the lane", |event| match event {
        Event::LaneDown {
            channel, reason, ..
        } if **channel == *"data" => {
            assert_eq!(*reason, CloseReason::Idle);
            Some(())
        }
        _ => None,
    });
}

/// Its lane is not there any more to tell it.
#[test]
fn the_end_of_a_peer_or_of_the_node_ends_requests_whose_lane_rests() {
    for own in [false, true] {
        let node = |name| start(config(name).lane_idle_ms(IDLE_MS).channel(reliable("data")));
        let (a, b) = (node("a"), node("b"));
        connect_both(&a, &b);
        let events = a.events();
        let mut inbox = b.inbox("in").expect("a mailbox");
        let calls = a.channel("data").expect("it is configured");
        let to = a.destination("b", "in").expect("names");
        let request = ask(&calls, &to, b"slow");
        assert!(inbox.recv_timeout(GENEROUS).is_ok());
        has_rested(&events);
        if own {
            drop(a);
        } else {
            drop(b);
        }
        assert_eq!(outcome(request), RequestError::LaneEnded);
    }
}

/// The control lane is there, so the answer can come by another lane.
#[test]
fn a_request_that_was_delivered_stays_open_when_its_lane_cannot_be_made_again() {
    let a = start(
        config("a")
            .lane_idle_ms(IDLE_MS)
            .channel(reliable("data").parallelism(2)),
    );
    let events = a.events();
    let mut control = Stranger::lane(a.local_addr(), control_hello("b"));
    let mut hello = hello("b");
    hello.terms.parallelism = 2;
    let mut data = Stranger::lane(a.local_addr(), hello.clone());
    let calls = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names").with_key(0);
    let delivered = ask(&calls, &to, b"slow");
    let mut frames = std::iter::from_fn(|| data.next_frame());
    assert!(frames.any(|(kind, ..)| kind == FrameKind::Message));
    data.say(&good_frame(FrameKind::Ack, 1, &[]));
    loop {
        let (kind, word, _) = data.next_frame().expect("it comes");
        if kind == FrameKind::Rest && word & 1 == 0 {
            let agreed = Rest {
                proposal: word >> 1,
                agreed: true,
            };
            data.say(&good_frame(FrameKind::Rest, agreed.word(), &[]));
        }
        if kind == FrameKind::Bye {
            data.say(&good_frame(FrameKind::Bye, word, &[]));
            break;
        }
    }
    has_rested(&events);
    let lost = ask(&calls, &to, b"late");
    let mut frames = std::iter::from_fn(|| control.next_frame());
    assert!(frames.any(|(kind, ..)| kind == FrameKind::Summon));
    let decline = Decline {
        lane: 0,
        reason: CloseReason::LocalStop,
    };
    control.say(&good_frame(FrameKind::Decline, decline.word(), b"data"));
    assert_eq!(
        outcome(lost),
        undelivered(CloseReason::PeerStopped.sentence())
    );
    let mut delivered = delivered;
    assert!(block_on(poll_once(&mut delivered)).is_none());
    drop(data);
    ends("the node", move || drop(a));
    assert_eq!(outcome(delivered), RequestError::LaneEnded);
}
