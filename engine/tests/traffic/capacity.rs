//! Watermarks: a sender that asks hears of an overload before anything is refused, and of its end once.

use std::thread;
use std::time::Duration;

use crate::support::accounting::{check_accounting, counted};
use crate::support::{GENEROUS, connected_pair, counting_handler, hold, reliable};
use futures_lite::future::{block_on, poll_once};
use overlane::config::{ChannelConfig, Ordering};
use overlane::{Capacity, Channel, Destination, Node, SendError};

fn pair(channel: ChannelConfig) -> (Node, Node, Channel, Destination) {
    let (a, b) = connected_pair(&channel);
    b.handle("in", counting_handler().0).expect("free");
    let channel = a.channel("data").expect("it is configured");
    let to = a.destination("b", "in").expect("names");
    (a, b, channel, to)
}

#[test]
fn an_overload_begins_at_the_high_watermark_and_ends_at_the_low_one() {
    let (a, b, channel, to) = pair(reliable("data").queue_messages_max(10_usize));
    assert_eq!(channel.capacity(&to), Ok(Capacity::Ok));
    block_on(channel.on_capacity(&to)).expect("there is room");
    let held = hold(&a);
    for number in 1..=10 {
        channel.try_send(&to, b"x").expect("there is room");
        let expected = if number < 8 {
            Capacity::Ok
        } else {
            Capacity::Overloaded
        };
        assert_eq!(channel.capacity(&to), Ok(expected), "{number} wait");
    }
    assert_eq!(channel.try_send(&to, b"x"), Err(SendError::Full));
    let mut eased = Box::pin(channel.on_capacity(&to));
    assert!(block_on(poll_once(&mut eased)).is_none());
    let short = Duration::from_millis(1);
    assert_eq!(channel.wait_capacity(&to, short), Ok(Capacity::Overloaded));
    drop(held);
    block_on(eased).expect("it goes on");
    assert_eq!(channel.wait_capacity(&to, GENEROUS), Ok(Capacity::Ok));
    let metrics = check_accounting(&[&a, &b]);
    assert_eq!(counted(&metrics[0], "b", "data").overloads, 1);
}

/// A sender that pauses at each overload is never refused.
#[test]
fn a_sender_that_minds_the_watermarks_is_never_refused() {
    let (a, b, channel, to) = pair(reliable("data").queue_messages_max(100_usize));
    for number in 0..20_000 {
        if channel.capacity(&to) == Ok(Capacity::Overloaded) {
            let eased = channel.wait_capacity(&to, GENEROUS);
            assert_eq!(eased, Ok(Capacity::Ok));
        }
        let sent = channel.try_send(&to, b"x");
        sent.unwrap_or_else(|error| panic!("message {number}: {error}"));
    }
    let metrics = check_accounting(&[&a, &b]);
    assert!(counted(&metrics[0], "b", "data").overloads > 0);
}

#[test]
fn messages_that_take_any_lane_have_room_while_one_has() {
    let unordered = reliable("data").ordering(Ordering::Unordered);
    let (a, b, channel, to) = pair(unordered.parallelism(2_u16).queue_messages_max(10_usize));
    let held = hold(&a);
    for _ in 0..8 {
        channel.try_send(&to.with_key(0), b"x").expect("room");
    }
    let first = channel.capacity(&to.with_key(0));
    assert_eq!(first, Ok(Capacity::Overloaded));
    assert_eq!(channel.capacity(&to), Ok(Capacity::Ok));
    for _ in 0..8 {
        channel.try_send(&to.with_key(1), b"x").expect("room");
    }
    assert_eq!(channel.capacity(&to), Ok(Capacity::Overloaded));
    drop(held);
    assert_eq!(channel.wait_capacity(&to, GENEROUS), Ok(Capacity::Ok));
    check_accounting(&[&a, &b]);
}

#[test]
fn who_waits_hears_that_the_peer_is_gone_and_that_the_node_stops() {
    let (a, b, channel, to) = pair(reliable("data").queue_messages_max(10_usize));
    let other = b.destination("a", "in").expect("names");
    assert_eq!(channel.capacity(&other), Err(SendError::OtherNode));
    let held = hold(&b);
    let stuck = vec![0; 1 << 20];
    while channel.try_send(&to, &stuck).is_ok() {}
    assert_eq!(channel.capacity(&to), Ok(Capacity::Overloaded));
    let ended = thread::scope(|scope| {
        let waiting = scope.spawn(|| channel.wait_capacity(&to, GENEROUS));
        a.disconnect("b").expect("a name");
        drop(held);
        waiting.join().expect("no panic")
    });
    assert!(
        matches!(ended, Err(SendError::Unreachable) | Ok(Capacity::Ok)),
        "{ended:?}"
    );
    check_accounting(&[&a, &b]);
    drop(a);
    assert_eq!(channel.capacity(&to), Err(SendError::Closed));
}
